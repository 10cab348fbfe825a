//! What an app needs around it: a store, a core and an edge as processes of their own, on ports and with a directory
//! of their own. Knows nothing of the app.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use clap::ValueEnum;
use minerva_faults::deployment::{beside_this, options};
use minerva_faults::ports::Ports;
use minerva_faults::process::Process;
use minerva_faults::random::Random;
use minerva_faults::redis_server::RedisServer;
use tempfile::TempDir;

/// Where the core keeps state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// The core's memory: it must not die.
    Memory,
    /// A Redis of the run.
    Redis,
}

/// A running deployment without an app.
pub(crate) struct Stage {
    pub(crate) core: Process,
    /// Where clients connect.
    pub(crate) clients: SocketAddr,
    /// Where apps connect.
    pub(crate) api: SocketAddr,
    _edge: Process,
    _redis: Option<Process>,
    /// Holds the store and the logs; deleted with this value, unless it is kept.
    directory: TempDir,
}

impl Store {
    /// The name, as the option has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
        }
    }
}

impl Stage {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(store: Store) -> anyhow::Result<Self> {
        let mut random = Random::new(Random::fresh_seed());
        let mut ports = Ports::new(&mut random);
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let (redis, url) = start_redis(store, &mut ports, directory.path()).await?;
        let [link, api, clients] = [ports.take()?, ports.take()?, ports.take()?];
        let mut arguments =
            options(&[("--link", link), ("--api", api), ("--admin", ports.take()?)]);
        arguments.extend(["--store".into(), url.into()]);
        let log = directory.path().join("core.log");
        let mut core = Process::new("the core", beside_this("minerva-core")?, arguments, log);
        core.spawn()?;
        core.ready().await?;
        let arguments =
            options(&[("--listen", clients), ("--core", link), ("--admin", ports.take()?)]);
        let log = directory.path().join("edge.log");
        let mut edge = Process::new("the edge", beside_this("minerva-edge")?, arguments, log);
        edge.spawn()?;
        edge.ready().await?;
        Ok(Self { core, clients, api, _edge: edge, _redis: redis, directory })
    }

    /// A place for files of the run.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps the directory with all logs, and says where it is.
    pub(crate) fn keep(&mut self) {
        self.directory.disable_cleanup(true);
        println!("the logs are in {}", self.directory.path().display());
    }
}

async fn start_redis(
    store: Store,
    ports: &mut Ports<'_>,
    directory: &Path,
) -> anyhow::Result<(Option<Process>, String)> {
    match store {
        Store::Memory => Ok((None, "memory:".to_owned())),
        Store::Redis => {
            let address = ports.take()?;
            let (_, mut redis) = RedisServer::new("Redis", address, directory.join("redis"), &[])?;
            redis.spawn()?;
            redis.ready().await?;
            Ok((Some(redis), format!("redis://{address}/")))
        }
    }
}
