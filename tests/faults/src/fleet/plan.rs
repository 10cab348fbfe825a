//! What a deployment is made of, and the options of its processes.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::deployment;

/// Where cores keep state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// One Redis.
    Redis,
    /// A primary and two replicas, watched by three Sentinels.
    Sentinel,
    /// A file of the only core.
    Redb,
}

/// Options that say what is started.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Where the cores keep state.
    #[arg(long, value_enum, default_value_t = StoreKind::Redis)]
    pub(crate) store: StoreKind,
    /// Goes behind the store's address; `wait=1` with Sentinels if not given, as replicas otherwise lack what was
    /// confirmed last.
    #[arg(long)]
    pub(crate) store_options: Option<String>,
    /// Cores, which share the streams; 1 with redb.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) cores: u8,
    /// How many of the cores stand by: they own streams only while none of the others lives.
    #[arg(long, default_value_t = 0)]
    pub(crate) standbys: u8,
    /// Edges. Connections go to each in turn, and to another if it refuses.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) edges: u8,
    /// Instances of the application.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) apps: u8,
    /// One more option for every core, such as `--core-option=--lease=1s`. May be repeated.
    #[arg(long)]
    pub(crate) core_option: Vec<OsString>,
    /// The program `minerva-core`; `minerva-edge` is expected beside it. Those beside this program if not
    /// given.
    #[arg(long)]
    pub(crate) core: Option<PathBuf>,
}

/// A deployment to be.
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
    /// Streams that there will be.
    pub(crate) streams: usize,
    /// Longest padding of a message.
    pub(crate) padding: usize,
}

impl Options {
    /// The plan for so many streams.
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
            streams,
            padding,
        })
    }
}

impl Plan {
    /// Those of a core; the last ones stand by.
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

    pub(super) fn edge_arguments(
        &self,
        cores: &str,
        listen: SocketAddr,
        admin: SocketAddr,
    ) -> Vec<OsString> {
        let mut arguments = deployment::options(&[("--listen", listen), ("--admin", admin)]);
        arguments.extend(["--core".into(), cores.into()]);
        arguments
    }

    /// Those of an application instance. Every other one keeps its name over a restart.
    pub(super) fn app_arguments(&self, number: u8, cores: &str, event_log: &Path) -> Vec<OsString> {
        let mut arguments = vec!["answer".into(), "--event-log".into(), event_log.into()];
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
        arguments
    }
}
