//! The plan of a deployment, and the command lines of its processes.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::deployment;
use crate::source_address::Sources;

/// The state store of the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// One Redis server.
    Redis,
    /// A primary and two replicas, monitored by three Sentinels.
    Sentinel,
    /// A file, with a single core.
    Redb,
}

/// Options that select the processes of a deployment.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The state store of the cores.
    #[arg(long, value_enum, default_value_t = StoreKind::Redis)]
    pub(crate) store: StoreKind,
    /// Options appended to the store's address; `wait=1` with Sentinels by default, since replicas may lack the last
    /// confirmed writes otherwise.
    #[arg(long)]
    pub(crate) store_options: Option<String>,
    /// Number of cores; 1 with redb.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) cores: u8,
    /// Number of standby cores among them: they own streams only while no other core is alive.
    #[arg(long, default_value_t = 0)]
    pub(crate) standbys: u8,
    /// Number of edges; connections are distributed round robin.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) edges: u8,
    /// Number of application instances.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) apps: u8,
    /// An additional option for every core, such as `--core-option=--lease=1s`. Repeatable.
    #[arg(long)]
    pub(crate) core_option: Vec<OsString>,
    /// Path of `minerva-core`, with `minerva-edge` in the same directory; by default the directory of this program.
    #[arg(long)]
    pub(crate) core: Option<PathBuf>,
}

/// Ports of an edge in addition to the one for clients.
#[derive(Debug, Clone, Default)]
pub(crate) struct EdgePorts {
    /// A port for the PROXY protocol.
    pub(crate) has_proxy: bool,
    /// Certificate and key of a port for TLS.
    pub(crate) tls: Option<[PathBuf; 2]>,
}

/// The addresses of an edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EdgeAddresses {
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) proxy: Option<SocketAddr>,
    pub(crate) tls: Option<SocketAddr>,
}

pub(crate) struct Plan {
    pub(crate) core: PathBuf,
    pub(crate) edge: PathBuf,
    pub(crate) store: StoreKind,
    pub(crate) store_options: String,
    pub(crate) cores: u8,
    pub(crate) standbys: u8,
    pub(crate) edges: u8,
    pub(crate) apps: u8,
    pub(crate) core_option: Vec<OsString>,
    /// Additional options of every edge.
    pub(crate) edge_option: Vec<OsString>,
    /// Additional options of every application instance.
    pub(crate) app_option: Vec<OsString>,
    /// Ports of every edge in addition to the one for clients.
    pub(crate) edge_ports: EdgePorts,
    /// Additional configuration lines of a single Redis server.
    pub(crate) redis_settings: Vec<String>,
    /// Addresses from which the connections of clients reach the edges.
    pub(crate) sources: Sources,
    /// Number of streams of the run.
    pub(crate) streams: usize,
    /// Maximum padding of a message, in bytes.
    pub(crate) padding: usize,
}

impl Options {
    pub(crate) fn plan(&self, streams: usize, padding: usize) -> anyhow::Result<Plan> {
        let program = |name: &str| match &self.core {
            Some(core) => deployment::beside(core, name),
            None => deployment::beside_this(name),
        };
        Ok(Plan {
            core: self.core.clone().map_or_else(|| program("minerva-core"), Ok)?,
            edge: program("minerva-edge")?,
            store: self.store,
            store_options: self.store_options.clone().unwrap_or_else(|| {
                if self.store == StoreKind::Sentinel { "wait=1".to_owned() } else { String::new() }
            }),
            cores: if self.store == StoreKind::Redb { 1 } else { self.cores },
            standbys: self.standbys,
            edges: self.edges,
            apps: self.apps,
            core_option: self.core_option.clone(),
            edge_option: Vec::new(),
            app_option: Vec::new(),
            edge_ports: EdgePorts::default(),
            redis_settings: Vec::new(),
            sources: Sources::default(),
            streams,
            padding,
        })
    }
}

impl Plan {
    /// Arguments of a core; the last cores are standbys.
    pub(super) fn core_arguments(
        &self,
        number: u8,
        store: &str,
        link: SocketAddr,
        api: SocketAddr,
        admin: SocketAddr,
    ) -> Vec<OsString> {
        let mut arguments =
            deployment::options(&[("--link", link), ("--api", api), ("--admin", admin)]);
        arguments.extend(["--store".into(), store.into()]);
        if number > self.cores.saturating_sub(self.standbys) {
            arguments.push("--standby".into());
        }
        arguments.extend_from_slice(&self.core_option);
        arguments
    }

    pub(super) fn edge_arguments(&self, cores: &str, addresses: &EdgeAddresses) -> Vec<OsString> {
        let EdgeAddresses { clients, admin, proxy, tls } = *addresses;
        let mut arguments = deployment::options(&[("--listen", clients), ("--admin", admin)]);
        let more = [("--proxy-listen", proxy), ("--tls-listen", tls)];
        for (option, address) in more {
            arguments
                .extend(address.into_iter().flat_map(|at| deployment::options(&[(option, at)])));
        }
        if let Some([certificate, key]) = &self.edge_ports.tls {
            arguments.extend(["--tls-certificate".into(), certificate.into()]);
            arguments.extend(["--tls-key".into(), key.into()]);
        }
        arguments.extend(["--core".into(), cores.into()]);
        arguments.extend_from_slice(&self.edge_option);
        arguments
    }

    /// Arguments of an application instance. Every second instance keeps its identity across restarts.
    pub(super) fn app_arguments(&self, number: u8, cores: &str, event_log: &Path) -> Vec<OsString> {
        // `upgrade` also starts the instances of release 0.1, which have no other name for the event log.
        let mut arguments = vec!["answer".into(), "--notes".into(), event_log.into()];
        for (name, value) in [
            ("--api", cores.to_owned()),
            ("--streams", self.streams.to_string()),
            ("--padding", self.padding.to_string()),
        ] {
            arguments.extend([name.into(), value.into()]);
        }
        if number % 2 == 1 {
            arguments.extend(["--name".into(), format!("app-{number}").into()]);
        }
        arguments.extend_from_slice(&self.app_option);
        arguments
    }
}
