//! The public handle, [`Stream`]. Validates input and waits on the shared state; the driver does the work.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minerva_proto::v3::ResumeKey;
use minerva_proto::{Message, MessageNumber, StreamId, hello};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::clock::Clock;
use crate::config::{Config, TransportKind, Version};
use crate::driver;
use crate::error::{ConnectError, Ended, SendError};
use crate::http::HttpTarget;
use crate::problem::Problem;
use crate::session::state::Fresh;
use crate::session::{Rejoin, Rewind, Session, Started};
use crate::stream::{Counters, StreamMachine};
use crate::stream_state::StreamState;

/// A handle of an ordered, reliable, two-way sequence of messages with an application service.
///
/// Clones share the stream. Dropping the last clone closes the transports and leaves the stream to the server's idle
/// limit. Unacknowledged messages may then be lost, which is logged: await [`Stream::flush`] before. [`Stream::reset`]
/// ends the stream immediately, also if the last clone is dropped right afterwards.
///
/// ```no_run
/// use minerva_client::{Config, EndedBy, SendError, Stream, TransportKind};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let stream = Stream::connect(Config::new("127.0.0.1:8080", TransportKind::WebSocket))?;
/// stream.ready().await?;
/// match stream.try_send("21.5 C") {
///     Ok(number) => println!("message {number} is queued"),
///     Err(SendError::Full) => println!("the send queue is full"),
///     Err(error) => return Err(error.into()),
/// }
/// stream.flush().await?; // every queued message is durable on the server
/// println!("{:?}", stream.counters());
/// stream.switch(TransportKind::Tcp);
/// stream.reset("done");
/// let ended = stream.closed().await;
/// assert_eq!((ended.by, ended.reason.as_str()), (EndedBy::Client, "done"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Stream {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<StreamState>,
    id: StreamId,
    driver: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(counters) = self.counters_to_abandon() else { return };
        self.driver.abort();
        // Another stream may use the file from now on; no input is stored any more.
        let session = self.shared.lock().session.take();
        if session.is_some_and(|session| session.is_stored) {
            return;
        }
        let unacknowledged = counters.sent - counters.acknowledged;
        if unacknowledged > 0 {
            let stream = self.id.short_hash();
            warn!(%stream, unacknowledged, "the last handle was dropped with unacknowledged messages");
        }
    }
}

impl Inner {
    /// Counters of a stream that ends with the driver; `None` if the driver stops at the end of the stream.
    fn counters_to_abandon(&self) -> Option<Counters> {
        let machine = &self.shared.lock().machine;
        let ends = machine.is_resetting() || machine.ended().is_some();
        (!ends).then(|| machine.counters())
    }
}

impl Stream {
    /// Starts a stream and returns immediately; connecting and reconnecting happen in a background task. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// If the configuration is invalid, or there is no runtime.
    pub fn connect(mut config: Config) -> Result<Self, ConnectError> {
        check(&config)?;
        if config.session.is_some() {
            config.version = Version::V3;
        }
        let runtime = Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let targets = config.addresses().map(|address| HttpTarget::new(&config, address));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let seed = getrandom::u64().map_err(|_| ConnectError::Randomness)?;
        let (started, (id, key)) = identity(&config)?;
        let mut machine = StreamMachine::new(config.clone(), id.clone(), key, seed);
        let session = started.map(|Started { session, start }| {
            start.into_iter().for_each(|start| machine.resume(start));
            session
        });
        let shared = Arc::new(StreamState::new(&config, Clock::start(), machine, session));
        let driver = runtime.spawn(driver::run(shared.clone(), targets));
        Ok(Self { inner: Arc::new(Inner { shared, id, driver }) })
    }

