//! Whether a machine is fit for what a program needs of it. A pure judgement on what was read.

use std::time::Duration;

use super::Finding;
use super::readings::{Clocks, Readings};

/// Connections that may wait to be accepted: what a program asks for when it listens.
const BACKLOG: u64 = 1024;
/// A time before which this was not written: 2025.
const WRITTEN: u64 = 1_735_689_600;
/// More than a clock that is slewed and a busy machine explain.
const DRIFT: Duration = Duration::from_millis(50);

/// What a program needs of its machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// Clients' connections at once, and files that have to be open for that; `None` for a program that has
    /// no clients.
    pub clients: Option<(u32, u64)>,
    /// Whether a Redis is used, which may be on this machine.
    pub has_redis: bool,
}

/// Looks at this machine.
pub async fn machine(needs: Needs) -> Vec<Finding> {
    judge(&Readings::take().await, needs)
}

fn judge(readings: &Readings, needs: Needs) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some((connections, files)) = needs.clients {
        findings.push(judge_files(readings.open_files, connections, files));
        findings.push(judge_backlog(readings.backlog));
        findings.push(judge_ports(readings.ports, connections));
        findings.push(judge_tcp(readings.tcp_pages, connections));
    }
    if needs.has_redis {
        findings.push(judge_overcommit(readings.overcommit));
    }
    findings.extend(judge_clocks(readings.clocks));
    findings
}

fn unread(what: &str) -> Finding {
    Finding::warn(what, "cannot be read here", "look at it yourself; Linux has it in /proc")
}

fn judge_files(limits: Option<(u64, u64)>, connections: u32, files: u64) -> Finding {
    let what = "open files";
    let Some((soft, hard)) = limits else { return unread(what) };
    let value = format!("{soft}, at most {hard}; {connections} connections need {files}");
    if hard >= files {
        // The edge raises its own limit that far.
        return Finding::ok(what, value);
    }
    let fix = format!(
        "allow {files} (ulimit -Hn, LimitNOFILE= of systemd, ulimits of compose), or lower --max-connections"
    );
    Finding::fail(what, value, fix)
}

fn judge_backlog(backlog: Option<u64>) -> Finding {
    let what = "net.core.somaxconn";
    match backlog {
        None => unread(what),
        Some(backlog) if backlog >= BACKLOG => Finding::ok(what, backlog),
        Some(backlog) => Finding::warn(what, backlog, "sysctl -w net.core.somaxconn=4096"),
    }
}

fn judge_ports(ports: Option<(u64, u64)>, connections: u32) -> Finding {
    let what = "net.ipv4.ip_local_port_range";
    let Some((first, last)) = ports else { return unread(what) };
    let count = (last + 1).saturating_sub(first);
    let value = format!("{first} to {last}, {count} ports");
    // No range is large enough for more than that; then an edge needs several addresses.
    if count >= u64::from(connections).min(60_000) {
        return Finding::ok(what, value);
    }
    let fix = format!(
        "if a proxy on this machine passes {connections} connections to one edge: sysctl -w \
         net.ipv4.ip_local_port_range='1024 65535'"
    );
    Finding::warn(what, value, fix)
}

fn judge_tcp(pages: Option<(u64, u64)>, connections: u32) -> Finding {
    let what = "net.ipv4.tcp_mem";
    let Some((sparing, most)) = pages else { return unread(what) };
    let value = format!("sparing above {sparing} pages, at most {most}");
    // A page for each connection: most are idle and have none, some have many.
    if sparing >= u64::from(connections) {
        return Finding::ok(what, value);
    }
    let fix = format!(
        "sysctl -w net.ipv4.tcp_mem with {connections} pages or more in the middle, if there is memory \
         for them, or lower --max-connections"
    );
    Finding::warn(what, value, fix)
}

fn judge_overcommit(overcommit: Option<u64>) -> Finding {
    let what = "vm.overcommit_memory";
    match overcommit {
        None => unread(what),
        Some(1) => Finding::ok(what, 1),
        Some(other) => Finding::warn(
            what,
            other,
            "if Redis is on this machine: sysctl -w vm.overcommit_memory=1, or it may fail to save when \
             memory is short",
        ),
    }
}

