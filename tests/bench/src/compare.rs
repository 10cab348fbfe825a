//! Comparison of this invocation with an earlier one.

use std::fmt::Write as _;

use crate::sheet::{Figure, Sheet, number};

/// A table of both values and their ratio by figure, followed by the unmatched figures.
pub(crate) fn table(before: &Sheet, now: &Sheet) -> String {
    let mut text = String::new();
    if before.machine.cores != now.machine.cores {
        let cores = (before.machine.cores, now.machine.cores);
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "{} cores then, {} now: the figures are not comparable",
            cores.0, cores.1
        );
    }
    let _ = writeln!(text, "{:<46} {:>12} {:>12} {:>7}", "", "before", "now", "ratio");
    let mut head = None;
    for figure in &now.figures {
        let Some(earlier) = find(before, figure) else { continue };
        let under = [&*figure.workload, &*figure.case];
        if head.replace(under) != Some(under) {
            let _ = writeln!(text, "{}", under.join(" ").trim_end());
        }
        let (then, value) = (number(earlier.value), number(figure.value));
        let (name, ratio) = (&figure.name, ratio(earlier.value, figure.value));
        let _ = writeln!(text, "  {name:<44} {then:>12} {value:>12} {ratio:>7} {}", figure.unit);
    }
    for (side, one, other) in [("before", before, now), ("now", now, before)] {
        let only: Vec<_> =
            one.figures.iter().filter(|figure| find(other, figure).is_none()).collect();
        if !only.is_empty() {
            let _ = writeln!(
                text,
                "only {side}: {} figures, the first is {}",
                only.len(),
                name(only[0])
            );
        }
    }
    text
}

fn find<'a>(sheet: &'a Sheet, like: &Figure) -> Option<&'a Figure> {
    let key = |figure: &Figure| [&figure.workload, &figure.case, &figure.name].map(String::clone);
    sheet.figures.iter().find(|figure| key(figure) == key(like))
}

fn name(figure: &Figure) -> String {
    let Figure { workload, case, name, .. } = figure;
    if case.is_empty() {
        format!("{workload}: {name}")
    } else {
        format!("{workload} {case}: {name}")
    }
}

/// `-` for a division by zero.
fn ratio(before: f64, now: f64) -> String {
    match (before == 0.0, now == 0.0) {
        (true, true) => "1.00".into(),
        (true, false) => "-".into(),
        (false, _) => format!("{:.2}", now / before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::Case;

    fn sheet(figures: &[(&str, f64)]) -> Sheet {
        let mut sheet = Sheet::new();
        for (name, value) in figures {
            sheet.add(Case { workload: "pipe", case: "floor", x: None }, name, "us", *value);
        }
        sheet
    }

    #[test]
    fn figures_are_matched_by_name_and_unmatched_ones_listed() {
        let before = sheet(&[("a", 2.0), ("gone", 1.0), ("zero", 0.0)]);
        let now = sheet(&[("zero", 0.0), ("a", 3.0), ("new", 1.0)]);
        let text = table(&before, &now);
        let ratio = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("  {name} ")));
            line.and_then(|line| line.split_whitespace().nth(3)).map(str::to_owned)
        };
        assert_eq!([ratio("a"), ratio("zero")], [Some("1.50".into()), Some("1.00".into())]);
        assert_eq!((ratio("gone"), ratio("new")), (None, None));
        assert!(text.contains("only before: 1 figures, the first is pipe floor: gone"));
        assert!(text.contains("only now: 1 figures, the first is pipe floor: new"));
    }

    #[test]
    fn a_ratio_to_zero_is_omitted() {
        assert_eq!([ratio(0.0, 2.0), ratio(2.0, 0.0)], ["-", "0.00"]);
    }
}
