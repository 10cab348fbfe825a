//! The link to the core: one task owns the call, batches what transports say, and brings each
//! transport what the core says to it. When the call ends it begins another, with a pause that grows.
//! It holds no stream state: after a loss the transports attach themselves again. Used by
//! `session.rs`; knows no sockets.

mod call;
pub(crate) mod convert;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tonic::transport::{Channel, Endpoint};

use crate::clock;
use crate::metrics::Metrics;
use crate::transport::{FromCore, ToCore};

/// Pause before the first new attempt after a call that had worked.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause: a core that restarts is found again within a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What waits for one transport's driver. Drivers take what comes without waiting for sockets, so
/// this evens out scheduling only; the core's credit bounds the bytes.
const DELIVERY: usize = 64;

/// HTTP/2 windows: the defaults of 64 KiB hold a busy link back (measured, design §11).
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A dead core, or a dead path to it, is noticed within the sum of both.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Sets what the link needs of its connection: windows, pings, no delay.
pub fn tune(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
}

/// What transports use of the link. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    calls: watch::Receiver<Option<Uplink>>,
    numbers: Arc<AtomicU64>,
}

/// The way to the core over one call.
#[derive(Debug, Clone)]
pub(crate) struct Uplink {
    /// Bounded by what the transports may have under way: each has its untaken batches, one Attach,
    /// one Detach, and grants for what it was sent.
    messages: mpsc::UnboundedSender<Message>,
}

/// What one transport tells the core.
#[derive(Debug)]
enum Message {
    /// Its Attach: from now on what comes for `transport` goes to `deliver`.
    Attach { transport: u64, content: ToCore, deliver: mpsc::Sender<FromCore> },
    /// Anything else.
    Other { transport: u64, content: ToCore },
}

/// One transport's place on one call. Ends with the call: [`Place::next`] gives `None` then.
#[derive(Debug)]
pub(crate) struct Place {
    uplink: Uplink,
    transport: u64,
    /// Taken by the Attach.
    deliver: Option<mpsc::Sender<FromCore>>,
    /// Attach was told, Detach not yet.
    attached: bool,
    inbox: mpsc::Receiver<FromCore>,
}

impl Link {
    /// The link over `channel`, and the task that keeps it up until it is dropped.
    pub(crate) fn new(
        channel: Channel,
        edge_id: String,
        metrics: Metrics,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (announce, calls) = watch::channel(None);
        let task = keep_up(channel, edge_id, announce, metrics);
        (Self { calls, numbers: Arc::new(AtomicU64::new(1)) }, task)
    }

    /// Whether a call is up.
    pub(crate) fn is_up(&self) -> bool {
        self.calls.borrow().is_some()
    }

    /// Waits until the link goes up or down; for ever if the link's task has ended.
    pub(crate) async fn changed(&mut self) {
        if self.calls.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// A place for one transport on the call that is up.
    pub(crate) fn place(&mut self) -> Option<Place> {
        let uplink = self.calls.borrow_and_update().clone()?;
        if uplink.messages.is_closed() {
            return None;
        }
        let (deliver, inbox) = mpsc::channel(DELIVERY);
        let transport = self.numbers.fetch_add(1, Ordering::Relaxed);
        Some(Place { uplink, transport, deliver: Some(deliver), attached: false, inbox })
    }
}

impl Place {
    /// Tells the core. A call that has ended swallows it; the transport learns by [`Self::next`].
    pub(crate) fn tell(&mut self, content: ToCore) {
        let transport = self.transport;
        self.attached = match content {
            ToCore::Attach(_) => true,
            ToCore::Detach => false,
            ToCore::Batch(_) | ToCore::Grant(_) => self.attached,
        };
        let message = match (&content, self.deliver.take()) {
            (ToCore::Attach(_), Some(deliver)) => Message::Attach { transport, content, deliver },
            (_, deliver) => {
                self.deliver = deliver;
                Message::Other { transport, content }
            }
        };
        // On a call that has ended, this also drops what `next` waits for.
        let _ = self.uplink.messages.send(message);
    }

    /// What the core says next; `None`: the call has ended, or has dropped this transport.
    pub(crate) async fn next(&mut self) -> Option<FromCore> {
        if self.deliver.is_some() {
            self.uplink.messages.closed().await;
            return None;
        }
        self.inbox.recv().await
    }

    /// What the core said already.
    pub(crate) fn try_next(&mut self) -> Option<FromCore> {
        self.inbox.try_recv().ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.attached {
            self.tell(ToCore::Detach);
        }
    }
}

/// Makes one call after the other.
async fn keep_up(
    channel: Channel,
    edge_id: String,
    announce: watch::Sender<Option<Uplink>>,
    metrics: Metrics,
) {
    let mut pause = FIRST_PAUSE;
    for call in 1.. {
        let outcome = call::make(channel.clone(), &edge_id, |core_id, messages| {
            tracing::info!(core = core_id, call, "link up");
            metrics.link_up.set(1);
            pause = FIRST_PAUSE;
            announce.send_replace(Some(Uplink { messages }));
        });
        let Err(error) = Box::pin(outcome).await;
        let was_up = announce.send_replace(None).is_some();
        metrics.link_up.set(0);
        if was_up {
            metrics.link_losses.inc();
            tracing::warn!(%error, call, "link lost");
        } else if call == 1 {
            tracing::warn!(%error, "no link to the core yet; trying on");
        } else {
            tracing::debug!(%error, call, "no link");
        }
        if announce.is_closed() {
            return;
        }
        tokio::time::sleep(pause / 2 + clock::random_part(pause / 2)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
