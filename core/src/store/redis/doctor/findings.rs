//! Findings about one Redis server: whether its configuration keeps acknowledged data. Pure.

use minerva_runtime::doctor::Finding;

use super::super::super::StoreError;
use super::super::server_info::ServerInfo;
use super::super::url::{Kind, RedisUrl};

/// Tolerated clock offset in milliseconds: covers network delay and the error of common time servers.
const MAX_CLOCK_OFFSET_MS: u64 = 1000;

/// State and settings of a server. `None`: the user lacks the permission.
#[derive(Debug, Clone)]
pub(super) struct ServerReport {
    pub(super) server: String,
    /// The INFO reply.
    pub(super) info: String,
    pub(super) clock_ahead_ms: Option<i64>,
    pub(super) appendfsync: Option<String>,
    pub(super) min_replicas: Option<String>,
    /// How long a primary must be unreachable before it is replaced; `None` if unknown or without automatic failover.
    pub(super) failover_ms: Option<u64>,
    /// Result of loading the scripts.
    pub(super) scripts: Result<(), StoreError>,
}

impl ServerReport {
    fn subject(&self, item: &str) -> String {
        format!("Redis at {}, {item}", self.server)
    }

    /// A field of the INFO reply; empty if missing.
    fn info(&self, name: &str) -> &str {
        let mut fields = self.info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| *field == name).map_or("", |(_, value)| value.trim())
    }

    fn replicas(&self) -> u64 {
        self.info("connected_slaves").parse().unwrap_or(0)
    }
}

/// All findings about a server.
pub(super) fn findings(report: &ServerReport, url: &RedisUrl) -> Vec<Finding> {
    let server = ServerInfo::parse(&report.info);
    let checks = server.checks(&report.server, url.kind == Kind::Cluster);
    let mut findings: Vec<_> = checks
        .into_iter()
        .map(|(item, value, result)| check_finding(report.subject(item), value, result))
        .collect();
    findings.push(check_finding(report.subject("scripts"), "loaded", report.scripts.clone()));
    findings.push(aof_finding(report, server.has_aof));
    if server.has_aof {
        findings.push(sync_finding(report, url.options.wait));
    }
    findings.extend(write_status_findings(report));
    let fails_over = url.kind != Kind::Single;
    findings.push(replica_finding(report, url.options.wait, fails_over));
    findings.push(min_replicas_finding(report, url.options.wait, fails_over));
    findings.extend(hold_finding(report, url));
    findings.push(clock_finding(report));
    findings
}

fn check_finding(subject: String, value: &str, result: Result<(), StoreError>) -> Finding {
    match result {
        Ok(()) => Finding::ok(subject, value),
        Err(error) => Finding::fail(subject, value, error.to_string()),
    }
}

fn aof_finding(report: &ServerReport, has_aof: bool) -> Finding {
    let subject = report.subject("appendonly");
    if has_aof {
        return Finding::ok(subject, "yes");
    }
    if report.replicas() > 0 {
        let fix = "`appendonly yes` on every server, or a restart of the primary empties its replicas, too";
        return Finding::fail(subject, "no, with replicas", fix);
    }
    Finding::warn(subject, "no", "`appendonly yes`, or its exit loses acknowledged writes")
}

fn sync_finding(report: &ServerReport, wait: usize) -> Finding {
    let subject = report.subject("appendfsync");
    let fix = "`appendfsync always`, to lose nothing when the machine fails";
    match report.appendfsync.as_deref() {
        Some("always") => Finding::ok(subject, "always"),
        Some("everysec") if wait > 0 => {
            Finding::ok(subject, "everysec, with confirmation by replicas")
        }
        Some("everysec") => Finding::warn(subject, "everysec, which can lose 2 seconds", fix),
        Some(other) if wait > 0 => {
            Finding::warn(subject, format!("{other}, which can lose half a minute"), fix)
        }
        Some(other) => {
            Finding::fail(subject, format!("{other}, which can lose half a minute"), fix)
        }
        None => unreadable(subject),
    }
}

fn unreadable(subject: String) -> Finding {
    let fix = "check the setting, or permit `CONFIG GET` and `TIME` to the user";
    Finding::warn(subject, "unreadable", fix)
}

