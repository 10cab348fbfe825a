//! Settings of the machine, read from /proc of Linux, and the two clocks. A setting that cannot be read, on another
//! system or in a sandbox, is `None`.

use std::fs::read_to_string;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time over which the two clocks are compared.
const CLOCK_INTERVAL: Duration = Duration::from_millis(200);

/// The settings of one machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Readings {
    /// Soft and hard limit of open files of this process.
    pub(super) open_files: Option<(u64, u64)>,
    /// Greatest backlog of a listening socket.
    pub(super) backlog: Option<u64>,
    /// First and last port of outgoing connections.
    pub(super) ports: Option<(u64, u64)>,
    /// Memory of TCP in pages: the start of memory pressure, and the limit.
    pub(super) tcp_pages: Option<(u64, u64)>,
    /// Overcommit of memory: 1 always, 0 heuristic, 2 never.
    pub(super) overcommit: Option<u64>,
    pub(super) clocks: Clocks,
}

/// The wall clock compared with the monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Clocks {
    /// Seconds since 1970; 0 for an earlier time.
    pub(super) wall_seconds: u64,
    /// Difference to the monotonic clock over [`CLOCK_INTERVAL`].
    pub(super) drift: Duration,
}

impl Readings {
    /// Reads all settings; takes [`CLOCK_INTERVAL`].
    pub(super) async fn take() -> Self {
        let two = |name| numbers(name).and_then(|list| Some((*list.first()?, *list.get(1)?)));
        let one = |name| numbers(name)?.first().copied();
        Self {
            open_files: read_to_string("/proc/self/limits").ok().and_then(|text| open_files(&text)),
            backlog: one("net/core/somaxconn"),
            ports: two("net/ipv4/ip_local_port_range"),
            tcp_pages: numbers("net/ipv4/tcp_mem")
                .and_then(|list| Some((*list.get(1)?, *list.get(2)?))),
            overcommit: one("vm/overcommit_memory"),
            clocks: compare_clocks().await,
        }
    }
}

/// Reads the numbers in a file of /proc/sys.
fn numbers(name: &str) -> Option<Vec<u64>> {
    list(&read_to_string(format!("/proc/sys/{name}")).ok()?)
}

fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

/// Parses the line `Max open files  SOFT  HARD  files` of /proc/self/limits.
fn open_files(limits: &str) -> Option<(u64, u64)> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let number = |word: &str| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() };
    let mut words = line.split_whitespace();
    Some((number(words.next()?)?, number(words.next()?)?))
}

#[expect(clippy::disallowed_methods, reason = "checks the clocks themselves")]
async fn compare_clocks() -> Clocks {
    let (wall, monotonic) = (SystemTime::now(), Instant::now());
    tokio::time::sleep(CLOCK_INTERVAL).await;
    let (went, passed) = (SystemTime::now().duration_since(wall), monotonic.elapsed());
    let drift = match went {
        Ok(went) => went.abs_diff(passed),
        Err(backwards) => backwards.duration() + passed,
    };
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    Clocks { wall_seconds: since.as_secs(), drift }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_numbers_are_parsed() {
        let limits = "Limit      Soft Limit  Hard Limit  Units\nMax processes  7  8  processes\n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(limits), Some((1024, 524_288)));
        assert_eq!(
            open_files("Max open files unlimited unlimited files"),
            Some((u64::MAX, u64::MAX))
        );
        for wrong in ["", "Max open files", "Max open files 1", "Max open files x y files"] {
            assert_eq!(open_files(wrong), None, "{wrong}");
        }
        assert_eq!(list::<u64>("32768\t60999\n"), Some(vec![32_768, 60_999]));
        assert_eq!(list::<u64>("1 x"), None);
    }

    #[tokio::test]
    async fn the_clocks_are_read() {
        let clocks = Readings::take().await.clocks;
        assert!(clocks.wall_seconds > 1_600_000_000, "{clocks:?}");
    }
}
