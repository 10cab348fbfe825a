//! One round: all clients return to a damaged store and read to the end, together with a new application instance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use minerva_app::Service;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::application::Application;
use super::history::{History, echo, listed, probe};
use super::servers::{Failure, Servers, Unreadable};
use super::verdict::{ClientEnd, Verdict};
use super::wire::{Frame, Hello, Wire};
use crate::app::{self, RunId};
use crate::clock;
use crate::message::Direction;

/// Pause before another connection.
const RETRY: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(50);
/// A round ends if no further stream is decided within this time.
const QUIET: Duration = Duration::from_secs(6);
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

/// Clients that are connecting or have decided.
struct Clients {
    tasks: JoinSet<(usize, ClientEnd)>,
    decided: Arc<AtomicUsize>,
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
    let service = Service::connect(servers.api.to_string()).name("default").start();
    let service = timeout(FIRST, service).await.context("the application cannot register")??;
    let attending = Arc::clone(&application);
    let serving = tokio::spawn(service.run(move |stream| Arc::clone(&attending).attend(stream)));
    let mut clients = Clients::start(round, servers.clients, histories);
    clients.wait(servers, histories.len()).await;
    let ends = clients.ends(histories.len())?;
    wait_for_ends(&application, &ends).await;
    let is_unserved = ends.iter().any(Option::is_none);
    let refused = if is_unserved { servers.unreadable().await? } else { Unreadable::default() };
    serving.abort();
    let verdict = |(end, history): (Option<ClientEnd>, &History)| {
        Verdict::new(end, &application.seen(history.stream), refused.includes(history.partition))
    };
    let verdicts = ends.into_iter().zip(histories.iter()).map(verdict).collect();
    Ok(Round { verdicts, unlisted: application.unlisted() })
}

impl Clients {
    fn start(round: u64, address: SocketAddr, histories: &Arc<Vec<History>>) -> Self {
        let (mut tasks, decided) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for history in histories.iter() {
            let (history, decided) = (history.clone(), Arc::clone(&decided));
            tasks.spawn(async move {
                let end = client(round, address, &history).await;
                decided.fetch_add(1, Ordering::Relaxed);
                (history.stream, end)
            });
        }
        Self { tasks, decided }
    }

    /// Waits until all clients are decided, or no further client is.
    async fn wait(&self, servers: &mut Servers, all: usize) {
        let mut last = (0, clock::now());
        while last.0 < all && servers.check().is_ok() {
            sleep(POLL).await;
            let (now, count) = (clock::now(), self.decided.load(Ordering::Relaxed));
            let limit = if count == 0 { FIRST } else { QUIET };
            if count != last.0 {
                last = (count, now);
            } else if now.duration_since(last.1) > limit {
                return;
            }
        }
    }

    /// The ends by stream; `None` for a client that is not served.
    fn ends(&mut self, all: usize) -> anyhow::Result<Vec<Option<ClientEnd>>> {
        let mut ends: Vec<Option<ClientEnd>> = (0..all).map(|_| None).collect();
        while let Some(done) = self.tasks.try_join_next() {
            let (stream, end) = done?;
            ends[stream] = Some(end);
        }
        self.tasks.abort_all();
        Ok(ends)
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