/// Status of the last disk writes. After a failure the server rejects further writes.
fn write_status_findings(report: &ServerReport) -> Vec<Finding> {
    let fields = ["aof_last_write_status", "rdb_last_bgsave_status", "aof_last_bgrewrite_status"];
    let present = fields.into_iter().filter(|name| !report.info(name).is_empty());
    present
        .map(|name| {
            let (subject, status) = (report.subject(name), report.info(name));
            let fix = "see the log of Redis; the disk may be full, or memory too small for a fork";
            match (status, name) {
                ("ok", _) => Finding::ok(subject, status),
                (_, "aof_last_bgrewrite_status") => Finding::warn(subject, status, fix),
                _ => Finding::fail(subject, status, fix),
            }
        })
        .collect()
}

/// `fails_over`: the deployment replaces a failed primary on its own.
fn replica_finding(report: &ServerReport, wait: usize, fails_over: bool) -> Finding {
    let (subject, replicas) = (report.subject("replicas"), report.replicas());
    let value = format!("{replicas} connected, at least {wait} required for an append");
    if replicas < wait as u64 {
        return Finding::fail(subject, value, "connect replicas, or lower wait= in --store");
    }
    if replicas > 0 && wait == 0 {
        let fix = "?wait=1 in --store, or a failover loses acknowledged writes";
        if fails_over {
            return Finding::fail(subject, value, fix);
        }
        return Finding::warn(subject, value, fix);
    }
    Finding::ok(subject, value)
}

fn min_replicas_finding(report: &ServerReport, wait: usize, fails_over: bool) -> Finding {
    let (subject, replicas) = (report.subject("min-replicas-to-write"), report.replicas());
    let Some(wanted) = report.min_replicas.as_deref().and_then(|text| text.parse::<u64>().ok())
    else {
        return unreadable(subject);
    };
    if wanted > replicas {
        let value = format!("{wanted}, with {replicas} connected: the server rejects writes");
        return Finding::fail(subject, value, "connect replicas, or lower the setting");
    }
    if wanted < wait as u64 {
        let value = format!("{wanted}, with wait={wait}");
        let fix = "as many as wait= on every server, or a server without these replicas takes writes that are \
                   never confirmed";
        return Finding::warn(subject, value, fix);
    }
    if wanted == 0 && replicas > 0 && fails_over {
        let fix = "1 or more on every server, or a primary that is cut off continues to write";
        return Finding::warn(subject, wanted, fix);
    }
    Finding::ok(subject, wanted)
}

/// Without a failover of its own, or with all replicas required by the server, the hold is not needed.
fn hold_finding(report: &ServerReport, url: &RedisUrl) -> Option<Finding> {
    let failover_ms = report.failover_ms.filter(|_| url.options.wait > 0)?;
    let subject = report.subject("hold_ms");
    let hold_ms = url.options.hold.as_millis();
    let value = format!("{hold_ms}, with a failover after {failover_ms} ms");
    let required = report.min_replicas.as_deref().and_then(|text| text.parse::<u64>().ok());
    let requires_all = required.is_some_and(|wanted| wanted > 0 && wanted >= report.replicas());
    if requires_all || hold_ms > u128::from(failover_ms) {
        return Some(Finding::ok(subject, value));
    }
    let fix = "hold_ms= in --store above down-after-milliseconds or cluster-node-timeout, or min-replicas-to-write \
               as many as replicas; otherwise a primary that is cut off with a core goes on before it is replaced, and acknowledged writes are lost";
    Some(Finding::fail(subject, value, fix))
}

fn clock_finding(report: &ServerReport) -> Finding {
    let subject = report.subject("clock");
    let Some(ahead) = report.clock_ahead_ms else { return unreadable(subject) };
    let value = format!("{ahead} ms ahead of this machine");
    if ahead.unsigned_abs() <= MAX_CLOCK_OFFSET_MS {
        return Finding::ok(subject, value);
    }
    Finding::warn(subject, value, "synchronize both clocks (chrony, systemd-timesyncd)")
}

