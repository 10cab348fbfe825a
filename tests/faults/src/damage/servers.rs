//! The core and the edge of a round.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::timeout;

use super::server_logs::ServerLogs;
use crate::admin;
use crate::deployment::{beside, beside_this, options};
use crate::ports::Ports;
use crate::process::Process;

/// Exit code of a panic.
const PANIC: i32 = 101;
/// Deadline for readiness or an exit; a process that does neither hangs.
const START: Duration = Duration::from_secs(30);
const EXIT: Duration = Duration::from_secs(1);
/// Grace of a core for the dead instance of the round before, which never returns: most of the time of a round.
const APP_GRACE: &str = "200ms";

pub(super) struct Servers {
    pub(super) core: Process,
    edge: Process,
    pub(super) clients: SocketAddr,
    pub(super) api: SocketAddr,
    /// The core's admin port.
    admin: SocketAddr,
    partitions: u32,
    logs: ServerLogs,
}

/// A round without verdicts, with the cause.
#[derive(Debug)]
pub(super) enum Failure {
    /// The core exited with an error.
    Refused(String),
    /// All processes run, but none goes on.
    Hung(String),
    /// A process panicked or was ended by a signal, or the edge ended.
    Crashed(String),
    /// The application received a stream that does not exist.
    Wrong(String),
}

/// The unreadable partitions in a readiness report.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unreadable {
    named: BTreeSet<u32>,
    /// Number of unreadable partitions, which may be more than are named.
    count: usize,
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
        let count = partitions.to_string();
        let more = [
            "--store",
            store,
            "--partitions",
            &count,
            "--checkpoint-entries",
            "25",
            "--lease",
            "1s",
            "--app-grace",
            APP_GRACE,
        ];
        arguments.extend(more.map(Into::into));
        let logs = [directory.join("core.log"), directory.join("edge.log")];
        let core = Process::new("the core", program, arguments, logs[0].clone());
        let mut arguments = options(&[("--listen", clients), ("--admin", edge_admin)]);
        arguments.extend(["--core".into(), link.to_string().into()]);
        let edge = Process::new("the edge", edge, arguments, logs[1].clone());
        Ok(Self { core, edge, clients, api, admin, partitions, logs: ServerLogs::new(logs) })
    }

    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        self.core.spawn()?;
        self.edge.spawn()?;
        timeout(START, self.core.ready()).await.context("the core is not ready")??;
        timeout(START, self.edge_is_ready()).await.context("the edge is not ready")?
    }

    /// Waits until the edge is ready. An edge without any served partition is not, and need not be.
    async fn edge_is_ready(&mut self) -> anyhow::Result<()> {
        loop {
            if let Ok(ready) = timeout(EXIT, self.edge.ready()).await {
                return ready;
            }
            let report = self.unreadable().await;
            if report.is_ok_and(|report| report.count >= self.partitions as usize) {
                return Ok(());
            }
        }
    }

    /// Starts the core alone, and kills it when it is ready.
    ///
    /// # Errors
    /// If the core does not serve.
    pub(super) async fn try_core(&mut self) -> Result<(), Failure> {
        let started = async {
            self.core.spawn()?;
            timeout(START, self.core.ready()).await.context("the core is not ready")?
        };
        let started = started.await;
        self.end(started).await
    }

    /// Kills both processes at the end of a round; the cause of an error follows from their exits and logs.
    pub(super) async fn end<T>(&mut self, outcome: anyhow::Result<T>) -> Result<T, Failure> {
        let running = self.check();
        let text = match (&outcome, running) {
            (_, Err(ended)) => Some(format!("{ended:#}")),
            (Err(error), Ok(())) => Some(format!("{error:#}")),
            (Ok(_), Ok(())) => None,
        };
        let core = match self.core.ended() {
            // The output of a process ends before its status is known.
            None if outcome.is_err() => {
                timeout(EXIT, self.core.wait()).await.ok().and_then(Result::ok)
            }
            ended => ended,
        };
        let has_edge_ended = self.edge.ended().is_some();
        self.kill().await;
        let panics = self.logs.new_panics().unwrap_or_else(|error| vec![error.to_string()]);
        if let Some(panic) = panics.first() {
            return Err(Failure::Crashed(panic.clone()));
        }
        let refused = core.is_some_and(|status| status.code().is_some_and(|code| code != PANIC));
        match (outcome, text) {
            (_, Some(text)) if has_edge_ended => Err(Failure::Crashed(text)),
            (_, Some(text)) if refused => Err(Failure::Refused(text)),
            (_, Some(text)) if core.is_some() => Err(Failure::Crashed(text)),
            (Err(error), _) => Err(Failure::Hung(format!("{error:#}"))),
            (Ok(_), Some(text)) => Err(Failure::Crashed(text)),
            (Ok(value), None) => Ok(value),
        }
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

    /// The partitions that the core reports as unreadable.
    pub(super) async fn unreadable(&self) -> anyhow::Result<Unreadable> {
        Ok(Unreadable::parse(&admin::get(self.admin, "/readyz").await?))
    }
}

impl Unreadable {
    fn parse(reply: &str) -> Self {
        let list = reply.split_once("unreadable partitions: ");
        let list = list.and_then(|(_, rest)| rest.split_once('(')?.1.split_once(')'));
        let Some((list, _)) = list else { return Self::default() };
        let named = list.split(", ").filter_map(|number| number.parse().ok()).collect();
        let count = reply
            .split_once("unreadable partitions: ")
            .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
        Self { named, count: count.unwrap_or(0) }
    }

    /// Whether the report is the cause for all of these unserved partitions. The report names only the first ones.
    pub(super) fn explains(&self, unserved: &BTreeSet<u32>) -> bool {
        unserved.is_subset(&self.named)
            || (self.count > self.named.len() && unserved.len() <= self.count)
    }

    /// Whether one of the unserved partitions is unreadable.
    pub(super) fn includes(&self, partition: u32, unserved: &BTreeSet<u32>) -> bool {
        self.named.contains(&partition) || self.explains(unserved)
    }
}

impl Failure {
    /// The failure if only partitions are damaged, which must not stop the core.
    pub(super) fn of_a_partition(self) -> Self {
        match self {
            Self::Refused(text) | Self::Crashed(text) => Self::Crashed(text),
            Self::Hung(text) => Self::Hung(text),
            Self::Wrong(text) => Self::Wrong(text),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::Hung(text) | Self::Crashed(text) | Self::Wrong(text) => {
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readiness_report_names_unreadable_partitions() {
        let reply = "HTTP/1.1 200 OK\r\n\r\nready\nunreadable partitions: 2 (3, 17); 3: version 9";
        let unreadable = Unreadable::parse(reply);
        let unserved = BTreeSet::from([4, 17]);
        assert!(unreadable.includes(17, &unserved) && !unreadable.includes(4, &unserved));
        assert!(!unreadable.explains(&unserved) && unreadable.explains(&BTreeSet::from([17])));
    }

    #[test]
    fn a_shortened_report_explains_only_as_many_partitions_as_it_counts() {
        let many = Unreadable::parse("unreadable partitions: 11 (1, 2, ...); 1: x");
        let unserved = BTreeSet::from_iter(30..41);
        assert!(many.explains(&unserved) && many.includes(40, &unserved));
        let more = BTreeSet::from_iter(30..42);
        assert!(!many.explains(&more) && !many.includes(40, &more) && many.includes(1, &more));
    }

    #[test]
    fn no_report_explains_nothing() {
        assert_eq!(Unreadable::parse("HTTP/1.1 200 OK\r\n\r\nready\n"), Unreadable::default());
    }
}
