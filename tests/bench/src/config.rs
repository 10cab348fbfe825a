//! Options of all benchmarks: durations, runs, programs and output files.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use minerva_faults::random::Random;
use minerva_runtime::positive_duration;

use crate::loader::Timing;
use crate::sheet::Sheet;
use crate::test_bed::{Plan, Redis, TestBed};
use crate::{chart, compare};

#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// Length of each run, where a run has no end of its own.
    #[arg(long, default_value = "5s", value_parser = positive_duration, value_name = "TIME")]
    pub(crate) seconds: Duration,
    /// Load before the first run.
    #[arg(long, default_value = "2s", value_parser = positive_duration, value_name = "TIME")]
    pub(crate) warm_up: Duration,
    /// Number of runs; the median is reported.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=99))]
    pub(crate) runs: u8,
    /// Path of `minerva-core`, with `minerva-edge` in the same directory; by default the directory of this program.
    #[arg(long)]
    core: Option<PathBuf>,
    /// A line for the configuration of Redis, such as `appendfsync always`. Repeatable.
    #[arg(long, value_name = "LINE")]
    redis_setting: Vec<String>,
    /// Start a replica of Redis and require its confirmation of each append (`?wait=1`).
    #[arg(long)]
    replica: bool,
    /// Write the figures as JSON to this file, or to the output with `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compare with the figures of an earlier run, written by --json.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Draw the sweeps as SVG into this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Config {
    /// Checks the files, then starts the processes.
    pub(crate) async fn start_test_bed(&self, plan: Plan) -> anyhow::Result<TestBed> {
        self.check()?;
        let settings: Vec<&str> = self.redis_setting.iter().map(String::as_str).collect();
        let random = &mut Random::new(Random::fresh_seed());
        let redis = Redis { settings: &settings, has_replica: self.replica };
        let mut test_bed = TestBed::new(self.core.as_deref(), redis, plan, random)?;
        test_bed.start().await?;
        Ok(test_bed)
    }

    pub(crate) fn timing(&self) -> Timing {
        Timing { warm_up: self.warm_up, length: self.seconds, runs: self.runs }
    }

    /// Checks file access before the measurement, which takes minutes.
    fn check(&self) -> anyhow::Result<()> {
        self.earlier()?;
        let is_file = |path: &&PathBuf| path.as_os_str() != "-";
        for path in self.json.iter().chain(&self.svg).filter(is_file) {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.with_context(|| format!("cannot write {path:?}"))?;
        }
        Ok(())
    }

    /// The figures for the comparison.
    fn earlier(&self) -> anyhow::Result<Option<Sheet>> {
        self.compare.as_deref().map(Sheet::read).transpose()
    }

    /// Prints the figures and writes the output files; false if a bar was not met.
    pub(crate) fn report(&self, sheet: &Sheet) -> anyhow::Result<bool> {
        sheet.print();
        // The output may overwrite this file.
        let earlier = self.earlier()?;
        if let Some(path) = &self.json {
            sheet.write(path)?;
        }
        if let Some(path) = &self.svg {
            let drawn = chart::draw(sheet);
            let drawn = drawn.context("--svg: there is no sweep of two cases or more to draw")?;
            std::fs::write(path, drawn).with_context(|| format!("cannot write {path:?}"))?;
        }
        if let Some(before) = earlier {
            print!("{}", compare::table(&before, sheet));
        }
        Ok(sheet.is_met())
    }
}