#[cfg(test)]
mod tests {
    use minerva_runtime::doctor::Verdict::{self, Fail, Ok as Fine, Warn};

    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nloading:0\r\n\
        maxmemory_policy:noeviction\r\naof_enabled:1\r\ncluster_enabled:0\r\nconnected_slaves:1\r\n\
        rdb_last_bgsave_status:ok\r\naof_last_write_status:ok\r\naof_last_bgrewrite_status:ok\r\n";

    fn good() -> ServerReport {
        ServerReport {
            server: "h:1".to_owned(),
            info: INFO.to_owned(),
            clock_ahead_ms: Some(-1000),
            appendfsync: Some("always".to_owned()),
            min_replicas: Some("1".to_owned()),
            failover_ms: None,
            scripts: Ok(()),
        }
    }

    fn url(query: &str) -> RedisUrl {
        RedisUrl::parse(&format!("redis://h{query}")).unwrap().unwrap()
    }

    fn flaws(report: &ServerReport, query: &str) -> Vec<(String, Verdict)> {
        let findings = findings(report, &url(query)).into_iter();
        let flaws = findings.filter(|finding| finding.verdict() != Fine);
        let short = |finding: Finding| finding.subject().replace("Redis at h:1, ", "");
        flaws.map(|finding| (short(finding.clone()), finding.verdict())).collect()
    }

    #[test]
    fn a_well_configured_server_has_no_flaw() {
        assert_eq!(flaws(&good(), "?wait=1"), []);
        let everysec = ServerReport { appendfsync: Some("everysec".to_owned()), ..good() };
        assert_eq!(flaws(&everysec, "?wait=1"), []);
    }

    #[test]
    fn each_info_field_yields_a_finding() {
        for (good_field, bad, item, verdict) in [
            ("redis_version:7.0.15", "redis_version:6.2", "version", Fail),
            ("role:master", "role:slave", "role", Fail),
            ("loading:0", "loading:1", "loading", Fail),
            ("policy:noeviction", "policy:allkeys-lru", "maxmemory-policy", Fail),
            ("cluster_enabled:0", "cluster_enabled:1", "cluster", Fail),
            ("aof_enabled:1", "aof_enabled:0", "appendonly", Fail),
            ("bgsave_status:ok", "bgsave_status:err", "rdb_last_bgsave_status", Fail),
            ("last_write_status:ok", "last_write_status:err", "aof_last_write_status", Fail),
            ("rewrite_status:ok", "rewrite_status:err", "aof_last_bgrewrite_status", Warn),
        ] {
            let report = ServerReport { info: INFO.replace(good_field, bad), ..good() };
            assert_eq!(flaws(&report, "?wait=1"), [(item.to_owned(), verdict)], "{bad}");
        }
    }

    #[test]
    fn settings_and_clock_yield_findings() {
        let text = |text: &str| Some(text.to_owned());
        for (report, item, verdict) in [
            (ServerReport { clock_ahead_ms: Some(1001), ..good() }, "clock", Warn),
            (ServerReport { clock_ahead_ms: Some(-1001), ..good() }, "clock", Warn),
            (ServerReport { clock_ahead_ms: None, ..good() }, "clock", Warn),
            (ServerReport { appendfsync: text("no"), ..good() }, "appendfsync", Warn),
            (ServerReport { appendfsync: None, ..good() }, "appendfsync", Warn),
            (ServerReport { min_replicas: text("2"), ..good() }, "min-replicas-to-write", Fail),
            (ServerReport { min_replicas: None, ..good() }, "min-replicas-to-write", Warn),
            (
                ServerReport { scripts: Err(StoreError::Config("no".to_owned())), ..good() },
                "scripts",
                Fail,
            ),
        ] {
            assert_eq!(flaws(&report, "?wait=1"), [(item.to_owned(), verdict)]);
        }
        let without_file = INFO.replace("aof_enabled:1", "aof_enabled:0");
        let alone = ServerReport {
            info: without_file.replace("slaves:1", "slaves:0"),
            min_replicas: text("0"),
            ..good()
        };
        assert_eq!(flaws(&alone, ""), [("appendonly".to_owned(), Warn)]);
        let everysec = ServerReport {
            appendfsync: text("everysec"),
            info: INFO.replace("slaves:1", "slaves:0"),
            min_replicas: text("0"),
            ..good()
        };
        assert_eq!(flaws(&everysec, ""), [("appendfsync".to_owned(), Warn)]);
    }

