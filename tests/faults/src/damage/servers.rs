//! The core and the edge of a round.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::timeout;

use crate::deployment::{beside, beside_this, options};
use crate::ports::Ports;
use crate::process::Process;

/// Exit code of a panic.
const PANIC: i32 = 101;
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Servers {
    pub(super) core: Process,
    edge: Process,
    pub(super) clients: SocketAddr,
    pub(super) api: SocketAddr,
}

impl Servers {
    pub(super) fn new(
        core: Option<&Path>,
        store: &str,
        partitions: u32,
        ports: &mut Ports<'_>,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let (program, edge): (PathBuf, PathBuf) = match core {
            Some(core) => (core.to_owned(), beside(core, "minerva-edge")?),
            None => (beside_this("minerva-core")?, beside_this("minerva-edge")?),
        };
        let [link, api, admin, clients, edge_admin] =
            [ports.take()?, ports.take()?, ports.take()?, ports.take()?, ports.take()?];
        let mut arguments = options(&[("--link", link), ("--api", api), ("--admin", admin)]);
        // Checkpoints during the preparation, so that snapshots and logs both hold messages.
        let partitions = partitions.to_string();
        let more = [
            "--store",
            store,
            "--partitions",
            &partitions,
            "--checkpoint-entries",
            "25",
            "--lease",
            "1s",
        ];
        arguments.extend(more.map(Into::into));
        let core = Process::new("the core", program, arguments, directory.join("core.log"));
        let mut arguments = options(&[("--listen", clients), ("--admin", edge_admin)]);
        arguments.extend(["--core".into(), link.to_string().into()]);
        let edge = Process::new("the edge", edge, arguments, directory.join("edge.log"));
        Ok(Self { core, edge, clients, api })
    }

    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        self.core.spawn()?;
        self.edge.spawn()?;
        self.core.ready().await?;
        self.edge.ready().await
    }

    /// Starts the core alone. Returns whether the core serves; a core that does not must exit with an error.
    ///
    /// # Errors
    /// If the core crashes or hangs.
    pub(super) async fn try_core(&mut self) -> anyhow::Result<bool> {
        self.core.spawn()?;
        if self.core.ready().await.is_ok() {
            self.core.kill().await?;
            return Ok(true);
        }
        let status = timeout(EXIT_TIMEOUT, self.core.wait()).await.context("the core hangs")??;
        let code = status.code().context("the core was ended by a signal")?;
        ensure!(code != PANIC, "the core panicked");
        Ok(false)
    }

    /// Returns an error if a process has ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.core.check()?;
        self.edge.check()
    }

    /// Kills both processes; one that has ended already is not an error.
    pub(super) async fn kill(&mut self) {
        for process in [&mut self.core, &mut self.edge] {
            if process.ended().is_none() {
                // Ended in between.
                let _ = process.kill().await;
            }
        }
    }
}
