//! What a run of round trips comes to. A string counts once each way.

use crate::quantiles::Quantiles;
use crate::sheet::{Place, Sheet};
use crate::usage::Usage;

/// Who is measured, in the order of a string's way; who is not there has no figure.
const PROCESSES: [&str; 7] = ["load", "nginx", "bare", "edge", "core", "redis", "app"];
/// Those that are Minerva.
pub(crate) const MINERVA: [&str; 4] = ["edge", "core", "redis", "app"];
/// The name of what all of Minerva takes.
pub(crate) const COST: &str = "CPU per string: all of Minerva";
/// The name of what Redis says of itself.
pub(crate) const REDIS_CPU: &str = "Redis' own CPU per string";

/// One run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) strings_per_second: f64,
    messages: f64,
    round_trips: Quantiles,
    used: Usage,
}

impl Run {
    /// Of so many strings that went there and back.
    pub(crate) fn of(echoed: u64, seconds: f64, latencies: &[u64], used: Usage) -> Self {
        let messages = (2 * echoed) as f64;
        let round_trips = Quantiles::of(latencies);
        Self { strings_per_second: messages / seconds, messages, round_trips, used }
    }

    /// Microseconds of CPU per string, of all processes that are Minerva.
    fn cost(&self) -> f64 {
        let seconds: f64 = MINERVA.iter().filter_map(|name| self.used.cpu.get(name)).sum();
        self.micros(seconds)
    }

    /// Adds what is said of both, the floor and Minerva.
    pub(crate) fn enter(&self, sheet: &mut Sheet, place: Place<'_>, processes: &[&str]) {
        sheet.add(place, "strings", "/s", self.strings_per_second);
        self.round_trips.enter(sheet, place, "round trip");
        for name in PROCESSES.iter().filter(|name| processes.contains(name)) {
            if let Some(seconds) = self.used.cpu.get(name) {
                let name = format!("CPU per string: {name}");
                sheet.add(place, &name, "us", self.micros(*seconds));
            }
        }
    }

    /// Adds all that is said of Minerva.
    pub(crate) fn enter_minerva(&self, sheet: &mut Sheet, place: Place<'_>) {
        self.enter(sheet, place, &["load", "nginx", "edge", "core", "redis", "app"]);
        sheet.add(place, COST, "us", self.cost());
        sheet.add(place, REDIS_CPU, "us", self.micros(self.used.redis_cpu));
        for (name, count) in [
            ("Redis' commands per string", self.used.redis_commands),
            ("Redis' scripts per string", self.used.redis_scripts),
            ("appends per string", self.used.appends),
        ] {
            sheet.add(place, name, "", count / self.messages);
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
    fn strings_count_both_ways() {
        let cpu = [("edge", 0.002), ("core", 0.001), ("load", 9.0)].into();
        let used = Usage { cpu, redis_cpu: 0.001, appends: 10.0, ..Usage::default() };
        let run = Run::of(50, 2.0, &[], used);
        let (mut sheet, place) = (Sheet::new(), Place::only("pipe"));
        run.enter_minerva(&mut sheet, place);
        let value = |name| sheet.value(place, name).unwrap();
        assert!((value("strings") - 50.0).abs() < 1e-9);
        assert!((value("CPU per string: edge") - 20.0).abs() < 1e-9);
        assert!((value(REDIS_CPU) - 10.0).abs() < 1e-9);
        assert!((value("appends per string") - 0.1).abs() < 1e-9);
        assert!((run.cost() - 30.0).abs() < 1e-9);
    }
}