    #[test]
    fn an_automatic_failover_needs_confirmed_writes() {
        for (address, verdict) in
            [("redis://h", Warn), ("redis-sentinel://h/main", Fail), ("redis-cluster://h", Fail)]
        {
            let url = |query| RedisUrl::parse(&format!("{address}{query}")).unwrap().unwrap();
            let found = |min_replicas: &str, query| {
                let min_replicas = Some(min_replicas.to_owned());
                findings(&ServerReport { min_replicas, ..good() }, &url(query))
            };
            let verdict_of = |findings: Vec<Finding>, item: &str| {
                let finding = findings.iter().find(|finding| finding.subject().ends_with(item));
                finding.unwrap().verdict()
            };
            assert_eq!(verdict_of(found("1", ""), "replicas"), verdict, "{address}");
            assert_eq!(verdict_of(found("1", "?wait=1"), "replicas"), Fine, "{address}");
            assert_eq!(verdict_of(found("0", "?wait=1"), "min-replicas-to-write"), Warn);
            let expected = if verdict == Fail { Warn } else { Fine };
            assert_eq!(verdict_of(found("0", ""), "min-replicas-to-write"), expected);
        }
    }

    #[test]
    fn connected_replicas_meet_the_required_number() {
        let replicas = |count: u32| ServerReport {
            info: INFO.replace("slaves:1", &format!("slaves:{count}")),
            min_replicas: Some(count.to_string()),
            ..good()
        };
        for (count, query, verdict) in [
            (0, "", None),
            (1, "", Some(Warn)),
            (1, "?wait=2", Some(Fail)),
            (2, "?wait=2", None),
            (3, "?wait=2", None),
        ] {
            let found = flaws(&replicas(count), query);
            assert_eq!(found.first().map(|(_, verdict)| *verdict), verdict, "{count} {query}");
        }
    }

    #[test]
    fn the_server_requires_as_many_replicas_as_the_core() {
        for (min_replicas, query, flawed) in [
            ("0", "?wait=1", true),
            ("1", "?wait=1", false),
            ("1", "?wait=2", true),
            ("2", "?wait=2", false),
            ("2", "?wait=1", false),
        ] {
            let report = ServerReport {
                info: INFO.replace("slaves:1", "slaves:2"),
                min_replicas: Some(min_replicas.to_owned()),
                ..good()
            };
            let expected = flawed.then(|| ("min-replicas-to-write".to_owned(), Warn));
            assert_eq!(flaws(&report, query), Vec::from_iter(expected), "{min_replicas} {query}");
        }
    }

    #[test]
    fn the_hold_is_longer_than_a_failover() {
        for (failover_ms, min_replicas, query, flawed) in [
            (Some(4999), "1", "?wait=1", false),
            (Some(5000), "1", "?wait=1", true),
            (Some(30_000), "1", "?wait=1&hold_ms=30001", false),
            (Some(30_000), "2", "?wait=1", false),
            (None, "1", "?wait=1", false),
        ] {
            let report = ServerReport {
                info: INFO.replace("slaves:1", "slaves:2"),
                min_replicas: Some(min_replicas.to_owned()),
                failover_ms,
                ..good()
            };
            let expected = flawed.then(|| ("hold_ms".to_owned(), Fail));
            assert_eq!(flaws(&report, query), Vec::from_iter(expected), "{failover_ms:?} {query}");
        }
    }

    #[test]
    fn a_file_that_is_never_synced_needs_confirmed_writes() {
        let never = ServerReport {
            appendfsync: Some("no".to_owned()),
            info: INFO.replace("slaves:1", "slaves:0"),
            min_replicas: Some("0".to_owned()),
            ..good()
        };
        assert_eq!(flaws(&never, ""), [("appendfsync".to_owned(), Fail)]);
    }
}
