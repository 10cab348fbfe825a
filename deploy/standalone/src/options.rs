//! Options of `minerva`: the ones of the edge and of the core, and those of the combined process. Used by `main.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use minerva_core::store::{StorePassword, StoreUrl};
use minerva_runtime::{AdminConfig, ConfigError, LogConfig, address, threads};

/// All of Minerva in one process: reliable streams between browsers or devices and application
/// services.
///
/// Clients of every transport (WebSocket, HTTP streaming, long-poll, TCP) connect to --listen.
/// Application services in any language register over gRPC at --api. State is kept in --data-dir and
/// survives a crash.
#[derive(Debug, clap::Parser)]
#[command(name = "minerva", version)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) edge: minerva_edge::Config,

    #[command(flatten)]
    pub(crate) core: minerva_core::Config,

    /// Address for /healthz, /readyz and /metrics.
    #[arg(long, env = "MINERVA_ADMIN", global = true, default_value = "127.0.0.1:7401", value_name = "ADDR",
        value_parser = address, help_heading = "Operation")]
    pub(crate) admin: SocketAddr,

    /// Directory of the state of all streams, created if absent. Only one process can use a directory.
    #[arg(
        long,
        env = "MINERVA_DATA_DIR",
        default_value = "minerva-data",
        value_name = "DIR",
        help_heading = "State"
    )]
    pub(crate) data_dir: PathBuf,

    /// Serve the demo: a chat page at `/` and the chat application as the service `default`. With `off`,
    /// the service `default` is free for your application.
    #[arg(
        long,
        env = "MINERVA_DEMO",
        default_value = "on",
        value_name = "on|off",
        help_heading = "Demo"
    )]
    pub(crate) demo: Switch,

    /// Number of worker threads; default: one per processor. More threads increase the CPU time per message.
    #[arg(long, help_heading = "Operation", env = "MINERVA_THREADS", value_name = "COUNT",
        value_parser = threads())]
    pub(crate) threads: Option<usize>,

    #[command(flatten, next_help_heading = "Operation")]
    pub(crate) open: AdminConfig,

    #[command(flatten, next_help_heading = "Operation")]
    pub(crate) log: LogConfig,

    #[command(subcommand)]
    pub(crate) task: Option<Task>,
}

impl Options {
    /// Returns the URL of the embedded store in the data directory.
    pub(crate) fn store(&self) -> Result<StoreUrl, ConfigError> {
        let url = format!("redb:{}", self.data_dir.display());
        url.parse().map_err(|error| {
            ConfigError::new("--data-dir", error, "name a directory, such as minerva-data")
        })
    }
}

/// Subcommands that run instead of serving.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Task {
    /// Check the readiness of the process at --admin; exit with 0 if ready, else with 1.
    Health,
    /// Check this machine and print one line per check with the necessary changes; exit with 1 if a check
    /// fails.
    Doctor {
        /// Also check this store, for cores on Redis: redis://HOST:PORT/DB and related forms. Pass a password
        /// in the environment, which other users cannot read.
        #[arg(long, env = "MINERVA_STORE", hide_env_values = true, value_name = "URL")]
        store: Option<StoreUrl>,
        #[command(flatten)]
        password: StorePassword,
    },
}

/// An option that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn the_doctor_checks_the_connection_limit_and_the_store() {
        let arguments = ["minerva", "doctor", "--max-connections", "7", "--store", "redis://h"];
        let options = Options::parse_from(arguments);
        let requirements = options.edge.client_requirements();
        assert_eq!((requirements.connections, requirements.open_files), (7, 7 + 256));
        let Some(Task::Doctor { store: Some(StoreUrl::Redis(_)), .. }) = options.task else {
            panic!("{:?}", options.task);
        };
        assert!(Options::try_parse_from(["minerva", "doctor", "--store", "redis://"]).is_err());
    }

    const PAGE: &str = include_str!("../../../docs/guarantees.md");

    #[test]
    fn the_page_of_guarantees_has_every_limit_with_variable_and_default() {
        let command = Options::command();
        for argument in command.get_arguments() {
            let kind = argument.get_value_names().map_or("", |names| names[0].as_str());
            if !["N", "BYTES", "TIME"].contains(&kind) {
                continue;
            }
            let (option, variable) = (argument.get_long().unwrap(), argument.get_env().unwrap());
            let set_by = format!("| `--{option}`, `{}` |", variable.to_str().unwrap());
            let row = PAGE.lines().find(|row| row.contains(&set_by));
            let row = row.unwrap_or_else(|| panic!("docs/guarantees.md has no row with {set_by}"));
            let default = row.split(" | ").nth(2).unwrap();
            if let [value] = argument.get_default_values() {
                let value = value.to_str().unwrap();
                assert_eq!(documented(default), actual(kind, value), "{option}: {value}");
            }
        }
    }

    #[test]
    fn every_option_on_the_page_of_guarantees_exists() {
        let command = Options::command();
        for row in PAGE.lines().filter(|row| row.contains("| `--")) {
            let name = row.split("| `--").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
            let known = command.get_arguments().any(|argument| argument.get_long() == Some(name));
            assert!(known, "--{name}");
        }
    }

    /// A default on the page, in the smallest unit: `64 MiB`, `120 s`, `1,000`.
    fn documented(cell: &str) -> u128 {
        let mut words = cell.split(' ');
        let number: u128 = words.next().unwrap().replace(',', "").parse().expect(cell);
        let unit = match words.next() {
            None => 1,
            Some("KiB") => 1 << 10,
            Some("MiB") => 1 << 20,
            Some("ms") => 1,
            Some("s") => 1000,
            Some("h") => 3_600_000,
            Some(other) => panic!("unit {other} in {cell}"),
        };
        number * unit
    }

    fn actual(kind: &str, value: &str) -> u128 {
        match kind {
            "TIME" => minerva_runtime::duration(value).unwrap().as_millis(),
            _ => value.parse().unwrap(),
        }
    }
}
