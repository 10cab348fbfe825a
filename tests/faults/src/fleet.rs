//! The deployment of a run: store, cores, edges and application instances as processes, with a proxy on each connection
//! path that faults can impair.
//!
//! Describes and starts the processes. Faults are decided by `fault_injector`.

mod plan;
mod store;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::admin;
use crate::balancer;
use crate::ports::Ports;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::random::Random;
use crate::redis_server::RedisServer;

pub(crate) use plan::{EdgeAddresses, EdgePorts, Options, Plan, StoreKind};

/// The metric of a core, and the log line, for stored state that is damaged.
const QUARANTINED: &str = "minerva_quarantined_streams_total";
const DAMAGED: &str = "stored state is damaged";

/// The role of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// A Redis server with data.
    Redis,
    Sentinel,
    Core,
    Edge,
    App,
}

/// A connection path with proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hop {
    /// From clients to edges.
    Client,
    /// From edges to cores.
    Link,
    /// From application instances to cores.
    Api,
    /// From cores to Redis.
    Redis,
}

pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) condition: Condition,
    pub(crate) process: Process,
}

/// The state of a process with respect to faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Not affected, or restarted.
    Running,
    /// Suspended by SIGSTOP.
    Stopped,
    /// Received SIGTERM.
    Ending,
    /// Killed, and not restarted yet.
    Down,
}

pub(crate) struct Fleet {
    pub(crate) members: Vec<Member>,
    /// Redis servers with data; the first one is the initial primary.
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Vec<RedisServer>,
    proxies: Vec<(Hop, Proxy)>,
    /// Address for clients.
    pub(crate) address: SocketAddr,
    pub(crate) edges: Vec<EdgeAddresses>,
    /// Admin ports of the cores.
    admins: Vec<SocketAddr>,
    /// The event log of the application instances.
    pub(crate) event_log: PathBuf,
    /// Contains the store and the logs; removed on drop unless kept.
    directory: TempDir,
}

