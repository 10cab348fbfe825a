//! The client's end of a stream, in the hands of the test.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use minerva_proto::app::{self, Header, Started, TransportChanged};
use minerva_proto::stream_id::StreamIdError;
use minerva_proto::{MAX_REASON, StreamId, is_message_allowed};

use super::core::Core;
use super::stream::Stream;
use crate::event::{Ended, TransportKind};

/// The reason when a client does not come back.
const IDLE: &str = "no activity from peer";
/// When streams are made unless the test says so: the first second of 2020.
const STARTED_AT_MS: u64 = 1_577_836_800_000;

/// What a client says of itself when it makes a stream; see [`Kit::connect`](super::Kit::connect).
#[derive(Clone)]
#[must_use = "nothing happens before `Kit::connect`"]
pub struct Client {
    started: Started,
    transport: TransportKind,
}

/// The client's end of a stream.
///
/// What is not received stays in the stream's outbox: a client that does not receive makes the app wait.
pub struct ClientStream {
    core: Core,
    number: u64,
    id: StreamId,
    timeout: Duration,
    /// Numbers and kinds of the transports that there are.
    transports: Vec<(u64, TransportKind)>,
    /// Number of the next transport.
    next_transport: u64,
}

impl Client {
    /// A client that says nothing of itself and comes by WebSocket from 192.0.2.1.
    pub fn new() -> Self {
        let started = Started {
            peer_address: "192.0.2.1".to_owned(),
            started_at_ms: STARTED_AT_MS,
            ..Started::default()
        };
        Self { started, transport: TransportKind::WebSocket }
    }

    /// What it offers to prove who it is.
    pub fn credentials(mut self, credentials: impl Into<String>) -> Self {
        self.started.credentials = credentials.into();
        self
    }

