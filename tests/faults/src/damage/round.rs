//! One round: all clients return to a damaged store and read to the end, together with a new application instance.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::application::Application;
use super::history::{History, echo, listed, probe};
use super::instance::Instance;
use super::servers::{Failure, Servers, Unreadable};
use super::verdict::{ClientEnd, Verdict};
use super::wire::{Frame, Hello, Wire};
use crate::app::{self, RunId};
use crate::clock;
use crate::message::Direction;

/// Pause before another connection.
const RETRY: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(50);
/// A round ends if no further stream is decided within this time.
const QUIET: Duration = Duration::from_secs(6);
/// The same if the core reports the partitions of all undecided streams as unreadable; interval of the queries.
const QUIET_REFUSED: Duration = Duration::from_secs(1);
/// Deadline for the first decided stream.
const FIRST: Duration = Duration::from_secs(30);
/// Time for the application to receive the ends that the clients have received.
const ENDS: Duration = Duration::from_secs(3);
/// Time for the application to receive a stream whose client was served.
const ASSIGNED: Duration = Duration::from_millis(500);

/// The result of a round without a failure of a process.
pub(super) struct Round {
    /// By stream.
    pub(super) verdicts: Vec<Verdict>,
    /// Credentials of streams that the application received although they are not in the list.
    pub(super) unlisted: Vec<String>,
}

/// Clients that are connecting, and the ends of the others.
struct Clients {
    tasks: JoinSet<(usize, ClientEnd)>,
    /// By stream; `None` for a client that is not served.
    ends: Vec<Option<ClientEnd>>,
}

/// Runs a round; the servers are killed at the end.
///
/// # Errors
/// If a process ends, hangs or panics.
pub(super) async fn run(
    round: u64,
    servers: &mut Servers,
    histories: &Arc<Vec<History>>,
) -> Result<Round, Failure> {
    let outcome = converse(round, servers, histories).await;
    let outcome = servers.end(outcome).await?;
    match outcome.unlisted.first() {
        Some(credentials) => {
            Err(Failure::Wrong(format!("the application received {credentials:?}")))
        }
        None => Ok(outcome),
    }
}

async fn converse(
    round: u64,
    servers: &mut Servers,
    histories: &Arc<Vec<History>>,
) -> anyhow::Result<Round> {
    servers.start().await?;
    let application = Arc::new(Application::new(round, Arc::clone(histories)));
    let instance = Instance::start(servers.api, &application).await?;
    let mut clients = Clients::start(round, servers.clients, histories);
    clients.wait(servers, histories).await?;
    clients.tasks.abort_all();
    wait_for_ends(&application, &clients.ends).await;
    let unserved = clients.unserved(histories);
    let refused =
        if unserved.is_empty() { Unreadable::default() } else { servers.unreadable().await? };
    instance.end().await?;
    let verdict = |(end, history): (Option<ClientEnd>, &History)| {
        let is_refused = refused.includes(history.partition, &unserved);
        Verdict::new(end, &application.seen(history.stream), is_refused)
    };
    let verdicts = clients.ends.into_iter().zip(histories.iter()).map(verdict).collect();
    Ok(Round { verdicts, unlisted: application.unlisted() })
}

impl Clients {
    fn start(round: u64, address: SocketAddr, histories: &Arc<Vec<History>>) -> Self {
        let mut tasks = JoinSet::new();
        for history in histories.iter() {
            let history = history.clone();
            tasks.spawn(async move {
                let end = client(round, address, &history).await;
                (history.stream, end)
            });
        }
        Self { tasks, ends: histories.iter().map(|_| None).collect() }
    }

    /// Waits until all clients are decided, or no further client is.
    async fn wait(&mut self, servers: &mut Servers, histories: &[History]) -> anyhow::Result<()> {
        let (mut first, mut last) = (true, clock::now());
        let mut queried = last;
        while !self.tasks.is_empty() && servers.check().is_ok() {
            if let Ok(Some(done)) = timeout(POLL, self.tasks.join_next()).await {
                self.record(done)?;
                while let Some(done) = self.tasks.try_join_next() {
                    self.record(done)?;
                }
                (first, last) = (false, clock::now());
                continue;
            }
            let now = clock::now();
            if now.duration_since(last) > if first { FIRST } else { QUIET } {
                return Ok(());
            }
            if now.duration_since(last.max(queried)) > QUIET_REFUSED {
                queried = now;
                let unserved = self.unserved(histories);
                if servers.unreadable().await.is_ok_and(|report| report.explains(&unserved)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, done: Result<(usize, ClientEnd), JoinError>) -> anyhow::Result<()> {
        let (stream, end) = done?;
        self.ends[stream] = Some(end);
        Ok(())
    }

    /// The partitions of undecided streams.
    fn unserved(&self, histories: &[History]) -> BTreeSet<u32> {
        let undecided = histories.iter().filter(|history| self.ends[history.stream].is_none());
        undecided.map(|history| history.partition).collect()
    }
}

/// Waits until the application has received the ends of the streams that the clients lost.
async fn wait_for_ends(application: &Application, ends: &[Option<ClientEnd>]) {
    let start = clock::now();
    let is_pending = |(stream, end): (usize, &Option<ClientEnd>), waited: Duration| {
        let seen = application.seen(stream);
        let limit = if seen.started { ENDS } else { ASSIGNED };
        matches!(end, Some(ClientEnd::Reset(_))) && seen.ends.is_empty() && waited < limit
    };
    loop {
        let waited = clock::now().duration_since(start);
        if !ends.iter().enumerate().any(|end| is_pending(end, waited)) {
            return;
        }
        sleep(POLL).await;
    }
}

/// Connects until the stream is decided.
async fn client(round: u64, address: SocketAddr, history: &History) -> ClientEnd {
    let mut received = history.received;
    for transport in 100.. {
        match talk(round, address, history, transport, &mut received).await {
            Ok(Some(end)) => return end,
            // A closed or failed connection.
            Ok(None) | Err(_) => sleep(RETRY).await,
        }
    }
    ClientEnd::Killed("too many connections".to_owned())
}

/// Uses one transport; `None` if the server closes it.
async fn talk(
    round: u64,
    address: SocketAddr,
    history: &History,
    transport: u64,
    received: &mut u64,
) -> anyhow::Result<Option<ClientEnd>> {
    let stream = history.stream;
    let (id, credentials) = (history.id(), app::credentials(RunId::default(), stream));
    let acknowledged = history.c2s;
    let hello =
        Hello { id: &id, transport, new: false, acknowledged, received: *received, credentials };
    let mut wire = Wire::connect(address, &hello).await?;
    wire.send(history.c2s, &[probe(round, stream)]).await?;
    loop {
        match wire.read().await? {
            Frame::Message(number, message) => {
                if message == echo(round, stream) && number == *received {
                    wire.acknowledge(*received + 1).await?;
                    return Ok(Some(ClientEnd::Answered { silent: number < history.s2c }));
                }
                let is_listed =
                    number < history.s2c && message == listed(Direction::S2c, stream, number);
                if !is_listed || number > *received {
                    let text = String::from_utf8_lossy(&message);
                    let what = format!("stream {stream}: s2c {number} of {received} is {text:?}");
                    return Ok(Some(ClientEnd::Wrong(what)));
                }
                *received = (*received).max(number + 1);
            }
            Frame::Reset(reason) => return Ok(Some(ClientEnd::Reset(reason))),
            Frame::Kill(reason) => return Ok(Some(ClientEnd::Killed(reason))),
            Frame::Close => return Ok(None),
            Frame::Acknowledged(_) | Frame::Ignored => {}
        }
    }
}
