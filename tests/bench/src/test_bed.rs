//! The measured processes: Redis, cores, edges, an application service, the bare server, and optionally nginx.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use minerva_faults::deployment::{beside, beside_this, options};
use minerva_faults::ports::Ports;
use minerva_faults::process::Process;
use minerva_faults::random::Random;
use minerva_faults::redis_server::RedisServer;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{metrics, nginx};

/// Poll interval and deadline.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Remedy for a missing program.
const BUILD: &str = "build it beside this program (cargo build --release -p minerva-core -p minerva-edge), or pass \
     --core";

/// The processes to start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) edges: usize,
    /// Whether a second core is a standby.
    pub(crate) has_standby: bool,
    /// Whether the application puts all streams into a group, and the bare server broadcasts.
    pub(crate) has_group: bool,
    /// Whether nginx is started.
    pub(crate) has_nginx: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { edges: 1, has_standby: false, has_group: false, has_nginx: false }
    }
}

/// The configuration of Redis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Redis<'a> {
    /// Additional configuration lines.
    pub(crate) settings: &'a [&'a str],
    /// Whether appends require the confirmation of a replica.
    pub(crate) has_replica: bool,
}

/// Addresses for clients.
pub(crate) struct Endpoints {
    /// Edges, used in turn.
    pub(crate) minerva: Vec<SocketAddr>,
    /// The floor.
    pub(crate) bare: SocketAddr,
}

/// The measured processes with their addresses.
pub(crate) struct TestBed {
    /// In start order.
    processes: Vec<(&'static str, Process)>,
    pub(crate) redis: RedisServer,
    /// The store address of the cores.
    store: String,
    /// Addresses of the edges for clients.
    pub(crate) edges: Vec<SocketAddr>,
    pub(crate) bare: SocketAddr,
    /// Addresses of nginx: for the edges and for the bare server.
    nginx: Option<[SocketAddr; 2]>,
    /// API addresses, one for each core.
    apis: Vec<SocketAddr>,
    core_admins: Vec<SocketAddr>,
    edge_admins: Vec<SocketAddr>,
    /// Contains the data of Redis and the logs; removed on drop.
    directory: TempDir,
}

impl TestBed {
    /// Describes the processes without a start.
    pub(crate) fn new(
        core: Option<&Path>,
        redis: Redis<'_>,
        plan: Plan,
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let mut ports = Ports::new(random);
        let (server, process) = RedisServer::new(
            "redis",
            ports.take()?,
            directory.path().join("redis"),
            redis.settings,
        )?;
        let mut store = format!("redis://{}", server.address);
        let mut processes = vec![("redis", process)];
        if redis.has_replica {
            let place = directory.path().join("replica");
            let of = format!("replicaof {} {}", server.address.ip(), server.address.port());
            let settings = [redis.settings, &[&of]].concat();
            let (_, process) = RedisServer::new("replica", ports.take()?, place, &settings)?;
            processes.push(("replica", process));
            store.push_str("?wait=1");
        }
        let bare = ports.take()?;
        let mut test_bed = Self {
            processes,
            redis: server,
            store,
            edges: Vec::new(),
            bare,
            nginx: None,
            apis: Vec::new(),
            core_admins: Vec::new(),
            edge_admins: Vec::new(),
            directory,
        };
        let program = |name| {
            let found = core.map_or_else(|| beside_this(name), |core| beside(core, name));
            found.map_err(|_| anyhow!("{name} is missing: {BUILD}"))
        };
        let links = test_bed.add_cores(&program("minerva-core")?, plan, &mut ports)?;
        test_bed.add_edges(&program("minerva-edge")?, plan, &links, &mut ports)?;
        test_bed.add_own(plan)?;
        if plan.has_nginx {
            test_bed.add_nginx(&mut ports)?;
        }
        Ok(test_bed)
    }

    /// Returns the link addresses.
    fn add_cores(
        &mut self,
        program: &Path,
        plan: Plan,
        ports: &mut Ports<'_>,
    ) -> anyhow::Result<Vec<SocketAddr>> {
        let mut links = Vec::new();
        for is_standby in [false, true].into_iter().take(1 + usize::from(plan.has_standby)) {
            let (link, api, admin) = (ports.take()?, ports.take()?, ports.take()?);
            let mut arguments = options(&[("--link", link), ("--api", api), ("--admin", admin)]);
            arguments.extend(["--store".into(), self.store.clone().into()]);
            arguments.extend(is_standby.then(|| "--standby".into()));
            self.add(if is_standby { "standby" } else { "core" }, program, arguments);
            links.push(link);
            self.apis.push(api);
            self.core_admins.push(admin);
        }
        Ok(links)
    }

