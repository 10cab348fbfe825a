//! Cumulative resource usage of the processes and Redis; a run is the difference of two values.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::test_bed::TestBed;

/// Clock ticks per second in /proc, the same on all Linux architectures.
const TICKS: f64 = 100.0;

/// Cumulative counters at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    /// CPU seconds by process name; processes with the same name are summed.
    pub(crate) cpu: BTreeMap<&'static str, f64>,
    /// CPU seconds reported by Redis, with a finer resolution.
    pub(crate) redis_cpu: f64,
    /// Commands executed by Redis, including those in scripts.
    pub(crate) redis_commands: f64,
    /// Scripts executed by Redis.
    pub(crate) redis_scripts: f64,
    /// Appends of all partitions.
    pub(crate) appends: f64,
    /// Bytes of the appends.
    pub(crate) append_bytes: f64,
}

impl Usage {
    /// Reads the current counters.
    pub(crate) async fn now(test_bed: &TestBed) -> anyhow::Result<Self> {
        let mut cpu = BTreeMap::new();
        for (name, pid) in test_bed.pids() {
            let path = format!("/proc/{pid}/stat");
            let stat = std::fs::read_to_string(&path).with_context(|| format!("no {path}"))?;
            let seconds = ticks(&stat).with_context(|| format!("{path} is malformed"))? / TICKS;
            *cpu.entry(name).or_default() += seconds;
        }
        let redis = &test_bed.redis;
        let redis_cpu = redis.figure("cpu", "used_cpu_sys").await?
            + redis.figure("cpu", "used_cpu_user").await?;
        let scripts: String = redis.command(&["INFO", "commandstats"]).await?;
        Ok(Self {
            cpu,
            redis_cpu,
            redis_commands: redis.figure("stats", "total_commands_processed").await?,
            redis_scripts: calls(&scripts, "evalsha"),
            appends: test_bed.core_figure("minerva_core_store_append_seconds_count").await?,
            append_bytes: test_bed.core_figure("minerva_core_store_append_bytes_total").await?,
        })
    }

    /// The difference to an earlier value.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let used = |name: &&'static str| {
            self.cpu[name] - earlier.cpu.get(name).copied().unwrap_or_default()
        };
        Self {
            cpu: self.cpu.keys().map(|name| (*name, used(name))).collect(),
            redis_cpu: self.redis_cpu - earlier.redis_cpu,
            redis_commands: self.redis_commands - earlier.redis_commands,
            redis_scripts: self.redis_scripts - earlier.redis_scripts,
            appends: self.appends - earlier.appends,
            append_bytes: self.append_bytes - earlier.append_bytes,
        }
    }
}

/// User and system time from a stat line of /proc.
fn ticks(stat: &str) -> Option<f64> {
    // The command name in parentheses may contain any character.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

/// Number of calls of a command; 0 if the command is not listed.
fn calls(commandstats: &str, command: &str) -> f64 {
    let key = format!("cmdstat_{command}:calls=");
    let mut lines = commandstats.lines().filter_map(|line| line.strip_prefix(&key));
    let number = lines.next().and_then(|rest| rest.split(',').next()?.parse().ok());
    number.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_parsed() {
        let stat = "12 (a) b) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(300.0));
        let stats = "# Commandstats\r\ncmdstat_evalsha:calls=12,usec=3\r\n";
        assert_eq!((calls(stats, "evalsha"), calls(stats, "eval")), (12.0, 0.0));
    }
}
