//! Redis servers and Sentinels as processes, with a client for single commands.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, RedisResult};
use tokio::time::{sleep, timeout};

use crate::process::Process;

/// The program, and the environment variable that overrides it.
const PROGRAM: (&str, &str) = ("redis-server", "MINERVA_TEST_REDIS_SERVER");
/// Timeout of a command.
const COMMAND: Duration = Duration::from_secs(5);
/// Timeout of a connection and of each reply, which may be the whole content.
const CONNECTION: Duration = Duration::from_secs(20);
/// Interval and deadline of polling.
const POLL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// The address and directory of a server, which need not run.
#[derive(Debug, Clone)]
pub struct RedisServer {
    /// Listen address.
    pub address: SocketAddr,
    /// Data directory.
    pub directory: PathBuf,
}

impl RedisServer {
    /// Describes a server with an append-only file synced every second. `settings` are additional configuration lines;
    /// a Sentinel may rewrite the file.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn new(
        name: &str,
        address: SocketAddr,
        directory: PathBuf,
        settings: &[&str],
    ) -> anyhow::Result<(Self, Process)> {
        // Starts a replica's synchronisation at once instead of after 5 s.
        let usual =
            ["appendonly yes", "appendfsync everysec", "save \"\"", "repl-diskless-sync-delay 0"];
        let text = [&usual, settings].concat().join("\n");
        let server = Self { address, directory };
        let process = server.process(name, "Ready to accept connections", &text, &[])?;
        Ok((server, process))
    }

    /// Describes a Sentinel that monitors `primary` under the name `minerva`.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn sentinel(
        name: &str,
        address: SocketAddr,
        directory: PathBuf,
        primary: SocketAddr,
    ) -> anyhow::Result<(Self, Process)> {
        let text = format!(
            "sentinel monitor minerva {} {} 2\nsentinel down-after-milliseconds minerva 1000\n\
             sentinel failover-timeout minerva 5000",
            primary.ip(),
            primary.port()
        );
        let server = Self { address, directory };
        let process = server.process(name, "+monitor", &text, &["--sentinel"])?;
        Ok((server, process))
    }

    fn process(
        &self,
        name: &str,
        ready_marker: &'static str,
        settings: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Process> {
        let directory = self.directory.to_str().context("a path that is not UTF-8")?;
        std::fs::create_dir_all(directory).context("no directory for Redis")?;
        let port = self.address.port();
        let text = format!("{settings}\nport {port}\nbind 127.0.0.1\ndir {directory}\n");
        let file = self.directory.with_extension("conf");
        std::fs::write(&file, text).context("no file for Redis")?;
        let program = std::env::var_os(PROGRAM.1).unwrap_or_else(|| PROGRAM.0.into());
        let arguments = arguments.iter().map(OsString::from);
        let arguments = [OsString::from(file)].into_iter().chain(arguments).collect();
        let log = self.directory.with_extension("log");
        Ok(Process::new(name, program.into(), arguments, log).ready_when(ready_marker))
    }

    /// Runs a command on a new connection.
    ///
    /// # Errors
    /// If the server is unreachable or returns an error.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        let requested = async {
            let mut connection = self.connect().await?;
            redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
        };
        let what = || format!("{} to {}", words.join(" "), self.address);
        let answer: RedisResult<T> = timeout(COMMAND, requested).await.with_context(what)?;
        answer.with_context(what)
    }

    /// Reads a figure from a section of INFO.
    ///
    /// # Errors
    /// If the server is unreachable or the figure is missing.
    pub async fn figure(&self, section: &str, name: &str) -> anyhow::Result<f64> {
        let text: String = self.command(&["INFO", section]).await?;
        figure(&text, name).with_context(|| format!("INFO {section} has no {name}"))
    }

    /// Repeats a command until the reply is accepted.
    ///
    /// # Errors
    /// If no reply is accepted before the deadline.
    pub async fn until<T: FromRedisValue>(
        &self,
        words: &[&str],
        expected: impl Fn(&T) -> bool,
    ) -> anyhow::Result<T> {
        let polling = async {
            loop {
                match self.command::<T>(words).await {
                    Ok(answer) if expected(&answer) => return answer,
                    Ok(_) | Err(_) => sleep(POLL.0).await,
                }
            }
        };
        match timeout(POLL.1, polling).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                bail!("{} does not return the expected reply to {}", self.address, words.join(" "))
            }
        }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let client = redis::Client::open(format!("redis://{}", self.address))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTION))
            .set_response_timeout(Some(CONNECTION));
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

fn figure(info: &str, name: &str) -> Option<f64> {
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

/// Replaces a directory by a recursive copy of another one.
///
/// # Errors
/// If a file cannot be read or written.
pub fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_matched_by_full_name() {
        let info = "# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_sys_children:9\r\n";
        assert_eq!(figure(info, "used_cpu_sys"), Some(1.5));
        assert_eq!(figure(info, "used_cpu"), None);
    }

    #[test]
    fn a_copy_replaces_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        std::fs::create_dir_all(from.join("below")).unwrap();
        std::fs::write(from.join("below/a"), "new").unwrap();
        std::fs::create_dir_all(&to).unwrap();
        std::fs::write(to.join("old"), "old").unwrap();
        copy_directory(&from, &to).unwrap();
        assert_eq!(std::fs::read(to.join("below/a")).unwrap(), b"new");
        assert!(!to.join("old").exists());
    }
}
