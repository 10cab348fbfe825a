//! One round: all clients return to a damaged store and read to the end, together with a new application instance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use minerva_app::Service;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::application::{Application, Seen};
use super::history::{History, echo, listed, probe};
use super::servers::Servers;
use super::wire::{Frame, Hello, Wire};
use crate::app;
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

/// The fate of a stream in a round.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Everything listed and the probe arrived at both ends.
    Intact,
    /// Ended with `state lost`.
    StateLost,
    /// Ended with `state lost` at the client only.
    OneSided,
    /// Not served within the time of a round.
    Stopped,
    /// The client received `stream_attach_failure`: the stream does not exist.
    Unknown,
    /// Ended for another reason.
    Otherwise(String),
    /// Messages are missing and the stream goes on.
    Silent,
    Wrong(String),
}

/// The client's view of a stream in a round.
#[derive(Debug)]
enum ClientEnd {
    /// The answer has arrived; whether listed messages are missing before it.
    Answered {
        silent: bool,
    },
    Reset(String),
    Killed(String),
    Wrong(String),
}

/// Runs a round; the servers are killed at the end.
///
/// # Errors
/// If a process has ended by itself.
pub(super) async fn run(
    round: u64,
    servers: &mut Servers,
    histories: &Arc<Vec<History>>,
) -> anyhow::Result<Vec<Verdict>> {
    let outcome = converse(round, servers, histories).await;
    let alive = servers.check();
    servers.kill().await;
    alive.and(outcome)
}

async fn converse(
    round: u64,
    servers: &mut Servers,
    histories: &Arc<Vec<History>>,
) -> anyhow::Result<Vec<Verdict>> {
    servers.start().await?;
    let application = Arc::new(Application::new(round, Arc::clone(histories)));
    let service = Service::connect(servers.api.to_string()).name("default").start();
    let service = timeout(FIRST, service).await??;
    let attending = Arc::clone(&application);
    let serving = tokio::spawn(service.run(move |stream| Arc::clone(&attending).attend(stream)));
    let decided = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for history in histories.iter() {
        let (history, address, decided) = (history.clone(), servers.clients, Arc::clone(&decided));
        clients.spawn(async move {
            let end = client(round, address, &history).await;
            decided.fetch_add(1, Ordering::Relaxed);
            (history.stream, end)
        });
    }
    wait(servers, &decided, histories.len()).await;
    let mut ends: Vec<Option<ClientEnd>> = histories.iter().map(|_| None).collect();
    while let Some(done) = clients.try_join_next() {
        let (stream, end) = done?;
        ends[stream] = Some(end);
    }
    clients.abort_all();
    wait_for_ends(&application, &ends).await;
    serving.abort();
    let verdict = |(stream, end): (usize, Option<ClientEnd>)| judge(end, &application.seen(stream));
    Ok(ends.into_iter().enumerate().map(verdict).collect())
}

/// Waits until all clients are decided, or no further client is.
async fn wait(servers: &mut Servers, decided: &AtomicUsize, all: usize) {
    let mut last = (0, clock::now());
    while last.0 < all && servers.check().is_ok() {
        sleep(POLL).await;
        let (now, count) = (clock::now(), decided.load(Ordering::Relaxed));
        let limit = if count == 0 { FIRST } else { QUIET };
        if count != last.0 {
            last = (count, now);
        } else if now.duration_since(last.1) > limit {
            return;
        }
    }
}

/// Waits until the application has received the ends of the streams that the clients lost.
async fn wait_for_ends(application: &Application, ends: &[Option<ClientEnd>]) {
    let start = clock::now();
    let is_pending = |(stream, end): (usize, &Option<ClientEnd>)| {
        let seen = application.seen(stream);
        matches!(end, Some(ClientEnd::Reset(_))) && seen.started && seen.ended.is_none()
    };
    while ends.iter().enumerate().any(is_pending) && clock::now().duration_since(start) < ENDS {
        sleep(POLL).await;
    }
}

fn judge(end: Option<ClientEnd>, seen: &Seen) -> Verdict {
    if let Some(wrong) = &seen.wrong {
        return Verdict::Wrong(wrong.clone());
    }
    match end {
        None => Verdict::Stopped,
        Some(ClientEnd::Wrong(what)) => Verdict::Wrong(what),
        Some(ClientEnd::Killed(reason)) if reason == "stream_attach_failure" => Verdict::Unknown,
        Some(ClientEnd::Killed(reason)) => Verdict::Otherwise(reason),
        Some(ClientEnd::Reset(reason)) if reason.starts_with("state lost") => {
            if seen.started && seen.ended.is_none() {
                Verdict::OneSided
            } else {
                Verdict::StateLost
            }
        }
        Some(ClientEnd::Reset(reason)) => Verdict::Otherwise(reason),
        Some(ClientEnd::Answered { silent }) if silent || seen.silent => Verdict::Silent,
        Some(ClientEnd::Answered { .. }) => Verdict::Intact,
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
    let (id, credentials) = (history.id(), app::credentials(stream));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_may_contradict_the_client() {
        let answered = || Some(ClientEnd::Answered { silent: false });
        let lost = || Some(ClientEnd::Reset("state lost|0".to_owned()));
        let seen = Seen { started: true, probed: true, ..Seen::default() };
        assert_eq!(judge(answered(), &seen), Verdict::Intact);
        assert_eq!(judge(lost(), &seen), Verdict::OneSided);
        assert_eq!(judge(lost(), &Seen::default()), Verdict::StateLost);
        let ended = Seen { ended: Some("state lost".to_owned()), ..seen.clone() };
        assert_eq!(judge(lost(), &ended), Verdict::StateLost);
        let silent = Seen { silent: true, ..seen.clone() };
        assert_eq!(judge(answered(), &silent), Verdict::Silent);
        let wrong = Seen { wrong: Some("x".to_owned()), ..seen };
        assert_eq!(judge(lost(), &wrong), Verdict::Wrong("x".to_owned()));
        assert_eq!(judge(None, &Seen::default()), Verdict::Stopped);
        let unknown = ClientEnd::Killed("stream_attach_failure".to_owned());
        assert_eq!(judge(Some(unknown), &Seen::default()), Verdict::Unknown);
    }
}