    fn add_edges(
        &mut self,
        program: &Path,
        plan: Plan,
        links: &[SocketAddr],
        ports: &mut Ports<'_>,
    ) -> anyhow::Result<()> {
        for _ in 0..plan.edges {
            let (listen, admin) = (ports.take()?, ports.take()?);
            let mut arguments = options(&[("--listen", listen), ("--admin", admin)]);
            arguments.extend(["--core".into(), joined(links).into()]);
            self.add("edge", program, arguments);
            self.edges.push(listen);
            self.edge_admins.push(admin);
        }
        Ok(())
    }

    /// Adds the processes that run this program: application and bare server.
    fn add_own(&mut self, plan: Plan) -> anyhow::Result<()> {
        let this = std::env::current_exe().context("cannot find this program's own path")?;
        let mut app: Vec<OsString> = vec!["app".into(), "--api".into(), self.api().into()];
        app.extend(plan.has_group.then(|| "--group".into()));
        self.add("app", &this, app);
        let mut bare = [vec!["bare".into()], options(&[("--listen", self.bare)])].concat();
        bare.extend(plan.has_group.then(|| "--broadcast".into()));
        self.add("bare", &this, bare);
        Ok(())
    }

    fn add_nginx(&mut self, ports: &mut Ports<'_>) -> anyhow::Result<()> {
        let (listen, place) = ([ports.take()?, ports.take()?], self.directory.path().join("nginx"));
        let process = nginx::describe(&place, listen, &self.edges, self.bare)?;
        self.processes.push(("nginx", process));
        self.nginx = Some(listen);
        Ok(())
    }

    fn add(&mut self, name: &'static str, program: &Path, arguments: Vec<OsString>) {
        let log = self.directory.path().join(format!("{name}.log"));
        self.processes.push((name, Process::new(name, program.to_owned(), arguments, log)));
    }

    /// Starts the processes, one after the other.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        for (_, process) in &mut self.processes {
            process.spawn()?;
            process.ready().await?;
        }
        Ok(())
    }

    /// Kills a process by name and index.
    pub(crate) async fn kill(&mut self, name: &str, number: usize) -> anyhow::Result<()> {
        self.process(name, number)?.kill().await
    }

    /// Restarts a killed process.
    pub(crate) async fn restart(&mut self, name: &str, number: usize) -> anyhow::Result<()> {
        let process = self.process(name, number)?;
        process.spawn()?;
        process.ready().await
    }

    fn process(&mut self, name: &str, number: usize) -> anyhow::Result<&mut Process> {
        let of_name = self.processes.iter_mut().filter(|(of, _)| *of == name);
        let found = of_name.map(|(_, process)| process).nth(number);
        found.with_context(|| format!("there is no {name} with the number {number}"))
    }

    /// The address of the first edge.
    pub(crate) fn edge(&self) -> SocketAddr {
        self.edges[0]
    }

    /// Addresses without a proxy.
    pub(crate) fn direct(&self) -> Endpoints {
        Endpoints { minerva: self.edges.clone(), bare: self.bare }
    }

    /// Addresses of nginx, if started.
    pub(crate) fn behind_nginx(&self) -> Option<Endpoints> {
        self.nginx.map(|[minerva, bare]| Endpoints { minerva: vec![minerva], bare })
    }

    /// API addresses in the format of the SDK.
    pub(crate) fn api(&self) -> String {
        joined(&self.apis)
    }

    /// Names and process ids, including this process as `load`.
    pub(crate) fn pids(&self) -> Vec<(&'static str, u32)> {
        let running = |(name, process): &(&'static str, Process)| Some((*name, process.pid()?));
        let others = self.processes.iter().filter_map(running);
        others.chain([("load", std::process::id())]).collect()
    }

    /// The process id of the first process with this name.
    pub(crate) fn pid(&self, name: &str) -> anyhow::Result<u32> {
        let pid = self.pids().into_iter().find(|(of, _)| *of == name);
        pid.map(|(_, pid)| pid).with_context(|| format!("{name} does not run"))
    }

    /// Waits until an edge has `count` open transports with this label in its metrics.
    pub(crate) async fn await_transports(
        &self,
        edge: usize,
        kind: &str,
        count: usize,
    ) -> anyhow::Result<()> {
        let name = format!("minerva_edge_open_transports{{kind=\"{kind}\"}}");
        let there = async {
            // The metric is absent until the first transport.
            while metrics::figure(self.edge_admins[edge], &name).await.unwrap_or(0.0)
                != count as f64
            {
                sleep(POLL_INTERVAL).await;
            }
        };
        let late = || format!("the edge does not reach {count} transports of kind {kind}");
        timeout(STALL_TIMEOUT, there).await.with_context(late)
    }

    /// A figure from the metrics of the core.
    pub(crate) async fn core_figure(&self, name: &str) -> anyhow::Result<f64> {
        metrics::figure(self.core_admins[0], name).await
    }

    /// A figure from the metrics of the standby core.
    pub(crate) async fn standby_figure(&self, name: &str) -> anyhow::Result<f64> {
        let admin = self.core_admins.get(1).context("no core stands by")?;
        metrics::figure(*admin, name).await
    }
}

fn joined(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}