fn judge_clocks(clocks: Clocks) -> [Finding; 2] {
    let what = "wall clock";
    let seconds = clocks.wall_seconds;
    let set = if seconds >= WRITTEN {
        Finding::ok(what, format!("{seconds} s since 1970"))
    } else {
        let fix = "set the clock and keep it set (chrony, systemd-timesyncd)";
        Finding::fail(what, format!("{seconds} s since 1970, which is long ago"), fix)
    };
    let what = "wall clock against the monotonic one";
    let drift = format!("{} ms apart after a moment", clocks.drift.as_millis());
    let steady = if clocks.drift <= DRIFT {
        Finding::ok(what, drift)
    } else {
        let fix = "let one program set the clock, in small steps (chrony, systemd-timesyncd)";
        Finding::warn(what, drift, fix)
    };
    [set, steady]
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::Verdict::{Fail, Ok, Warn};
    use super::*;

    const NEEDS: Needs = Needs { clients: Some((50_000, 50_256)), has_redis: true };

    fn good() -> Readings {
        Readings {
            open_files: Some((1024, 50_256)),
            backlog: Some(1024),
            ports: Some((10_000, 59_999)),
            tcp_pages: Some((50_000, 80_000)),
            overcommit: Some(1),
            clocks: Clocks { wall_seconds: WRITTEN, drift: DRIFT },
        }
    }

    /// What is not as it should be.
    fn flaws(readings: &Readings, needs: Needs) -> Vec<(String, Verdict)> {
        let findings = judge(readings, needs).into_iter();
        let flaws = findings.filter(|finding| finding.verdict() != Ok);
        flaws.map(|finding| (finding.what().to_owned(), finding.verdict())).collect()
    }

    #[test]
    fn a_machine_that_has_just_enough_is_fit() {
        assert_eq!(flaws(&good(), NEEDS), []);
        assert_eq!(judge(&good(), NEEDS).len(), 7);
    }

    #[test]
    fn what_is_one_short_is_found() {
        let clocks = good().clocks;
        for (readings, what, verdict) in [
            (Readings { open_files: Some((1024, 50_255)), ..good() }, "open files", Fail),
            (Readings { backlog: Some(1023), ..good() }, "net.core.somaxconn", Warn),
            (
                Readings { ports: Some((10_001, 59_999)), ..good() },
                "net.ipv4.ip_local_port_range",
                Warn,
            ),
            (Readings { tcp_pages: Some((49_999, 80_000)), ..good() }, "net.ipv4.tcp_mem", Warn),
            (Readings { overcommit: Some(0), ..good() }, "vm.overcommit_memory", Warn),
            (Readings { overcommit: Some(2), ..good() }, "vm.overcommit_memory", Warn),
            (
                Readings { clocks: Clocks { wall_seconds: WRITTEN - 1, ..clocks }, ..good() },
                "wall clock",
                Fail,
            ),
            (
                Readings {
                    clocks: Clocks { drift: DRIFT + Duration::from_millis(1), ..clocks },
                    ..good()
                },
                "wall clock against the monotonic one",
                Warn,
            ),
        ] {
            assert_eq!(flaws(&readings, NEEDS), [(what.to_owned(), verdict)]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_and_does_not_fail() {
        let readings = Readings { clocks: good().clocks, ..Readings::default() };
        let found = flaws(&readings, NEEDS);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.iter().all(|(_, verdict)| *verdict == Warn), "{found:?}");
    }

    #[test]
    fn more_connections_than_any_range_has_ports_ask_for_no_more_of_them() {
        let needs = Needs { clients: Some((1_000_000, 0)), has_redis: false };
        let mut readings = Readings { tcp_pages: Some((1_000_000, 1_000_000)), ..good() };
        readings.ports = Some((5_000, 64_999));
        assert_eq!(flaws(&readings, needs), []);
        readings.ports = Some((5_001, 64_999));
        assert_eq!(flaws(&readings, needs).len(), 1);
    }

    #[test]
    fn a_program_without_clients_and_redis_needs_a_clock_only() {
        let readings = Readings { clocks: good().clocks, ..Readings::default() };
        assert_eq!(flaws(&readings, Needs::default()), []);
        assert_eq!(judge(&readings, Needs::default()).len(), 2);
    }
}
