//! The processes that are measured: Redis, a core, an edge, an application service, and the bare server.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use minerva_faults::deployment::{beside, beside_this, options};
use minerva_faults::ports::Ports;
use minerva_faults::process::Process;
use minerva_faults::random::Random;
use minerva_faults::redis_server::RedisServer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// All of them.
pub(crate) struct Stage {
    /// In the order in which they are started.
    processes: Vec<(&'static str, Process)>,
    pub(crate) redis: RedisServer,
    /// Where clients connect.
    pub(crate) edge: SocketAddr,
    pub(crate) bare: SocketAddr,
    /// Where applications connect.
    pub(crate) api: SocketAddr,
    core_admin: SocketAddr,
    /// Holds what Redis keeps, and the logs; deleted with this value.
    directory: TempDir,
}

impl Stage {
    /// Describes them; starts nothing.
    pub(crate) fn new(
        core: Option<&Path>,
        redis_settings: &[&str],
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let mut ports = Ports::new(random);
        let (redis, redis_process) = RedisServer::new(
            "redis",
            ports.take()?,
            directory.path().join("redis"),
            redis_settings,
        )?;
        let (link, api) = (ports.take()?, ports.take()?);
        let (edge, bare) = (ports.take()?, ports.take()?);
        let (core_admin, edge_admin) = (ports.take()?, ports.take()?);
        let mut stage =
            Self { processes: Vec::new(), redis, edge, bare, api, core_admin, directory };
        stage.processes.push(("redis", redis_process));
        let program = |name| core.map_or_else(|| beside_this(name), |core| beside(core, name));
        let mut arguments = options(&[("--link", link), ("--api", api), ("--admin", core_admin)]);
        arguments.extend(["--store".into(), format!("redis://{}", stage.redis.address).into()]);
        stage.add("core", &program("minerva-core")?, arguments);
        let arguments = options(&[("--listen", edge), ("--core", link), ("--admin", edge_admin)]);
        stage.add("edge", &program("minerva-edge")?, arguments);
        let this = std::env::current_exe().context("cannot find this program's own path")?;
        let of_this = |command: &str, address| [vec![command.into()], options(&[address])].concat();
        stage.add("app", &this, of_this("app", ("--api", api)));
        stage.add("bare", &this, of_this("bare", ("--listen", bare)));
        Ok(stage)
    }

    fn add(&mut self, name: &'static str, program: &Path, arguments: Vec<std::ffi::OsString>) {
        let log = self.directory.path().join(format!("{name}.log"));
        self.processes.push((name, Process::new(name, program.to_owned(), arguments, log)));
    }

    /// Starts them, one behind the other.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        for (_, process) in &mut self.processes {
            process.spawn()?;
            process.ready().await?;
        }
        Ok(())
    }

    /// Their names and process ids, and this process, which makes the load.
    pub(crate) fn pids(&self) -> Vec<(&'static str, u32)> {
        let running = |(name, process): &(&'static str, Process)| Some((*name, process.pid()?));
        let others = self.processes.iter().filter_map(running);
        others.chain([("load", std::process::id())]).collect()
    }

    /// One figure of the core's metrics.
    pub(crate) async fn core_figure(&self, name: &str) -> anyhow::Result<f64> {
        let mut socket = TcpStream::connect(self.core_admin).await.context("no metrics")?;
        socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await.context("no metrics")?;
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let figure = lines.find(|(key, _)| *key == name);
        figure.and_then(|(_, value)| value.parse().ok()).with_context(|| format!("no {name}"))
    }
}