impl Fleet {
    /// Describes the processes of a plan and starts the proxies.
    pub(crate) async fn new(plan: &Plan, random: &mut Random) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let mut ports = Ports::new(random);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let event_log = directory.path().join("events");
        let (members, servers, sentinels) = (Vec::new(), Vec::new(), Vec::new());
        let (proxies, admins, edges, address) = (Vec::new(), Vec::new(), Vec::new(), nowhere);
        let mut fleet = Self {
            members,
            servers,
            sentinels,
            proxies,
            address,
            edges,
            admins,
            event_log,
            directory,
        };
        let store = fleet.add_store(plan, &mut ports).await?;
        fleet.add_cores(plan, &store, &mut ports).await?;
        fleet.add_edges(plan, &mut ports)?;
        fleet.add_apps(plan)?;
        let balancer = balancer::start(fleet.client_ports(), plan.sources).await?;
        fleet.address = fleet.proxy(Hop::Client, balancer).await?;
        Ok(fleet)
    }

    /// Starts all processes, the store first, and waits until they are ready.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        for role in [Role::Redis, Role::Sentinel] {
            self.start_all(|other| other == role).await?;
        }
        self.wait_for_sentinels().await?;
        self.start_all(|role| role > Role::Sentinel).await
    }

    async fn start_all(&mut self, wanted: impl Fn(Role) -> bool) -> anyhow::Result<()> {
        let mut chosen: Vec<_> =
            self.members.iter_mut().filter(|member| wanted(member.role)).collect();
        for member in &mut chosen {
            member.process.spawn()?;
        }
        for member in chosen {
            member.process.ready().await?;
        }
        Ok(())
    }

    /// Indices of the processes of a role.
    pub(crate) fn all(&self, role: Role) -> Vec<usize> {
        let members = self.members.iter().enumerate();
        members.filter(|(_, member)| member.role == role).map(|(place, _)| place).collect()
    }

    /// Indices of the processes of a role without a current fault.
    pub(crate) fn running(&self, role: Role) -> Vec<usize> {
        let is_running = |place: &usize| self.members[*place].condition == Condition::Running;
        self.all(role).into_iter().filter(is_running).collect()
    }

    /// Indices of the unimpaired proxies of a hop.
    pub(crate) fn unimpaired_proxies(&self, hop: Hop) -> Vec<usize> {
        let proxies = self.proxies.iter().enumerate();
        let free = proxies.filter(|(_, (other, proxy))| *other == hop && proxy.is_unimpaired());
        free.map(|(place, _)| place).collect()
    }

    pub(crate) fn proxy_at(&self, place: usize) -> &Proxy {
        &self.proxies[place].1
    }

    pub(crate) fn proxies(&self, hop: Hop) -> impl Iterator<Item = &Proxy> {
        self.proxies.iter().filter(move |(other, _)| *other == hop).map(|(_, proxy)| proxy)
    }

    /// The directory for files of the run.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps the directory after the run; returns its path.
    pub(crate) fn keep_directory(&mut self) -> &Path {
        self.directory.disable_cleanup(true);
        self.directory.path()
    }

    /// The exit code of a run. Keeps the directory of logs after a failure, and if `keep` is set.
    ///
    /// # Errors
    /// The error of the run.
    pub(crate) fn exit_code(
        &mut self,
        outcome: anyhow::Result<bool>,
        keep: bool,
    ) -> anyhow::Result<ExitCode> {
        if keep || !matches!(outcome, Ok(true)) {
            println!("logs: {}", self.keep_directory().display());
        }
        outcome.map(|passed| if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn proxy(&mut self, hop: Hop, upstream: SocketAddr) -> anyhow::Result<SocketAddr> {
        let proxy = Proxy::start(upstream).await?;
        let address = proxy.address();
        self.proxies.push((hop, proxy));
        Ok(address)
    }

    fn add(&mut self, role: Role, process: Process) {
        self.members.push(Member { role, condition: Condition::Running, process });
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    async fn add_cores(
        &mut self,
        plan: &Plan,
        store: &str,
        ports: &mut Ports<'_>,
    ) -> anyhow::Result<()> {
        for number in 1..=plan.cores {
            let (link, api, admin) = (ports.take()?, ports.take()?, ports.take()?);
            let arguments = plan.core_arguments(number, store, link, api, admin);
            let log = self.log(&format!("core{number}"));
            self.admins.push(admin);
            let process = Process::new(format!("core {number}"), plan.core.clone(), arguments, log);
            self.add(Role::Core, process);
            self.proxy(Hop::Link, link).await?;
            self.proxy(Hop::Api, api).await?;
        }
        Ok(())
    }

    fn add_edges(&mut self, plan: &Plan, ports: &mut Ports<'_>) -> anyhow::Result<()> {
        let cores = self.addresses(Hop::Link);
        for number in 1..=plan.edges {
            let mut port = |is_wanted: bool| is_wanted.then(|| ports.take()).transpose();
            let (proxy, tls) =
                (port(plan.edge_ports.has_proxy)?, port(plan.edge_ports.tls.is_some())?);
            let (clients, admin) = (ports.take()?, ports.take()?);
            let addresses = EdgeAddresses { clients, admin, proxy, tls };
            let arguments = plan.edge_arguments(&cores, &addresses);
            let log = self.log(&format!("edge{number}"));
            let process = Process::new(format!("edge {number}"), plan.edge.clone(), arguments, log);
            self.add(Role::Edge, process);
            self.edges.push(addresses);
        }
        Ok(())
    }

    fn add_apps(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let this = std::env::current_exe().context("cannot find this program's own path")?;
        let cores = self.addresses(Hop::Api);
        for number in 1..=plan.apps {
            let arguments = plan.app_arguments(number, &cores, &self.event_log);
            let log = self.log(&format!("app{number}"));
            let process = Process::new(format!("app {number}"), this.clone(), arguments, log);
            self.add(Role::App, process);
        }
        Ok(())
    }

    /// Addresses of the proxies of a hop, separated by commas.
    fn addresses(&self, hop: Hop) -> String {
        let addresses: Vec<_> =
            self.proxies(hop).map(|proxy| proxy.address().to_string()).collect();
        addresses.join(",")
    }

    /// Restarts processes that ended unexpectedly; returns one error text for each.
    pub(crate) fn restart_ended(&mut self) -> anyhow::Result<Vec<String>> {
        let mut ended = Vec::new();
        for member in &mut self.members {
            if member.condition == Condition::Ending {
                continue;
            }
            if let Err(error) = member.process.check() {
                ended.push(error.to_string());
                member.process.ended();
                member.process.spawn()?;
            }
        }
        Ok(ended)
    }

    /// Waits until all started processes are ready.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.process.ready().await?;
        }
        Ok(())
    }

    /// Streams that the cores have quarantined, although nothing has damaged the store: from the metrics of the running
    /// cores, and from the logs of all earlier ones.
    ///
    /// # Errors
    /// If a log cannot be read.
    pub(crate) async fn quarantines(&self) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for (place, admin) in self.all(Role::Core).into_iter().zip(&self.admins) {
            let process = &self.members[place].process;
            // A core that is down has no metrics.
            let response = admin::get(*admin, "/metrics").await.unwrap_or_default();
            let count = admin::metric(&response, QUARANTINED).unwrap_or(0);
            if count > 0 {
                found.push(format!("{}: {QUARANTINED} {count}", process.name()));
            }
            let log = std::fs::read_to_string(process.log_file())
                .with_context(|| format!("no log of {}", process.name()))?;
            let lines = log.lines().filter(|line| line.contains(DAMAGED));
            found.extend(lines.map(|line| format!("{}: {line}", process.name())));
        }
        Ok(found)
    }

    /// Client ports of the edges.
    pub(crate) fn client_ports(&self) -> Vec<SocketAddr> {
        self.edges.iter().map(|edge| edge.clients).collect()
    }

    /// A counter of each edge, by index of the edge; 0 if the edge does not export the counter.
    ///
    /// # Errors
    /// If an edge does not respond.
    pub(crate) async fn edge_metric(&self, name: &str) -> anyhow::Result<Vec<u64>> {
        let mut values = Vec::new();
        for edge in &self.edges {
            let response = admin::get(edge.admin, "/metrics").await?;
            values.push(admin::metric(&response, name).unwrap_or(0));
        }
        Ok(values)
    }

    /// Adds a process that depends on the application ports of the cores.
    pub(crate) fn add_service(
        &mut self,
        name: &str,
        arguments: Vec<OsString>,
    ) -> anyhow::Result<()> {
        let this = std::env::current_exe().context("cannot find this program's own path")?;
        let log = self.log(name);
        self.add(Role::App, Process::new(name, this, arguments, log));
        Ok(())
    }

    /// Addresses of the cores for application instances, separated by commas.
    pub(crate) fn api_addresses(&self) -> String {
        self.addresses(Hop::Api)
    }

    /// The index of the current primary in `servers`.
    pub(crate) async fn primary(&self) -> anyhow::Result<usize> {
        for (place, server) in self.servers.iter().enumerate() {
            let role: Result<redis::Value, _> = server.command(&["ROLE"]).await;
            let is_primary = |role: &redis::Value| {
                let first = role.as_sequence().and_then(<[_]>::first);
                matches!(first, Some(redis::Value::BulkString(text)) if text == b"master")
            };
            if role.is_ok_and(|role| is_primary(&role)) {
                return Ok(place);
            }
        }
        bail!("no Redis is the primary")
    }
}
