//! The processes of a `kill` run, with fixed ports and a temporary directory: `minerva` alone or a core with its edges,
//! and optionally an application service.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use tempfile::TempDir;

use crate::ports::Ports;
use crate::process::Process;
use crate::random::Random;

/// The process to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// `minerva`, the all-in-one server.
    Standalone,
    /// `minerva-core`; the edges stay alive.
    Core,
    /// One of several `minerva-edge`; the core stays alive.
    Edge,
    /// The core, an edge, or both at once.
    Both,
    /// The application service; `minerva` stays alive.
    App,
}

pub(crate) struct Deployment {
    /// The server, or the core followed by its edges; the application service, if any, is last.
    processes: Vec<Process>,
    /// Client addresses: one for each server process with a client listener.
    listen: Vec<SocketAddr>,
    api: SocketAddr,
    /// Contains the store and the logs; removed on drop.
    directory: TempDir,
}

impl Target {
    /// Whether the deployment is a core with separate edges.
    pub(crate) fn is_pair(self) -> bool {
        match self {
            Self::Core | Self::Edge | Self::Both => true,
            Self::Standalone | Self::App => false,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Standalone => "standalone",
            Self::Core => "core",
            Self::Edge => "edge",
            Self::Both => "both",
            Self::App => "app",
        })
    }
}

impl Deployment {
    /// Describes `minerva` without a start.
    pub(crate) fn standalone(program: PathBuf, random: &mut Random) -> anyhow::Result<Self> {
        let mut ports = Ports::new(random);
        let (listen, api, admin) = (ports.take()?, ports.take()?, ports.take()?);
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let mut arguments = options(&[("--listen", listen), ("--api", api), ("--admin", admin)]);
        arguments.extend(["--demo".into(), "off".into(), "--data-dir".into()]);
        arguments.push(directory.path().join("data").into());
        let log = directory.path().join("server.log");
        let processes = vec![Process::new("the server", program, arguments, log)];
        Ok(Self { processes, listen: vec![listen], api, directory })
    }

    /// Describes a core and its edges without a start.
    pub(crate) fn pair(
        [core, edge]: [PathBuf; 2],
        edges: usize,
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let mut ports = Ports::new(random);
        let (link, api, admin) = (ports.take()?, ports.take()?, ports.take()?);
        let directory = tempfile::tempdir().context("no temporary directory")?;
        let mut arguments = options(&[("--link", link), ("--api", api), ("--admin", admin)]);
        let mut store = OsString::from("redb:");
        store.push(directory.path().join("data"));
        arguments.extend(["--store".into(), store]);
        let log = directory.path().join("core.log");
        let mut processes = vec![Process::new("the core", core, arguments, log)];
        let mut listen = Vec::new();
        for number in 1..=edges {
            let (clients, admin) = (ports.take()?, ports.take()?);
            let arguments = options(&[("--listen", clients), ("--core", link), ("--admin", admin)]);
            let log = directory.path().join(format!("edge{number}.log"));
            processes.push(Process::new(format!("edge {number}"), edge.clone(), arguments, log));
            listen.push(clients);
        }
        Ok(Self { processes, listen, api, directory })
    }

    pub(crate) fn add_app(&mut self, program: PathBuf, arguments: Vec<OsString>) {
        let log = self.directory.path().join("app.log");
        self.processes.push(Process::new("the application", program, arguments, log));
    }

    /// The directory for files of the run.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Addresses for clients.
    pub(crate) fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// Address for application services.
    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    pub(crate) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// The last process that was added.
    pub(crate) fn last(&mut self) -> anyhow::Result<&mut Process> {
        self.processes.last_mut().context("there is no process")
    }

    /// Starts all processes and waits until they are ready.
    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            process.spawn()?;
        }
        self.ready().await
    }

    /// Waits until all processes are ready.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            process.ready().await?;
        }
        Ok(())
    }

    /// Returns an error if a process has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// Kills the processes of the target, then starts them again.
    pub(crate) async fn kill(&mut self, target: Target, random: &mut Random) -> anyhow::Result<()> {
        let victims = self.victims(target, random);
        for &victim in &victims {
            self.processes[victim].kill().await?;
        }
        for &victim in &victims {
            self.processes[victim].spawn()?;
        }
        Ok(())
    }

    /// Indices in `processes`.
    fn victims(&self, target: Target, random: &mut Random) -> Vec<usize> {
        let edge = |random: &mut Random| random.between(1, self.listen.len() as u64) as usize;
        match target {
            Target::Standalone | Target::Core => vec![0],
            Target::Edge => vec![edge(random)],
            Target::App => vec![self.processes.len() - 1],
            Target::Both => match random.between(0, 2) {
                0 => vec![0],
                1 => vec![edge(random)],
                _ => vec![0, edge(random)],
            },
        }
    }
}

/// Returns the path of a program in this program's directory.
///
/// # Errors
/// If the file does not exist.
pub fn beside_this(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program's own path")?;
    beside(&this, name)
}

/// Returns the path of a program in the directory of another one.
///
/// # Errors
/// If the file does not exist.
pub fn beside(program: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let found = program.parent().map(|directory| directory.join(name));
    found.filter(|path| path.exists()).with_context(|| {
        format!("{name} is not beside {}: build it, or see --minerva", program.display())
    })
}

/// Command-line options with addresses as values.
pub fn options(addresses: &[(&str, SocketAddr)]) -> Vec<OsString> {
    addresses.iter().flat_map(|(name, at)| [name.into(), at.to_string().into()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn victims_belong_to_the_target() {
        let mut random = Random::new(1);
        let programs = ["core".into(), "edge".into()];
        let pair = Deployment::pair(programs, 2, &mut random).unwrap();
        let mut hit = |target| {
            let mut sets: Vec<_> = (0..200).map(|_| pair.victims(target, &mut random)).collect();
            sets.sort();
            sets.dedup();
            sets
        };
        assert_eq!(hit(Target::Core), [[0]]);
        assert_eq!(hit(Target::Edge), [[1], [2]]);
        assert_eq!(hit(Target::Both), [vec![0], vec![0, 1], vec![0, 2], vec![1], vec![2]]);
        let mut alone = Deployment::standalone("minerva".into(), &mut random).unwrap();
        assert_eq!(alone.victims(Target::Standalone, &mut random), [0]);
        alone.add_app("app".into(), Vec::new());
        assert_eq!(alone.victims(Target::App, &mut random), [1]);
    }
}
