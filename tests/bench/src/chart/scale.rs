//! The position of a value on a linear or logarithmic axis.

/// A mapping from the range of values to the range of coordinates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    is_logarithmic: bool,
    /// Lower bound of the values, after the logarithm if any.
    from: f64,
    to: f64,
    /// Start coordinate.
    begin: f64,
    end: f64,
}

impl Scale {
    /// A linear axis from zero to the maximum.
    pub(super) fn linear(most: f64, [begin, end]: [f64; 2]) -> Self {
        let to = if most > 0.0 { most } else { 1.0 };
        Self { is_logarithmic: false, from: 0.0, to, begin, end }
    }

    /// A logarithmic axis between two positive values.
    pub(super) fn logarithmic([least, most]: [f64; 2], [begin, end]: [f64; 2]) -> Self {
        let from = least.max(f64::MIN_POSITIVE).ln();
        let to = most.max(f64::MIN_POSITIVE).ln();
        let to = if to > from { to } else { from + 1.0 };
        Self { is_logarithmic: true, from, to, begin, end }
    }

    /// The coordinate of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.is_logarithmic { value.max(f64::MIN_POSITIVE).ln() } else { value };
        self.begin + (value - self.from) / (self.to - self.from) * (self.end - self.begin)
    }
}

/// The next number of the form 1, 2 or 5 times a power of ten.
pub(super) fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_mapped_to_the_axis_proportionally() {
        let linear = Scale::linear(10.0, [100.0, 0.0]);
        assert_eq!([0.0, 5.0, 10.0].map(|value| linear.at(value)), [100.0, 50.0, 0.0]);
        let logarithmic = Scale::logarithmic([100.0, 10_000.0], [0.0, 200.0]);
        let places = [100.0, 1000.0, 10_000.0].map(|value| logarithmic.at(value).round());
        assert_eq!(places, [0.0, 100.0, 200.0]);
        assert!(Scale::logarithmic([5.0, 5.0], [0.0, 1.0]).at(5.0).is_finite());
        assert!(Scale::linear(0.0, [0.0, 1.0]).at(0.0).is_finite());
    }

    #[test]
    fn rounding_up_never_reduces_a_number() {
        assert_eq!([0.0, 1.0, 1.1, 3.0, 7.0].map(round_up), [1.0, 1.0, 2.0, 5.0, 10.0]);
        assert!((round_up(0.03) - 0.05).abs() < 1e-9);
    }
}