    /// Starts a stream and waits until the server has created it, or has attached the existing one.
    ///
    /// ```no_run
    /// use minerva_client::{Config, ConnectError, Stream, TransportKind};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// match Stream::open(Config::new("127.0.0.1:8080", TransportKind::WebSocket)).await {
    ///     Ok(stream) => stream.send("hello").await?,
    ///     Err(ConnectError::Failed { attempts }) => {
    ///         for attempt in attempts {
    ///             eprintln!("{} to {}: {}", attempt.transport, attempt.address, attempt.problem);
    ///         }
    ///         return Ok(());
    ///     }
    ///     Err(error) => return Err(error.into()),
    /// };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Stream::connect`]; [`ConnectError::Failed`] once every address has failed with every kind of
    /// transport; [`ConnectError::Ended`] if the stream ends first. After an error nothing continues in the background.
    pub async fn open(config: Config) -> Result<Self, ConnectError> {
        let stream = Self::connect(config)?;
        let outcome = |machine: &StreamMachine| match (machine.ended(), machine.failed_round()) {
            _ if machine.is_ready() => Some(Ok(())),
            (Some(ended), _) => Some(Err(ConnectError::Ended(ended.clone()))),
            (None, Some(attempts)) => Some(Err(ConnectError::Failed { attempts })),
            (None, None) => None,
        };
        stream.inner.shared.wait(outcome).await?;
        Ok(stream)
    }

    /// The stream id. Treat the id as a secret, which gives access to the stream.
    pub fn id(&self) -> &StreamId {
        &self.inner.id
    }

    /// Waits until the server has created the stream, or attached to the existing one.
    ///
    /// # Errors
    /// If the stream ends first.
    pub async fn ready(&self) -> Result<(), Ended> {
        self.until(StreamMachine::is_ready).await
    }

    /// Waits as [`Stream::ready`], and takes the report of a [session](Config::session): `None` if no earlier process has
    /// used the stream, and after the first call.
    ///
    /// A stream that the server does not have any more ends with the reason `gone`. Connect again then: a new stream begins, and
    /// [`Rejoin::unsent`] has the messages of the earlier one.
    ///
    /// # Errors
    /// If the stream ends first.
    pub async fn rejoined(&self) -> Result<Option<Rejoin>, Ended> {
        self.ready().await?;
        Ok(self.inner.shared.lock().session.as_mut().and_then(Session::take_rejoin))
    }

    /// Whether messages and positions are stored: false without a session, after the end, and once a write has failed.
    pub fn stored(&self) -> bool {
        self.inner.shared.lock().session.as_ref().is_some_and(|session| session.is_stored)
    }

    /// Ends the stream of a session on the server and deletes the stored state, as at logout. Does nothing without a stored
    /// stream.
    ///
    /// # Errors
    /// Those of [`Stream::connect`]. A server that is not reachable for 120 s is no error; the state is deleted.
    pub async fn forget(mut config: Config) -> Result<(), ConnectError> {
        let Some(file) = config.session.clone() else { return Ok(()) };
        if file.has_stream()? {
            config.rewind = Rewind::New;
            let stream = Self::connect(config)?;
            stream.reset("forgotten");
            stream.closed().await;
        }
        Ok(file.remove()?)
    }

    /// Sends a message and waits for the server's acknowledgement, which means that the message is durable. Waits
    /// for room in the send queue first, behind earlier senders. Returns the message number.
    ///
    /// # Errors
    /// If the message is invalid, after [`Stream::reset`], or if the stream ends before the acknowledgement.
    /// [`SendError::Unread`] if the acknowledgement cannot arrive before the application calls [`Stream::recv`]. Dropping
    /// the future during the wait for the acknowledgement does not cancel the message.
    pub async fn send(&self, message: impl Into<Message>) -> Result<MessageNumber, SendError> {
        let number = self.queue(message).await?;
        let acknowledged = self.acknowledged_to(number.next());
        self.unless_unread(Some(number), acknowledged).await?;
        Ok(number)
    }

    /// Waits for room in the send queue and queues a message. Senders are served in order, so that a long message
    /// waits only for the messages in front. Returns the message number.
    ///
    /// # Errors
    /// If the message is invalid, after [`Stream::reset`], or if the stream has ended. [`SendError::Unread`] if no room
    /// can become free before the application calls [`Stream::recv`].
    pub async fn queue(&self, message: impl Into<Message>) -> Result<MessageNumber, SendError> {
        let message = message.into();
        match self.try_send(message.clone()) {
            Err(SendError::Full) => self.unless_unread(None, self.inner.shared.push(message)).await,
            sent => sent,
        }
    }

