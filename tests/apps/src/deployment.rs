//! The deployment under an app: a store, cores and an edge as processes, on free ports with an own directory.

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

/// Store of the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// Memory of the only core, which is never killed.
    Memory,
    /// A Redis with two cores, which share the streams.
    Redis,
}

/// A running deployment without an app.
pub(crate) struct Deployment {
    pub(crate) cores: Vec<Process>,
    /// Address for clients.
    pub(crate) clients: SocketAddr,
    /// Addresses for apps: one per core, separated by commas.
    pub(crate) api: String,
    _edge: Process,
    _redis: Option<Process>,
    /// Contains the store and the logs; deleted with this value unless kept.
    directory: TempDir,
}

impl Store {
    /// The value of the option.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
        }
    }

    fn cores(self) -> usize {
        match self {
            Self::Memory => 1,
            Self::Redis => 2,
        }
    }
}

impl Deployment {
    /// Starts all processes and waits for their readiness.
    pub(crate) async fn start(store: Store) -> anyhow::Result<Self> {
        Self::start_version(store, 2).await
    }

    /// As [`Self::start`], for clients up to this version of the protocol.
    pub(crate) async fn start_version(store: Store, max_version: u32) -> anyhow::Result<Self> {
        let version = ["--max-version".into(), max_version.to_string().into()];
        let mut random = Random::new(Random::fresh_seed());
        let mut ports = Ports::new(&mut random);
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let (redis, url) = start_redis(store, &mut ports, directory.path()).await?;
        let clients = ports.take()?;
        let (mut cores, mut links, mut apis) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=store.cores() {
            let (link, api, admin) = (ports.take()?, ports.take()?, ports.take()?);
            let mut arguments = options(&[("--link", link), ("--api", api), ("--admin", admin)]);
            arguments.extend(["--store".into(), url.clone().into()]);
            arguments.extend(version.clone());
            let log = directory.path().join(format!("core{number}.log"));
            let core = Process::new("a core", beside_this("minerva-core")?, arguments, log);
            cores.push(started(core).await?);
            links.push(link.to_string());
            apis.push(format!("http://{api}"));
        }
        let mut arguments = options(&[("--listen", clients), ("--admin", ports.take()?)]);
        arguments.extend(["--core".into(), links.join(",").into()]);
        arguments.extend(version);
        let log = directory.path().join("edge.log");
        let edge = Process::new("the edge", beside_this("minerva-edge")?, arguments, log);
        let edge = started(edge).await?;
        Ok(Self { cores, clients, api: apis.join(","), _edge: edge, _redis: redis, directory })
    }

    /// Directory for files of the run.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps the directory with all logs and prints its path.
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
            let (_, redis) = RedisServer::new("Redis", address, directory.join("redis"), &[])?;
            Ok((Some(started(redis).await?), format!("redis://{address}/")))
        }
    }
}

async fn started(mut process: Process) -> anyhow::Result<Process> {
    process.spawn()?;
    process.ready().await?;
    Ok(process)
}
