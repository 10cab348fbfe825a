//! The figures of a fan-out run.

use crate::figures::MINERVA;
use crate::quantiles::Quantiles;
use crate::sheet::{Case, Sheet};
use crate::usage::Usage;

/// Processes of Minerva and the load, in order of a message's path.
const PROCESSES: [&str; 5] = ["core", "redis", "edge", "app", "load"];
/// Processes of the floor.
const FLOOR: [&str; 2] = ["bare", "load"];

pub(super) struct Run {
    pub(super) sends: f64,
    /// Delivered messages over all streams.
    pub(super) delivered: f64,
    pub(super) seconds: f64,
    /// From each send to each of its deliveries.
    pub(super) latencies: Quantiles,
    pub(super) used: Usage,
}

impl Run {
    /// Adds the figures of the floor.
    pub(super) fn enter_floor(&self, sheet: &mut Sheet, case_id: Case<'_>) {
        self.enter(sheet, case_id, &FLOOR);
    }

    /// Adds the figures of Minerva, with ratios to a run of the floor.
    pub(super) fn enter_minerva(&self, sheet: &mut Sheet, case_id: Case<'_>, floor: &Self) {
        self.enter(sheet, case_id, &PROCESSES);
        let cost = self.cost(&MINERVA);
        sheet.add(case_id, "CPU per delivery: all of Minerva", "us", cost);
        let ratio = cost / floor.cost(&["bare"]);
        sheet.add(case_id, "CPU per delivery, to the floor's", "x", ratio);
        // The figures include the SACKs of the clients.
        for (name, unit, count) in [
            ("store writes per send", "", self.used.appends),
            ("bytes stored per send", "B", self.used.append_bytes),
            ("Redis' commands per send", "", self.used.redis_commands),
            ("Redis' scripts per send", "", self.used.redis_scripts),
        ] {
            sheet.add(case_id, name, unit, count / self.sends);
        }
    }

    fn enter(&self, sheet: &mut Sheet, case_id: Case<'_>, processes: &[&str]) {
        sheet.add(case_id, "sends", "/s", self.sends / self.seconds);
        sheet.add(case_id, "deliveries", "/s", self.delivered / self.seconds);
        self.latencies.enter(sheet, case_id, "delivery");
        for process in processes {
            let name = format!("CPU per delivery: {process}");
            sheet.add(case_id, &name, "us", self.cost(&[process]));
        }
    }

    /// Microseconds of CPU per delivery in these processes together.
    fn cost(&self, processes: &[&str]) -> f64 {
        let seconds: f64 = processes.iter().filter_map(|name| self.used.cpu.get(name)).sum();
        seconds * 1e6 / self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(cpu: &[(&'static str, f64)]) -> Run {
        let cpu = cpu.iter().copied().collect();
        let used = Usage { cpu, appends: 640.0, ..Usage::default() };
        let latencies = Quantiles::default();
        Run { sends: 10.0, delivered: 1000.0, seconds: 2.0, latencies, used }
    }

    #[test]
    fn the_cost_ratio_excludes_the_load() {
        let floor = run(&[("bare", 0.002), ("load", 9.0), ("edge", 9.0)]);
        let minerva = run(&[
            ("core", 0.003),
            ("redis", 0.001),
            ("edge", 0.005),
            ("app", 0.001),
            ("load", 9.0),
            ("bare", 9.0),
        ]);
        let (mut sheet, case_id) = (Sheet::new(), Case::only("fan-out"));
        minerva.enter_minerva(&mut sheet, case_id, &floor);
        let value = |name| sheet.value(case_id, name).unwrap();
        assert!((value("CPU per delivery: all of Minerva") - 10.0).abs() < 1e-9);
        assert!((value("CPU per delivery, to the floor's") - 5.0).abs() < 1e-9);
        assert!((value("store writes per send") - 64.0).abs() < 1e-9);
        assert!((value("deliveries") - 500.0).abs() < 1e-9);
        let of_floor = Case { case: "floor", ..case_id };
        floor.enter_floor(&mut sheet, of_floor);
        assert!((sheet.value(of_floor, "CPU per delivery: bare").unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(sheet.value(of_floor, "CPU per delivery: edge"), None);
    }
}