    /// Queues a message without waiting. Returns the message number.
    ///
    /// # Errors
    /// [`SendError::Full`] if the send queue has no room, or other senders wait for room; [`SendError::Resetting`] after
    /// [`Stream::reset`]; other errors if the message is invalid or the stream has ended.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<MessageNumber, SendError> {
        self.inner.shared.try_push(message.into())
    }

    /// Waits until the server has acknowledged every message queued before this call.
    ///
    /// # Errors
    /// If the stream ends first. [`SendError::Unread`] if the acknowledgements cannot arrive before the application calls
    /// [`Stream::recv`].
    pub async fn flush(&self) -> Result<(), SendError> {
        let sent = MessageNumber(self.counters().sent);
        let acknowledged = self.acknowledged_to(sent);
        self.unless_unread(sent.previous(), acknowledged).await
    }

    /// Returns the next message of the application; `None` after the stream has ended and every message is taken. A
    /// full inbox makes the server pause; acknowledgements for [`Stream::send`] still arrive, until the server's
    /// application waits for this client: call `recv` concurrently with sends. Cancel safe.
    pub async fn recv(&self) -> Option<Message> {
        self.recv_numbered().await.map(|(_, message)| message)
    }

    /// As [`Stream::recv`], with the number of the message. Numbers ascend from 0 without a gap.
    pub async fn recv_numbered(&self) -> Option<(MessageNumber, Message)> {
        self.inner.shared.receive().await
    }

    /// Drops all transports and the data in flight on them, like a network failure. For tests and demonstrations.
    pub fn cut(&self) {
        self.inner.shared.with(StreamMachine::cut);
    }

    /// Moves the stream to another kind of transport. The successor is attached before the old transport closes, so
    /// the stream does not pause. The current kind opens a new transport of that kind.
    pub fn switch(&self, transport: TransportKind) {
        self.inner.shared.with(|machine, now| machine.switch(now, transport));
    }

    /// The kind of the attached transport; `None` while connecting and after the end.
    pub fn transport(&self) -> Option<TransportKind> {
        self.inner.shared.lock().machine.active_kind()
    }

    /// Waits until the attached transport differs from `known`. Returns the new kind, `None` if disconnected.
    /// Changes in quick succession may be reported as one.
    ///
    /// # Errors
    /// If the stream ends.
    pub async fn transport_changed(
        &self,
        known: Option<TransportKind>,
    ) -> Result<Option<TransportKind>, Ended> {
        self.until_changed(|machine| Some(machine.active_kind()).filter(|now| *now != known)).await
    }

    /// Why the stream has no connection at present. `None` while a transport is attached, and before the first failure.
    ///
    /// The stream continues to connect with back-off, after a refusal of the server at every address because of
    /// [`RefusalCode::Origin`](crate::RefusalCode::Origin) or [`RefusalCode::Service`](crate::RefusalCode::Service) not
    /// before 5 s, and with each further refusal later, up to 5 minutes.
    pub fn problem(&self) -> Option<Problem> {
        self.inner.shared.lock().machine.problem().cloned()
    }

    /// Waits until the problem differs from `known`, and returns it; `None` if the stream is connected. Changes in quick
    /// succession may be reported as one.
    ///
    /// ```no_run
    /// # async fn example(stream: minerva_client::Stream) {
    /// let mut problem = stream.problem();
    /// while let Ok(next) = stream.problem_changed(problem.as_ref()).await {
    ///     if let Some(problem) = &next {
    ///         eprintln!("not connected: {problem}");
    ///     }
    ///     problem = next;
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the stream ends.
    pub async fn problem_changed(&self, known: Option<&Problem>) -> Result<Option<Problem>, Ended> {
        let change = |machine: &StreamMachine| {
            (machine.problem() != known).then(|| machine.problem().cloned())
        };
        self.until_changed(change).await
    }

    /// Ends the stream with a reset, which is sent until the server has confirmed the end, for at most 120 s;
    /// [`Stream::closed`] waits for the confirmation. The reason is cut to 255 characters of ASCII. If the stream had
    /// ended already, the end has the earlier reason; without a confirmation the reason is `reset not confirmed`.
    /// Before the first connection the end is immediate, and the server never creates the stream.
    ///
    /// From now on messages are refused with [`SendError::Resetting`], and arriving messages are dropped;
    /// [`Stream::recv`] returns the messages that arrived before. Queued messages precede the reset up to
    /// [`Config::max_in_flight`] bytes, and the end does not confirm them: await [`Stream::flush`] before a reset that
    /// must not lose messages.
    ///
    /// The driver continues until the end, even without a handle of the stream, but not beyond the end of the runtime:
    /// await [`Stream::closed`] before the program exits.
    pub fn reset(&self, reason: &str) {
        self.inner.shared.with(|machine, now| machine.reset(now, reason));
    }

    /// The end of the stream; `None` before.
    pub fn ended(&self) -> Option<Ended> {
        self.inner.shared.lock().machine.ended().cloned()
    }

    /// Waits for the end of the stream.
    pub async fn closed(&self) -> Ended {
        self.inner.shared.wait(|machine| machine.ended().cloned()).await
    }

    /// Counters since the start of the stream.
    pub fn counters(&self) -> Counters {
        self.inner.shared.lock().machine.counters()
    }

    /// Waits for an outcome that depends on the server taking messages. The application of the server may take none while
    /// this client reads none.
    async fn unless_unread<T, E: Into<SendError>>(
        &self,
        queued: Option<MessageNumber>,
        outcome: impl Future<Output = Result<T, E>>,
    ) -> Result<T, SendError> {
        tokio::select! {
            biased;
            outcome = outcome => outcome.map_err(E::into),
            () = self.inner.shared.until_unread() => Err(SendError::Unread { queued }),
        }
    }

    /// Waits until the server has acknowledged every message below `end`.
    async fn acknowledged_to(&self, end: MessageNumber) -> Result<(), Ended> {
        let condition = |machine: &StreamMachine| machine.acknowledged() >= end;
        self.inner.shared.wait_for_acknowledgement(|machine| outcome(machine, condition)).await
    }

    /// Waits until `change` returns a new value.
    async fn until_changed<T>(
        &self,
        change: impl Fn(&StreamMachine) -> Option<T>,
    ) -> Result<T, Ended> {
        let outcome = |machine: &StreamMachine| match machine.ended() {
            Some(ended) => Some(Err(ended.clone())),
            None => change(machine).map(Ok),
        };
        self.inner.shared.wait(outcome).await
    }

    /// Waits until `condition` holds.
    async fn until(&self, condition: impl Fn(&StreamMachine) -> bool) -> Result<(), Ended> {
        self.inner.shared.wait(|machine| outcome(machine, &condition)).await
    }
}

