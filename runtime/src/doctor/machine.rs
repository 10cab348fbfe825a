//! Checks of the machine: compares the settings with the requirements of a program. Pure; the settings come from
//! [`Readings`].

use std::time::Duration;

use super::finding::Finding;
use super::readings::{Clocks, Readings};

/// Start of 2025, in seconds since 1970; an earlier wall clock is certainly wrong.
const EARLIEST_TIME: u64 = 1_735_689_600;
/// Tolerated drift, more than slewing and a busy machine cause.
const MAX_DRIFT: Duration = Duration::from_millis(50);

/// Requirements of a program on the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Requirements {
    /// Requirements of client connections; `None` for a program without clients.
    pub clients: Option<ClientRequirements>,
    /// The program uses Redis, which may run on this machine.
    pub has_redis: bool,
}

/// Requirements of client connections on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientRequirements {
    /// Greatest number of open connections.
    pub connections: u32,
    /// File descriptors of the process for these connections.
    pub open_files: u64,
    /// Requested length of the queue of connections that are not accepted yet.
    pub backlog: u32,
}

/// Compares kernel limits, clock and memory of this machine with the requirements.
pub async fn check_machine(requirements: Requirements) -> Vec<Finding> {
    check(&Readings::take().await, requirements)
}

fn check(readings: &Readings, requirements: Requirements) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(ClientRequirements { connections, open_files, backlog }) = requirements.clients {
        findings.push(check_files(readings.open_files, connections, open_files));
        findings.push(check_backlog(readings.backlog, backlog));
        findings.push(check_ports(readings.ports, connections));
        findings.push(check_tcp(readings.tcp_pages, connections));
    }
    if requirements.has_redis {
        findings.push(check_overcommit(readings.overcommit));
    }
    findings.extend(check_clocks(readings.clocks));
    findings
}

fn unread(subject: &str) -> Finding {
    Finding::warn(subject, "cannot be read here", "check the setting by hand, on Linux in /proc")
}

fn check_files(limits: Option<(u64, u64)>, connections: u32, files: u64) -> Finding {
    let subject = "open files";
    let Some((soft, hard)) = limits else { return unread(subject) };
    let value = format!("{soft}, at most {hard}; {connections} connections need {files}");
    if hard >= files {
        // The edge raises the soft limit at start.
        return Finding::ok(subject, value);
    }
    let fix = format!(
        "allow {files} (ulimit -Hn, LimitNOFILE= of systemd, ulimits of compose), or lower --max-connections"
    );
    Finding::fail(subject, value, fix)
}

fn check_backlog(limit: Option<u64>, requested: u32) -> Finding {
    let subject = "net.core.somaxconn";
    let Some(limit) = limit else { return unread(subject) };
    if limit >= u64::from(requested) {
        return Finding::ok(subject, format!("{limit}; --listen-backlog is {requested}"));
    }
    let value = format!("{limit} caps --listen-backlog, which is {requested}");
    let fix = format!("sysctl -w net.core.somaxconn={requested}, or lower --listen-backlog");
    Finding::warn(subject, value, fix)
}

fn check_ports(ports: Option<(u64, u64)>, connections: u32) -> Finding {
    let subject = "net.ipv4.ip_local_port_range";
    let Some((first, last)) = ports else { return unread(subject) };
    let count = (last + 1).saturating_sub(first);
    let value = format!("{first} to {last}, {count} ports");
    // A port range has at most 65,535 ports; for more connections an edge needs several addresses.
    if count >= u64::from(connections).min(60_000) {
        return Finding::ok(subject, value);
    }
    let fix = format!(
        "if a proxy on this machine passes {connections} connections to one edge: sysctl -w \
         net.ipv4.ip_local_port_range='1024 65535'"
    );
    Finding::warn(subject, value, fix)
}

fn check_tcp(pages: Option<(u64, u64)>, connections: u32) -> Finding {
    let subject = "net.ipv4.tcp_mem";
    let Some((pressure, limit)) = pages else { return unread(subject) };
    let value = format!("memory pressure above {pressure} pages, limit {limit}");
    // One page per connection on average: most connections are idle and use none.
    if pressure >= u64::from(connections) {
        return Finding::ok(subject, value);
    }
    let fix = format!(
        "sysctl -w net.ipv4.tcp_mem with {connections} pages or more as the middle value, if the memory \
         suffices, or lower --max-connections"
    );
    Finding::warn(subject, value, fix)
}

fn check_overcommit(overcommit: Option<u64>) -> Finding {
    let subject = "vm.overcommit_memory";
    match overcommit {
        None => unread(subject),
        Some(1) => Finding::ok(subject, 1),
        Some(other) => Finding::warn(
            subject,
            other,
            "if Redis is on this machine: sysctl -w vm.overcommit_memory=1, or saving may fail when memory \
             is short",
        ),
    }
}

