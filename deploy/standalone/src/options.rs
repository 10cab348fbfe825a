//! The options of `minerva`: those of the edge and of the core, and the few that belong to neither.
//! Read by `main.rs` only.

use std::net::SocketAddr;
use std::path::PathBuf;

use minerva_core::store::StoreUrl;
use minerva_runtime::{ConfigError, LogConfig, address, threads};

/// The whole of Minerva in one process: reliable streams between browsers or devices and application
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

    /// Directory that holds the state of all streams; made if it does not exist. One process at a time.
    #[arg(
        long,
        env = "MINERVA_DATA_DIR",
        default_value = "minerva-data",
        value_name = "DIR",
        help_heading = "State"
    )]
    pub(crate) data_dir: PathBuf,

    /// Serve the demo: a chat page at `/`, with the chat application as the service `default`. With
    /// `off`, the service `default` is for an application service of yours.
    #[arg(
        long,
        env = "MINERVA_DEMO",
        default_value = "on",
        value_name = "on|off",
        help_heading = "Demo"
    )]
    pub(crate) demo: Switch,

    /// Threads to work on. Each string costs more with more of them. As many as there are processors unless it is
    /// said.
    #[arg(long, help_heading = "Operation", env = "MINERVA_THREADS", value_name = "COUNT",
        value_parser = threads())]
    pub(crate) threads: Option<usize>,

    #[command(flatten, next_help_heading = "Operation")]
    pub(crate) log: LogConfig,

    #[command(subcommand)]
    pub(crate) task: Option<Task>,
}

impl Options {
    /// The embedded store in the data directory.
    pub(crate) fn store(&self) -> Result<StoreUrl, ConfigError> {
        let url = format!("redb:{}", self.data_dir.display());
        url.parse().map_err(|error| {
            ConfigError::new("--data-dir", error, "name a directory, such as minerva-data")
        })
    }
}

/// What the program can do instead of serving.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Task {
    /// Ask the process that serves at --admin whether it can do its work; exit with 0 if so, else with 1.
    Health,
    /// Check this machine and say what to change, one line per check; exit with 1 if something will not do.
    Doctor {
        /// Check this store, too, for cores that use it: redis://HOST:PORT/DB and its relatives. Give a
        /// password by the environment, where other users of the machine do not see it.
        #[arg(long, env = "MINERVA_STORE", hide_env_values = true, value_name = "URL")]
        store: Option<StoreUrl>,
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
    use clap::Parser;

    use super::*;

    #[test]
    fn the_doctor_takes_what_it_checks() {
        let words = ["minerva", "doctor", "--max-connections", "7", "--store", "redis://h"];
        let options = Options::parse_from(words);
        assert_eq!(options.edge.needed_files(), (7, 7 + 256));
        let Some(Task::Doctor { store: Some(StoreUrl::Redis(_)) }) = options.task else {
            panic!("{:?}", options.task);
        };
        assert!(Options::try_parse_from(["minerva", "doctor", "--store", "redis://"]).is_err());
    }
}