/// Success once `condition` holds, failure once the stream has ended.
fn outcome(
    machine: &StreamMachine,
    condition: impl Fn(&StreamMachine) -> bool,
) -> Option<Result<(), Ended>> {
    match machine.ended() {
        _ if condition(machine) => Some(Ok(())),
        Some(ended) => Some(Err(ended.clone())),
        None => None,
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("id", self.id()).finish_non_exhaustive()
    }
}

/// Identity of the stream: that of the session, or a new one.
fn identity(config: &Config) -> Result<(Option<Started>, (StreamId, ResumeKey)), ConnectError> {
    let Some(file) = config.session.clone() else {
        let id = config.id.clone().map_or_else(random_id, Ok)?;
        return Ok((None, (id, random_key()?)));
    };
    let fresh = Fresh { id: random_id()?, key: random_key()?, next: random_key()? };
    let started = Session::start(file, &config.service, config.rewind, fresh)?;
    let identity = started.session.identity();
    Ok((Some(started), identity))
}

fn check(config: &Config) -> Result<(), ConnectError> {
    if config.session.is_some() && (config.version == Version::V2 || config.id.is_some()) {
        return Err(ConnectError::SessionOptions);
    }
    if config.credentials.as_ref().is_some_and(|cred| cred.len() > hello::MAX_CRED) {
        return Err(ConnectError::Credentials);
    }
    if !(1..=600).contains(&config.heartbeat.as_secs()) {
        return Err(ConnectError::Heartbeat);
    }
    Ok(())
}

/// 26 random letters and digits: 154 bits.
fn random_id() -> Result<StreamId, ConnectError> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0; 26];
    getrandom::fill(&mut random).map_err(|_| ConnectError::Randomness)?;
    let id: String =
        random.iter().map(|byte| char::from(LETTERS[usize::from(byte & 63)])).collect();
    StreamId::parse(&id).map_err(|_| ConnectError::Randomness)
}

/// 128 random bits in base64url.
fn random_key() -> Result<ResumeKey, ConnectError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| ConnectError::Randomness)?;
    ResumeKey::parse(&URL_SAFE_NO_PAD.encode(random)).ok_or(ConnectError::Randomness)
}