fn check_clocks(clocks: Clocks) -> [Finding; 2] {
    let subject = "wall clock";
    let seconds = clocks.wall_seconds;
    let set = if seconds >= EARLIEST_TIME {
        Finding::ok(subject, format!("{seconds} s since 1970"))
    } else {
        let fix = "set and synchronise the clock (chrony, systemd-timesyncd)";
        Finding::fail(
            subject,
            format!("{seconds} s since 1970, before this program was written"),
            fix,
        )
    };
    let subject = "drift of the wall clock";
    let drift = format!("{} ms against the monotonic clock", clocks.drift.as_millis());
    let steady = if clocks.drift <= MAX_DRIFT {
        Finding::ok(subject, drift)
    } else {
        let fix = "let one program set the clock, in small steps (chrony, systemd-timesyncd)";
        Finding::warn(subject, drift, fix)
    };
    [set, steady]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict::{self, Fail, Ok, Warn};

    const CLIENTS: ClientRequirements =
        ClientRequirements { connections: 50_000, open_files: 50_256, backlog: 4096 };
    const REQUIREMENTS: Requirements = Requirements { clients: Some(CLIENTS), has_redis: true };

    fn good() -> Readings {
        Readings {
            open_files: Some((1024, 50_256)),
            backlog: Some(4096),
            ports: Some((10_000, 59_999)),
            tcp_pages: Some((50_000, 80_000)),
            overcommit: Some(1),
            clocks: Clocks { wall_seconds: EARLIEST_TIME, drift: MAX_DRIFT },
        }
    }

    /// The findings that are not ok.
    fn flaws(readings: &Readings, requirements: Requirements) -> Vec<(String, Verdict)> {
        let findings = check(readings, requirements).into_iter();
        let flaws = findings.filter(|finding| finding.verdict() != Ok);
        flaws.map(|finding| (finding.subject().to_owned(), finding.verdict())).collect()
    }

    #[test]
    fn settings_at_their_limits_pass() {
        assert_eq!(flaws(&good(), REQUIREMENTS), []);
        assert_eq!(check(&good(), REQUIREMENTS).len(), 7);
    }

    #[test]
    fn settings_beyond_their_limits_are_found() {
        let clocks = good().clocks;
        for (readings, subject, verdict) in [
            (Readings { open_files: Some((1024, 50_255)), ..good() }, "open files", Fail),
            (Readings { backlog: Some(4095), ..good() }, "net.core.somaxconn", Warn),
            (
                Readings { ports: Some((10_001, 59_999)), ..good() },
                "net.ipv4.ip_local_port_range",
                Warn,
            ),
            (Readings { tcp_pages: Some((49_999, 80_000)), ..good() }, "net.ipv4.tcp_mem", Warn),
            (Readings { overcommit: Some(0), ..good() }, "vm.overcommit_memory", Warn),
            (Readings { overcommit: Some(2), ..good() }, "vm.overcommit_memory", Warn),
            (
                Readings { clocks: Clocks { wall_seconds: EARLIEST_TIME - 1, ..clocks }, ..good() },
                "wall clock",
                Fail,
            ),
            (
                Readings {
                    clocks: Clocks { drift: MAX_DRIFT + Duration::from_millis(1), ..clocks },
                    ..good()
                },
                "drift of the wall clock",
                Warn,
            ),
        ] {
            assert_eq!(flaws(&readings, REQUIREMENTS), [(subject.to_owned(), verdict)]);
        }
    }

    #[test]
    fn an_unreadable_setting_is_a_warning() {
        let readings = Readings { clocks: good().clocks, ..Readings::default() };
        let found = flaws(&readings, REQUIREMENTS);
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.iter().all(|(_, verdict)| *verdict == Warn), "{found:?}");
    }

    #[test]
    fn the_required_port_range_is_at_most_60000_ports() {
        let clients = ClientRequirements { connections: 1_000_000, open_files: 0, ..CLIENTS };
        let requirements = Requirements { clients: Some(clients), has_redis: false };
        let mut readings = Readings { tcp_pages: Some((1_000_000, 1_000_000)), ..good() };
        readings.ports = Some((5_000, 64_999));
        assert_eq!(flaws(&readings, requirements), []);
        readings.ports = Some((5_001, 64_999));
        assert_eq!(flaws(&readings, requirements).len(), 1);
    }

    #[test]
    fn without_clients_and_redis_only_the_clock_is_checked() {
        let readings = Readings { clocks: good().clocks, ..Readings::default() };
        assert_eq!(flaws(&readings, Requirements::default()), []);
        assert_eq!(check(&readings, Requirements::default()).len(), 2);
    }
}
