//! Whether a server, by what it says of itself, keeps what it has confirmed. Pure.

use minerva_runtime::doctor::Finding;

use super::super::super::StoreError;
use super::super::address::{Kind, RedisUrl};
use super::super::server::Server;

/// Milliseconds by which the server's clock may differ: what a network and common time servers explain.
const CLOCK: u64 = 1000;

/// What was read of a server.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) place: String,
    /// The text of INFO.
    pub(super) info: String,
    /// `None`, here and below: the user may not ask.
    pub(super) clock_ahead_ms: Option<i64>,
    pub(super) appendfsync: Option<String>,
    pub(super) min_replicas: Option<String>,
    /// Whether the store's scripts can be loaded.
    pub(super) scripts: Result<(), StoreError>,
}

impl Reading {
    fn what(&self, what: &str) -> String {
        format!("Redis at {}, {what}", self.place)
    }

    /// What INFO says; empty if it does not.
    fn info(&self, name: &str) -> &str {
        let mut fields = self.info.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| *field == name).map_or("", |(_, value)| value.trim())
    }

    fn replicas(&self) -> u64 {
        self.info("connected_slaves").parse().unwrap_or(0)
    }
}

/// One line for each thing that matters.
pub(super) fn judge(reading: &Reading, url: &RedisUrl) -> Vec<Finding> {
    let server = Server::parse(&reading.info);
    let checks = server.checks(&reading.place, url.kind == Kind::Cluster);
    let mut findings: Vec<_> = checks
        .into_iter()
        .map(|(what, value, result)| fit(reading.what(what), value, result))
        .collect();
    findings.push(fit(reading.what("scripts"), "loaded", reading.scripts.clone()));
    findings.push(judge_file(reading, server.has_aof));
    if server.has_aof {
        findings.push(judge_sync(reading, url.options.wait));
    }
    findings.extend(judge_writes(reading));
    findings.push(judge_replicas(reading, url.options.wait));
    findings.push(judge_min_replicas(reading));
    findings.push(judge_clock(reading));
    findings
}

fn fit(what: String, value: &str, result: Result<(), StoreError>) -> Finding {
    match result {
        Ok(()) => Finding::ok(what, value),
        Err(error) => Finding::fail(what, value, error.to_string()),
    }
}

fn judge_file(reading: &Reading, has_aof: bool) -> Finding {
    let what = reading.what("appendonly");
    if has_aof {
        return Finding::ok(what, "yes");
    }
    Finding::warn(what, "no", "`appendonly yes`, or what it has confirmed is lost when it dies")
}

fn judge_sync(reading: &Reading, wait: usize) -> Finding {
    let what = reading.what("appendfsync");
    let fix = "`appendfsync always`, if nothing may be lost when its machine dies";
    match reading.appendfsync.as_deref() {
        Some("always") => Finding::ok(what, "always"),
        Some("everysec") if wait > 0 => Finding::ok(what, "everysec, and replicas are waited for"),
        Some("everysec") => Finding::warn(what, "everysec, which can lose 2 seconds", fix),
        Some(other) => Finding::warn(what, format!("{other}, which can lose half a minute"), fix),
        None => unread(what),
    }
}

fn unread(what: String) -> Finding {
    let fix = "look at it yourself, or allow the user `CONFIG GET` and `TIME`";
    Finding::warn(what, "cannot be read", fix)
}

/// Whether its last writes to the disk went well. After a failure it refuses all others.
fn judge_writes(reading: &Reading) -> Vec<Finding> {
    let fields = ["aof_last_write_status", "rdb_last_bgsave_status", "aof_last_bgrewrite_status"];
    let told = fields.into_iter().filter(|name| !reading.info(name).is_empty());
    told.map(|name| {
        let (what, status) = (reading.what(name), reading.info(name));
        let fix = "see Redis' log; its disk may be full, or memory too short for a copy";
        match (status, name) {
            ("ok", _) => Finding::ok(what, status),
            (_, "aof_last_bgrewrite_status") => Finding::warn(what, status, fix),
            _ => Finding::fail(what, status, fix),
        }
    })
    .collect()
}

fn judge_replicas(reading: &Reading, wait: usize) -> Finding {
    let (what, replicas) = (reading.what("replicas"), reading.replicas());
    let value = format!("{replicas}, of which {wait} are waited for");
    if replicas < wait as u64 {
        return Finding::fail(what, value, "connect replicas, or lower wait= in --store");
    }
    if replicas > 0 && wait == 0 {
        let fix = "?wait=1 in --store, or a failover loses what the replica has not got yet";
        return Finding::warn(what, value, fix);
    }
    Finding::ok(what, value)
}

fn judge_min_replicas(reading: &Reading) -> Finding {
    let (what, replicas) = (reading.what("min-replicas-to-write"), reading.replicas());
    let Some(wanted) = reading.min_replicas.as_deref().and_then(|text| text.parse::<u64>().ok())
    else {
        return unread(what);
    };
    if wanted > replicas {
        let value = format!("{wanted}, with {replicas} connected: it refuses to write");
        return Finding::fail(what, value, "connect replicas, or lower it");
    }
    Finding::ok(what, wanted)
}