    /// One more request header; the name becomes lower case.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.started.headers.push(Header { name: name.to_ascii_lowercase(), value: value.into() });
        self
    }

    /// Where it comes from.
    pub fn peer_address(mut self, address: impl Into<String>) -> Self {
        self.started.peer_address = address.into();
        self
    }

    /// What carries it.
    pub fn transport(mut self, kind: TransportKind) -> Self {
        self.transport = kind;
        self
    }

    /// The stream's id, 20 to 30 ASCII characters; one that is made up unless set.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.started.stream_id = id.into();
        self
    }

    /// When the stream is made; the first second of 2020 unless set.
    pub fn started_at(mut self, time: SystemTime) -> Self {
        let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.started.started_at_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        self
    }

    pub(super) fn connect(self, core: Core, timeout: Duration) -> ClientStream {
        let made = core.change(|state| {
            let number = state.next_number();
            let mut started = self.started;
            if started.stream_id.is_empty() {
                started.stream_id = format!("stream-of-the-kit-{number:06}");
            }
            started.transport = to_proto(self.transport).into();
            let id = StreamId::parse(&started.stream_id)?;
            state.connect(started);
            Ok::<_, StreamIdError>((number, id))
        });
        let (number, id) = match made {
            Ok(made) => made,
            Err(error) => panic!("Client::id: {error}"),
        };
        let transports = vec![(0, self.transport)];
        ClientStream { core, number, id, timeout, transports, next_transport: 1 }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientStream {
    /// The stream's number, as the app sees it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The stream's id.
    pub fn id(&self) -> &StreamId {
        &self.id
    }

    /// Sends a message; waits while the core holds as many as it takes because the app does not acknowledge them.
    /// What is sent to a stream that is over goes nowhere.
    ///
    /// # Panics
    /// If the message cannot travel; as all methods here if the app broke the contract or timeout is over.
    pub async fn send(&self, message: impl Into<Bytes>) {
        let message = message.into();
        let max = self.core.inspect(|state| state.limits.max_message);
        assert!(message.len() <= max, "a client's message is at most {max} bytes long");
        assert!(is_message_allowed(&message), "a client's message is bytes 0x20-0x7E");
        let take = self.core.wait_for("room for the client's message", self.timeout, |state| {
            let bounds = state.limits.inbox;
            let stream = state.stream(self.number);
            (stream.ended().is_some() || stream.has_inbox_room(bounds)).then(|| {
                state.change(self.number, |stream, events| {
                    stream.on_message(message.clone(), events)
                })
            })
        });
        take.await;
    }

    /// The next message from the app; `None` if the stream is over.
    pub async fn recv(&self) -> Option<Bytes> {
        let recv = self.core.wait_for("a message for the client", self.timeout, |state| {
            let message = state.change(self.number, Stream::take_message).flatten();
            let is_over = state.stream(self.number).ended().is_some();
            (message.is_some() || is_over).then_some(message)
        });
        recv.await
    }

    /// The next message from the app if it is there already.
    pub fn try_recv(&self) -> Option<Bytes> {
        self.core.inspect(|_| ());
        self.core.change(|state| state.change(self.number, Stream::take_message).flatten())
    }

    /// Ends the stream, as the client's application does.
    ///
    /// # Panics
    /// If the reason cannot travel.
    pub fn reset(&self, reason: impl Into<String>) {
        let reason = reason.into();
        let travels = reason.len() <= MAX_REASON && is_message_allowed(reason.as_bytes());
        assert!(travels, "a reason is at most {MAX_REASON} bytes 0x20-0x7E");
        self.end(reason, true, app::EndedBy::Client);
    }

    /// Ends the stream as the core does when a client does not come back in time.
    pub fn vanish(&self) {
        self.end(IDLE.to_owned(), false, app::EndedBy::Core);
    }

    /// How the stream ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        self.core.inspect(|state| state.stream(self.number).ended().cloned().map(Ended::from_proto))
    }

    /// Waits for the end of the stream.
    pub async fn over(&self) -> Ended {
        let over = self.core.wait_for("the end of the stream", self.timeout, |state| {
            state.stream(self.number).ended().cloned()
        });
        Ended::from_proto(over.await)
    }

    /// Waits until the app has acknowledged all that happened to the stream: its start, the messages sent so far, its
    /// end. What the app did with them before, such as setting a label, has happened then.
    pub async fn acknowledged(&self) {
        let acknowledged = self.core.wait_for("an acknowledgement", self.timeout, |state| {
            state.stream(self.number).is_acknowledged().then_some(())
        });
        acknowledged.await;
    }

    /// How many of the messages sent here the app has not acknowledged: they come again when it is restarted.
    pub fn unacknowledged(&self) -> usize {
        self.core.inspect(|state| state.stream(self.number).unacknowledged())
    }

    /// The stream's label; empty if it has none.
    pub fn label(&self) -> String {
        self.core.inspect(|state| state.stream(self.number).label.clone())
    }

    /// The stream's groups, in the order of the alphabet.
    pub fn groups(&self) -> Vec<String> {
        self.core.inspect(|state| state.stream(self.number).groups.iter().cloned().collect())
    }

    /// How long the stream lives without a transport, if the app has set that.
    pub fn max_idle(&self) -> Option<Duration> {
        self.core.inspect(|state| state.stream(self.number).max_idle_ms.map(Duration::from_millis))
    }

    /// One more transport carries the stream, its primary one from now on.
    pub fn attach(&mut self, kind: TransportKind) {
        let number = self.next_transport;
        self.next_transport += 1;
        self.transports.push((number, kind));
        self.push_transport_changed((number, kind), true);
    }

    /// The transport that came last is gone; no effect if there is none.
    pub fn detach(&mut self) {
        if let Some(transport) = self.transports.pop() {
            self.push_transport_changed(transport, false);
        }
    }

    fn push_transport_changed(
        &self,
        (transport_number, kind): (u64, TransportKind),
        attached: bool,
    ) {
        let change = TransportChanged {
            stream: self.number,
            transport_number,
            attached,
            primary: true,
            transport: to_proto(kind).into(),
            transports: u32::try_from(self.transports.len()).unwrap_or(u32::MAX),
        };
        let event = app::event::Event::TransportChanged(change);
        self.core.change(|state| state.push_event(self.number, event));
    }

    fn end(&self, reason: String, application_level: bool, by: app::EndedBy) {
        self.core.inspect(|_| ());
        let (stream, by) = (self.number, by.into());
        let ended = app::Ended { stream, event: 0, reason, application_level, by };
        self.core.change(|state| state.change(stream, |stream, events| stream.end(ended, events)));
    }
}

/// Leaves out what must not be in logs.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStream").field("number", &self.number).finish_non_exhaustive()
    }
}

fn to_proto(kind: TransportKind) -> app::TransportKind {
    match kind {
        TransportKind::Unknown => app::TransportKind::Unspecified,
        TransportKind::Tcp => app::TransportKind::Tcp,
        TransportKind::WebSocket => app::TransportKind::Websocket,
        TransportKind::HttpStream => app::TransportKind::HttpStream,
        TransportKind::LongPoll => app::TransportKind::LongPoll,
    }
}
