//! The report over many seeds: each failed seed at once, then a table or JSON.

use std::time::Duration;

use minerva_simulation::{Fault, Outcome};
use serde_json::json;

/// Printed violations per seed.
const MAX_PRINTED: usize = 3;

/// Sums over all seeds.
pub(crate) struct Report {
    /// The command that repeats a seed, without the seed.
    repeat: String,
    seeds: u64,
    failed: Vec<u64>,
    /// Seeds with failures of clients that cannot detect a number that was assigned twice.
    reassigned: Vec<u64>,
    messages: u64,
    tagged_streams: usize,
    virtual_ms: u64,
    trace: u64,
    /// By fault: the seeds in which the fault occurred, and the occurrences.
    faults: Vec<(Fault, u64, u64)>,
}

impl Report {
    pub(crate) fn new(repeat: String) -> Self {
        Self {
            repeat,
            seeds: 0,
            failed: Vec::new(),
            reassigned: Vec::new(),
            messages: 0,
            tagged_streams: 0,
            virtual_ms: 0,
            trace: 0,
            faults: Fault::ALL.into_iter().map(|fault| (fault, 0, 0)).collect(),
        }
    }

    pub(crate) fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.messages += outcome.messages;
        self.tagged_streams += outcome.tagged_streams;
        self.virtual_ms += outcome.virtual_ms;
        self.trace = self.trace.rotate_left(1) ^ outcome.trace;
        for (fault, seeds, times) in &mut self.faults {
            let count = outcome.faults.count(*fault);
            *seeds += u64::from(count > 0);
            *times += count;
        }
        if !outcome.reassigned.is_empty() {
            self.reassigned.push(seed);
        }
        if !outcome.violations.is_empty() {
            self.failed.push(seed);
            println!("seed {seed}: VIOLATION; repeat: {} {seed}", self.repeat);
            outcome.violations.iter().take(MAX_PRINTED).for_each(|text| println!("  {text}"));
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }

    pub(crate) fn print(&self, took: Duration, as_json: bool) {
        if as_json {
            self.print_json(took);
        } else {
            self.print_table(took);
        }
        let failed = self.failed.len() as u64;
        if !as_json {
            if !self.reassigned.is_empty() {
                let seeds = &self.reassigned;
                println!("numbers assigned twice, unnoticed by version 2 clients: seeds {seeds:?}");
            }
            println!("{} passed, {failed} failed", self.seeds - failed);
        }
    }

    fn print_json(&self, took: Duration) {
        let share = |(fault, seeds, times): &(Fault, u64, u64)| {
            (fault.name(), json!({ "seeds": seeds, "times": times }))
        };
        let faults: serde_json::Map<_, _> = self.faults.iter().map(share).collect();
        let report = json!({
            "seeds": self.seeds,
            "failed": self.failed,
            "reassigned": self.reassigned,
            "messages": self.messages,
            "tagged_streams": self.tagged_streams,
            "virtual_seconds": self.virtual_ms / 1000,
            "wall_seconds": took.as_secs_f64(),
            "trace": format!("{:016x}", self.trace),
            "faults": faults,
        });
        println!("{report}");
    }

    fn print_table(&self, took: Duration) {
        println!("{:<20} {:>7} {:>9}", "fault", "seeds", "times");
        for (fault, seeds, times) in &self.faults {
            let share = 100.0 * *seeds as f64 / self.seeds.max(1) as f64;
            println!("{:<20} {share:>6.0}% {times:>9}", fault.name());
        }
        println!(
            "{} seeds, {} messages, {} streams with claim tags, {} failed seeds, \
             {} s of virtual time in {:.1} s, trace {:016x}",
            self.seeds,
            self.messages,
            self.tagged_streams,
            self.failed.len(),
            self.virtual_ms / 1000,
            took.as_secs_f64(),
            self.trace
        );
    }
}
