//! The figures of a round-trip run. An echoed message counts twice, once in each direction.

use crate::quantiles::Quantiles;
use crate::sheet::{Case, Sheet};
use crate::usage::Usage;

/// Processes in order of a message's path; missing processes have no figure.
const PROCESSES: [&str; 7] = ["load", "nginx", "bare", "edge", "core", "redis", "app"];
/// The processes of Minerva.
pub(crate) const MINERVA: [&str; 4] = ["edge", "core", "redis", "app"];
/// Name of the total cost.
pub(crate) const COST: &str = "CPU per message: all of Minerva";
/// Name of the CPU time reported by Redis.
pub(crate) const REDIS_CPU: &str = "Redis' own CPU per message";

#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) messages_per_second: f64,
    messages: f64,
    round_trips: Quantiles,
    used: Usage,
}

impl Run {
    /// Creates a run of `echoed` round trips.
    pub(crate) fn of(echoed: u64, seconds: f64, latencies: &[u64], used: Usage) -> Self {
        let messages = (2 * echoed) as f64;
        let round_trips = Quantiles::of(latencies);
        Self { messages_per_second: messages / seconds, messages, round_trips, used }
    }

    /// Microseconds of CPU per message in all processes of Minerva.
    fn cost(&self) -> f64 {
        let seconds: f64 = MINERVA.iter().filter_map(|name| self.used.cpu.get(name)).sum();
        self.micros(seconds)
    }

    /// Adds the figures common to the floor and Minerva.
    pub(crate) fn enter(&self, sheet: &mut Sheet, case_id: Case<'_>, processes: &[&str]) {
        sheet.add(case_id, "messages", "/s", self.messages_per_second);
        self.round_trips.enter(sheet, case_id, "round trip");
        for name in PROCESSES.iter().filter(|name| processes.contains(name)) {
            if let Some(seconds) = self.used.cpu.get(name) {
                let name = format!("CPU per message: {name}");
                sheet.add(case_id, &name, "us", self.micros(*seconds));
            }
        }
    }

    /// Adds the figures of Minerva.
    pub(crate) fn enter_minerva(&self, sheet: &mut Sheet, case_id: Case<'_>) {
        self.enter(sheet, case_id, &["load", "nginx", "edge", "core", "redis", "app"]);
        sheet.add(case_id, COST, "us", self.cost());
        sheet.add(case_id, REDIS_CPU, "us", self.micros(self.used.redis_cpu));
        for (name, count) in [
            ("Redis' commands per message", self.used.redis_commands),
            ("Redis' scripts per message", self.used.redis_scripts),
            ("appends per message", self.used.appends),
        ] {
            sheet.add(case_id, name, "", count / self.messages);
        }
    }

    fn micros(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_in_both_directions() {
        let cpu = [("edge", 0.002), ("core", 0.001), ("load", 9.0)].into();
        let used = Usage { cpu, redis_cpu: 0.001, appends: 10.0, ..Usage::default() };
        let run = Run::of(50, 2.0, &[], used);
        let (mut sheet, case_id) = (Sheet::new(), Case::only("pipe"));
        run.enter_minerva(&mut sheet, case_id);
        let value = |name| sheet.value(case_id, name).unwrap();
        assert!((value("messages") - 50.0).abs() < 1e-9);
        assert!((value("CPU per message: edge") - 20.0).abs() < 1e-9);
        assert!((value(REDIS_CPU) - 10.0).abs() < 1e-9);
        assert!((value("appends per message") - 0.1).abs() < 1e-9);
        assert!((run.cost() - 30.0).abs() < 1e-9);
    }
}