fn judge_clock(reading: &Reading) -> Finding {
    let what = reading.what("clock");
    let Some(ahead) = reading.clock_ahead_ms else { return unread(what) };
    let value = format!("{ahead} ms ahead of ours");
    if ahead.unsigned_abs() <= CLOCK {
        return Finding::ok(what, value);
    }
    Finding::warn(what, value, "set both clocks by the same servers (chrony, systemd-timesyncd)")
}

#[cfg(test)]
mod tests {
    use minerva_runtime::doctor::Verdict::{self, Fail, Ok as Fine, Warn};

    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nloading:0\r\n\
        maxmemory_policy:noeviction\r\naof_enabled:1\r\ncluster_enabled:0\r\nconnected_slaves:1\r\n\
        rdb_last_bgsave_status:ok\r\naof_last_write_status:ok\r\naof_last_bgrewrite_status:ok\r\n";

    fn good() -> Reading {
        Reading {
            place: "h:1".to_owned(),
            info: INFO.to_owned(),
            clock_ahead_ms: Some(-1000),
            appendfsync: Some("always".to_owned()),
            min_replicas: Some("1".to_owned()),
            scripts: Ok(()),
        }
    }

    fn url(query: &str) -> RedisUrl {
        RedisUrl::parse(&format!("redis://h{query}")).unwrap().unwrap()
    }

    fn flaws(reading: &Reading, query: &str) -> Vec<(String, Verdict)> {
        let findings = judge(reading, &url(query)).into_iter();
        let flaws = findings.filter(|finding| finding.verdict() != Fine);
        let short = |finding: Finding| finding.what().replace("Redis at h:1, ", "");
        flaws.map(|finding| (short(finding.clone()), finding.verdict())).collect()
    }

    #[test]
    fn a_good_server_has_no_flaw() {
        assert_eq!(flaws(&good(), "?wait=1"), []);
        let everysec = Reading { appendfsync: Some("everysec".to_owned()), ..good() };
        assert_eq!(flaws(&everysec, "?wait=1"), []);
    }

    #[test]
    fn what_info_says_is_judged() {
        for (good_field, bad, what, verdict) in [
            ("redis_version:7.0.15", "redis_version:6.2", "version", Fail),
            ("role:master", "role:slave", "role", Fail),
            ("loading:0", "loading:1", "loading", Fail),
            ("policy:noeviction", "policy:allkeys-lru", "maxmemory-policy", Fail),
            ("cluster_enabled:0", "cluster_enabled:1", "cluster", Fail),
            ("aof_enabled:1", "aof_enabled:0", "appendonly", Warn),
            ("bgsave_status:ok", "bgsave_status:err", "rdb_last_bgsave_status", Fail),
            ("last_write_status:ok", "last_write_status:err", "aof_last_write_status", Fail),
            ("rewrite_status:ok", "rewrite_status:err", "aof_last_bgrewrite_status", Warn),
        ] {
            let reading = Reading { info: INFO.replace(good_field, bad), ..good() };
            assert_eq!(flaws(&reading, "?wait=1"), [(what.to_owned(), verdict)], "{bad}");
        }
    }

    #[test]
    fn settings_and_clock_are_judged() {
        let text = |text: &str| Some(text.to_owned());
        for (reading, what, verdict) in [
            (Reading { clock_ahead_ms: Some(1001), ..good() }, "clock", Warn),
            (Reading { clock_ahead_ms: Some(-1001), ..good() }, "clock", Warn),
            (Reading { clock_ahead_ms: None, ..good() }, "clock", Warn),
            (Reading { appendfsync: text("no"), ..good() }, "appendfsync", Warn),
            (Reading { appendfsync: None, ..good() }, "appendfsync", Warn),
            (Reading { min_replicas: text("2"), ..good() }, "min-replicas-to-write", Fail),
            (Reading { min_replicas: None, ..good() }, "min-replicas-to-write", Warn),
            (
                Reading { scripts: Err(StoreError::Config("no".to_owned())), ..good() },
                "scripts",
                Fail,
            ),
        ] {
            assert_eq!(flaws(&reading, "?wait=1"), [(what.to_owned(), verdict)]);
        }
        let everysec = Reading {
            appendfsync: text("everysec"),
            info: INFO.replace("slaves:1", "slaves:0"),
            min_replicas: text("0"),
            ..good()
        };
        assert_eq!(flaws(&everysec, ""), [("appendfsync".to_owned(), Warn)]);
    }

    #[test]
    fn replicas_are_as_many_as_are_waited_for() {
        let replicas = |count| Reading {
            info: INFO.replace("slaves:1", &format!("slaves:{count}")),
            min_replicas: Some("0".to_owned()),
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
}
