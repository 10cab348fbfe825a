//! Redis servers as child processes, each in a separate directory. Dropping a [`Server`] kills the process.

#[path = "../support/ports.rs"]
mod ports;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use minerva_core::store::{OperatorStore, StoreUrl, open};
pub(crate) use ports::free_port;
use redis::Value;
use tempfile::TempDir;

/// Environment variable that selects another program, such as valkey-server.
pub(crate) const PROGRAM: &str = "MINERVA_TEST_REDIS_SERVER";
/// Timeout of each wait for a server.
const SERVER_DEADLINE: Duration = Duration::from_secs(20);

/// A running server process.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) directory: TempDir,
    options: Vec<String>,
}

impl Server {
    /// A server without persistence.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_at(free_port(), options)
    }

    /// A server that syncs the append-only file before each reply.
    pub(crate) fn durable() -> Self {
        Self::start(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// A Sentinel without a monitored primary.
    pub(crate) fn sentinel() -> Self {
        Self::sentinel_with("")
    }

    /// A Sentinel with a configuration file.
    pub(crate) fn sentinel_with(configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = directory.path().join("sentinel.conf");
        std::fs::write(&file, configuration).unwrap();
        let options = vec![file.to_str().unwrap().to_owned(), "--sentinel".to_owned()];
        let child = spawn(port, &directory, &options);
        let server = Self { child, port, directory, options };
        server.wait_until_up();
        server
    }

    /// A server without persistence at a port.
    pub(crate) fn start_at(port: u16, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let child = spawn(port, &directory, &options);
        let server = Self { child, port, directory, options };
        server.wait_until_up();
        server
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the process again on the same files.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.directory, &self.options);
        self.wait_until_up();
    }

    /// Sends a signal to the process, such as STOP.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Executes a command on a new connection.
    pub(crate) fn command(&self, parts: &[&str]) -> Value {
        self.try_command(parts).unwrap_or_else(|error| panic!("{parts:?}: {error}"))
    }

    pub(crate) fn try_command(&self, parts: &[&str]) -> redis::RedisResult<Value> {
        let client = redis::Client::open(self.url("")).unwrap();
        let mut connection = client.get_connection_with_timeout(SERVER_DEADLINE)?;
        redis::cmd(parts[0]).arg(&parts[1..]).query(&mut connection)
    }

    pub(crate) fn info(&self) -> String {
        redis::from_redis_value(self.command(&["INFO"])).unwrap()
    }

    pub(crate) fn url(&self, query: &str) -> String {
        format!("redis://127.0.0.1:{}/{query}", self.port)
    }

    /// A store handle on this server.
    pub(crate) fn store(&self, query: &str) -> Arc<dyn OperatorStore> {
        store(&self.url(query))
    }

    fn wait_until_up(&self) {
        wait_until("redis-server replies", || match self.try_command(&["PING"]) {
            Ok(_) => true,
            // A request for a login proves that the server is up.
            Err(error) => error.code() == Some("NOAUTH") || error.code() == Some("DENIED"),
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A store handle on an address.
pub(crate) fn store(url: &str) -> Arc<dyn OperatorStore> {
    open(&url.parse::<StoreUrl>().unwrap()).unwrap()
}

/// Polls a condition of another process.
#[allow(clippy::disallowed_methods, reason = "waits for other processes")]
pub(crate) fn wait_until(condition: &str, mut is_done: impl FnMut() -> bool) {
    let begun = SystemTime::now();
    while !is_done() {
        let waited = begun.elapsed().unwrap_or_default();
        assert!(waited < SERVER_DEADLINE, "not within {SERVER_DEADLINE:?}: {condition}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn spawn(port: u16, directory: &TempDir, options: &[String]) -> Child {
    let program = std::env::var(PROGRAM).unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&program);
    // The configuration file of a Sentinel is its first argument; a Sentinel takes no save options.
    let is_sentinel = options.last().is_some_and(|option| option == "--sentinel");
    if is_sentinel {
        command.args(options);
    } else {
        // Replication starts immediately, not after the default delay of 5 s.
        command.args(options).args(["--save", "", "--repl-diskless-sync-delay", "0"]);
    }
    let child = command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .arg("--dir")
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    child.unwrap_or_else(|error| {
        panic!(
            "cannot start `{program}`: {error}. These tests need Redis 7.0 or later: apt-get install \
             redis-server, or name another program in {PROGRAM}"
        )
    })
}
