//! The figures of one invocation with unit, runs, median and bar, as a table and as JSON.
//!
//! Filled by the workloads; independent of the method of measurement.

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) workload: String,
    /// The case within a workload, such as `1000 streams`; empty for a single case.
    pub(crate) case: String,
    /// The measured quantity. A suffix after `: ` selects one of several, such as a process.
    pub(crate) name: String,
    pub(crate) unit: String,
    /// Position and label of the case on a chart's axis, for a sweep.
    pub(crate) x: Option<(f64, String)>,
    /// The median of the runs.
    pub(crate) value: f64,
    /// In chronological order.
    pub(crate) runs: Vec<f64>,
    /// The bar: the maximum of `value`.
    pub(crate) at_most: Option<f64>,
}

/// The workload and case of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) workload: &'a str,
    pub(crate) case: &'a str,
    pub(crate) x: Option<(f64, &'a str)>,
}

/// Figures in order of insertion.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sheet {
    pub(crate) machine: Machine,
    pub(crate) figures: Vec<Figure>,
}

/// The machine and its load before the measurement.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    /// Load average of one minute before any process was started.
    load_before: f64,
}

impl Case<'_> {
    /// The single case of a workload.
    pub(crate) fn only(workload: &str) -> Case<'_> {
        Case { workload, case: "", x: None }
    }
}

impl Sheet {
    /// Creates an empty sheet; call before any process is started, since the load average is read here.
    pub(crate) fn new() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load_before = load.split(' ').next().and_then(|load| load.parse().ok());
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let machine = Machine { cores, load_before: load_before.unwrap_or_default() };
        Self { machine, figures: Vec::new() }
    }

    /// Adds the value of one run.
    pub(crate) fn add(&mut self, case_id: Case<'_>, name: &str, unit: &str, value: f64) {
        let Case { workload, case, x } = case_id;
        let is_it = |f: &&mut Figure| (&*f.workload, &*f.case, &*f.name) == (workload, case, name);
        if let Some(figure) = self.figures.iter_mut().find(is_it) {
            figure.runs.push(value);
            figure.value = median(&figure.runs);
            return;
        }
        let [workload, case, name, unit] = [workload, case, name, unit].map(String::from);
        let (runs, x) = (vec![value], x.map(|(at, of)| (at, of.to_owned())));
        self.figures.push(Figure { workload, case, name, unit, x, value, runs, at_most: None });
    }

    /// Sets the bar of all figures with this name.
    pub(crate) fn bar(&mut self, name: &str, at_most: f64) {
        for figure in self.figures.iter_mut().filter(|figure| figure.name == name) {
            figure.at_most = Some(at_most);
        }
    }

    /// The median of a figure.
    pub(crate) fn value(&self, case_id: Case<'_>, name: &str) -> Option<f64> {
        let is_it = |f: &&Figure| {
            (&*f.workload, &*f.case, &*f.name) == (case_id.workload, case_id.case, name)
        };
        self.figures.iter().find(is_it).map(|figure| figure.value)
    }

    /// Whether all bars are met.
    pub(crate) fn is_met(&self) -> bool {
        self.figures.iter().all(Figure::is_met)
    }

    /// Prints the figures as a table.
    pub(crate) fn print(&self) {
        let Machine { cores, load_before } = self.machine;
        println!("{cores} cores, load {load_before:.2} before");
        let mut head = None;
        for figure in &self.figures {
            let under = (&figure.workload, &figure.case);
            if head.replace(under) != Some(under) {
                println!("{}", [&**under.0, under.1].join(" ").trim_end());
            }
            figure.print();
        }
    }

    /// Writes the figures as JSON to a file, or to the output if the path is `-`.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot write JSON")?;
        if path == Path::new("-") {
            println!("{text}");
            return Ok(());
        }
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {path:?}"))
    }

    /// Reads the figures of an earlier invocation.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {path:?}"))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{path:?} was not written by --json; measure again"))
    }
}

impl Figure {
    /// Position on the axis.
    pub(crate) fn at(&self) -> Option<f64> {
        self.x.as_ref().map(|(at, _)| *at)
    }

    fn is_met(&self) -> bool {
        self.at_most.is_none_or(|bar| self.value <= bar)
    }

    fn print(&self) {
        let Self { name, unit, value, runs, at_most, .. } = self;
        print!("  {name:<44} {:>12} {unit:<4}", number(*value));
        if let (Some(least), Some(most)) =
            (runs.iter().copied().reduce(f64::min), runs.iter().copied().reduce(f64::max))
            && runs.len() > 1
        {
            print!(" {} to {} in {} runs", number(least), number(most), runs.len());
        }
        if let Some(bar) = at_most {
            print!("  bar {}: {}", number(*bar), if self.is_met() { "met" } else { "NOT met" });
        }
        println!();
    }
}

/// The median; of an even number of runs the lower one.
pub(crate) fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.len().checked_sub(1).map_or(0.0, |last| sorted[last / 2])
}

/// Formats a value with its significant digits.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 1.0 => 3,
        middle if middle < 100.0 => 2,
        _ => 0,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_compared_with_the_bar() {
        let (mut sheet, case_id) = (Sheet::new(), Case::only("idle"));
        for value in [9.0, 1.0, 4.0] {
            sheet.add(case_id, "bytes", "B", value);
        }
        sheet.add(Case { case: "other", ..case_id }, "bytes", "B", 4.0);
        assert_eq!(sheet.figures[0].runs, [9.0, 1.0, 4.0]);
        assert_eq!(sheet.value(case_id, "bytes"), Some(4.0));
        sheet.bar("bytes", 4.0);
        assert!(sheet.is_met());
        sheet.bar("bytes", 3.9);
        assert!(!sheet.is_met());
    }

    #[test]
    fn a_written_sheet_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        let mut sheet = Sheet::new();
        sheet.add(Case { workload: "w", case: "c", x: Some((2.0, "edges")) }, "n", "us", 1.5);
        sheet.write(&path).unwrap();
        assert_eq!(Sheet::read(&path).unwrap().figures, sheet.figures);
        std::fs::write(&path, "{}").unwrap();
        assert!(Sheet::read(&path).is_err());
    }

    #[test]
    fn numbers_have_significant_digits_only() {
        assert_eq!([0.0, 0.1234, 12.345, 12_345.6].map(number), ["0", "0.123", "12.35", "12346"]);
    }
}
