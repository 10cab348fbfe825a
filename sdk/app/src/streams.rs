//! Access to any stream from outside, for programs that are no instance and for streams of other instances.
//! Requests go to all cores through `scatter_gather`; the results are in `results`.

mod attempts;
mod core_request;
mod error;
mod group_send;
mod presence;
mod results;
mod scatter_gather;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minerva_proto::app::target::Target as Kind;
use minerva_proto::app::{
    self, GetRequest, JoinRequest, LeaveRequest, ListRequest, ListResponse, ResetRequest,
    SendManyRequest, SendRequest,
};
use minerva_proto::{MAX_REASON, Message, StreamId, StreamNumber, is_message_allowed};

use self::core_request::{CoreRequest, CoreResponse};
pub use self::error::StreamsError;
pub use self::group_send::GroupSend;
pub use self::presence::{Connection, GroupMember};
pub use self::results::{Backlog, GroupSendResult, Pause, SendOutcome, SendResult, StreamState};
use self::scatter_gather::ScatterGather;
use crate::contents::Contents;
use crate::error::StartError;
use crate::random;
use crate::service::Addresses;
use crate::tls::{Certificates, Tls};
use crate::token::Authorization;

/// Default deadline of a request, including retries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends to streams of any service, manages their groups, resets and lists them. Cheap to clone. Connections
/// are made on demand and kept.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use minerva_app::{Streams, Target};
///
/// let streams = Streams::at("core-a:7400,core-b:7400")?.timeout(Duration::from_secs(3));
/// let ann = Target::label("default", "ann");
/// streams.send(ann.clone(), ["your order has been shipped"]).await?;
/// for stream in streams.join(ann.clone(), "lobby").await? {
///     println!("stream {stream} is in the lobby");
/// }
/// let sent = streams.send_to_group("default", "lobby", ["the game begins"]).await?;
/// println!("{} players know", sent.taken);
/// for state in streams.get(ann.clone()).await? {
///     println!("{} bytes wait for the client", state.outbox.bytes);
/// }
/// streams.list("default", |page| println!("{} streams", page.len())).await?;
/// streams.leave(ann.clone(), "lobby").await?;
/// streams.reset(ann, "bye").await?;
/// # Ok(())
/// # }
/// ```
///
/// The effect of a returned request is durable. Each send carries an idempotency key and is applied once,
/// despite repetitions, while the stream takes fewer than 32 other sends with keys in between. While a stream
/// has no owner, such as during a failover, requests wait up to the [timeout](Self::timeout).
#[derive(Debug, Clone)]
pub struct Streams {
    cores: Arc<ScatterGather>,
    timeout: Duration,
}

/// Selects the streams of a request. See [`Streams`] for an example.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(app::Target);

impl Target {
    /// Selects the stream with this number. A [`StreamNumber`] also converts to a target. See [`Streams`] for
    /// an example.
    pub fn stream(number: impl Into<StreamNumber>) -> Self {
        let target = Some(Kind::Stream(number.into().0));
        Self(app::Target { target, service: String::new() })
    }

    /// Selects the stream of a service with this client-chosen id. See [`Streams`] for an example.
    pub fn id(service: impl Into<String>, id: &StreamId) -> Self {
        let target = Some(Kind::StreamId(id.as_str().to_owned()));
        Self(app::Target { target, service: service.into() })
    }

    /// Selects all streams of a service with this label. See [`Streams`] for an example.
    pub fn label(service: impl Into<String>, label: impl Into<String>) -> Self {
        Self(app::Target { target: Some(Kind::Label(label.into())), service: service.into() })
    }
}

impl From<StreamNumber> for Target {
    fn from(number: StreamNumber) -> Self {
        Self::stream(number)
    }
}

impl From<u64> for Target {
    fn from(number: u64) -> Self {
        Self::stream(number)
    }
}

/// Omits ids, which are secret.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.target {
            Some(Kind::Stream(number)) => f.debug_tuple("Target").field(number).finish(),
            Some(Kind::StreamId(_) | Kind::Label(_)) | None => f.write_str("Target(..)"),
        }
    }
}

impl Streams {
    /// Creates a client for the cores at these addresses, in the form of
    /// [`Service::connect`](crate::Service::connect). See [`Streams`] for an example.
    ///
    /// # Errors
    /// If an address is invalid, or a file of TLS of the environment. The first request connects.
    pub fn at(addresses: impl Into<Addresses>) -> Result<Self, StartError> {
        let authorization = Authorization::new(None)?;
        let (addresses, certificates) = (addresses.into().parse()?, Certificates::load(None)?);
        let cores = Arc::new(ScatterGather::new(addresses, authorization, certificates));
        Ok(Self { cores, timeout: REQUEST_TIMEOUT })
    }

    /// Calls the cores over TLS. Without this call the files of the environment variables `MINERVA_MTLS_CA`,
    /// `MINERVA_MTLS_CERT` and `MINERVA_MTLS_KEY` are used, if set. See [`Tls`] for an example.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub fn tls(self, files: Tls) -> Result<Self, StartError> {
        let certificates = Certificates::load(Some(files))?;
        Ok(Self { cores: Arc::new(self.cores.with_certificates(certificates)), ..self })
    }

    /// Sets the API token of `minerva-core token create`, with the rights `send`, `read` and `reset` as needed. Without
    /// this call the value of the environment variable `MINERVA_TOKEN` is sent, if set.
    ///
    /// ```no_run
    /// # fn example(token: String) -> Result<(), minerva_app::StartError> {
    /// let streams = minerva_app::Streams::at("core-a:7400")?.token(token)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the token cannot be sent.
    pub fn token(self, token: impl Into<String>) -> Result<Self, StartError> {
        let authorization = Authorization::of(&token.into())?;
        Ok(Self { cores: Arc::new(self.cores.with_authorization(authorization)), ..self })
    }

    /// Sets the deadline of a request while cores are unreachable or a stream has no owner; 10 s by default.
    /// See [`Streams`] for an example.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends messages to the selected streams; each takes all messages or none. Returns the outcome per
    /// stream. See [`Streams`] for an example.
    ///
    /// # Errors
    /// If a stream selected by number or id took nothing, or a message is invalid.
    pub async fn send<S: Into<Message>>(
        &self,
        to: impl Into<Target>,
        messages: impl IntoIterator<Item = S>,
    ) -> Result<Vec<SendResult>, StreamsError> {
        self.send_once(to, messages, key()).await
    }

    /// Sends as [`Self::send`] does, with an idempotency key of 1 to 64 bytes: the key of a send with an unknown outcome,
    /// or a key of the caller. A stream takes nothing if the key is among those of its last 32 sends with a key. See
    /// [`StreamsError`] for an example.
    ///
    /// # Errors
    /// Those of [`Self::send`].
    pub async fn send_once<S: Into<Message>>(
        &self,
        to: impl Into<Target>,
        messages: impl IntoIterator<Item = S>,
        key: impl Into<Bytes>,
    ) -> Result<Vec<SendResult>, StreamsError> {
        let Contents { messages, contents } = contents(messages);
        let (target, idempotency_key) = (Some(to.into().0), key.into());
        let request = SendRequest { target, messages, idempotency_key, contents };
        let responses = self.request(&request).await?;
        Ok(results::merge(responses.into_iter().flat_map(|response| response.results)))
    }

    /// Sends messages to at most 10,000 streams by number. Returns the outcome per stream.
    ///
    /// ```no_run
    /// # async fn example(streams: minerva_app::Streams) -> Result<(), minerva_app::StreamsError> {
    /// use minerva_app::{SendOutcome, StreamNumber};
    ///
    /// let numbers = [StreamNumber(1), StreamNumber(2)];
    /// for result in streams.send_many(numbers, ["news"]).await? {
    ///     if result.outcome == SendOutcome::Full {
    ///         println!("the client of stream {} is behind", result.stream);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a message is invalid; or if, until the timeout, cores are unreachable, a partition has no owner or
    /// moves during each attempt.
    pub async fn send_many<S: Into<Message>>(
        &self,
        streams: impl IntoIterator<Item = impl Into<StreamNumber>>,
        messages: impl IntoIterator<Item = S>,
    ) -> Result<Vec<SendResult>, StreamsError> {
        self.send_many_once(streams, messages, key()).await
    }

    /// Sends as [`Self::send_many`] does, with an idempotency key as in [`Self::send_once`]. See [`StreamsError`] for an
    /// example.
    ///
    /// # Errors
    /// Those of [`Self::send_many`].
    pub async fn send_many_once<S: Into<Message>>(
        &self,
        streams: impl IntoIterator<Item = impl Into<StreamNumber>>,
        messages: impl IntoIterator<Item = S>,
        key: impl Into<Bytes>,
    ) -> Result<Vec<SendResult>, StreamsError> {
        let Contents { messages, contents } = contents(messages);
        let streams = streams.into_iter().map(|number| number.into().0).collect();
        let request = SendManyRequest { streams, messages, idempotency_key: key.into(), contents };
        let responses = self.request(&request).await?;
        Ok(results::merge(responses.into_iter().flat_map(|response| response.results)))
    }

    /// Sends messages to all streams of a service in a group. See [`Streams`] for an example.
    ///
    /// # Errors
    /// If a message is invalid; or if, until the timeout, cores are unreachable, a partition has no owner or
    /// moves during each attempt. Some streams may have taken the messages then; a retry with
    /// [`Self::send_to_group_once`] reaches each stream once.
    pub async fn send_to_group<S: Into<Message>>(
        &self,
        service: impl Into<String>,
        group: impl Into<String>,
        messages: impl IntoIterator<Item = S>,
    ) -> Result<GroupSendResult, StreamsError> {
        self.send_to_group_once(service, group, messages, key()).await
    }

    /// Sends as [`Self::send_to_group`] does, with an idempotency key of 1 to 64 bytes. A stream takes
    /// nothing if the key is among those of its last 32 sends.
    ///
    /// ```no_run
    /// # async fn example(streams: minerva_app::Streams) -> Result<(), minerva_app::StreamsError> {
    /// let key = "round-17";
    /// if streams.send_to_group_once("game", "lobby", ["start"], key).await.is_err() {
    ///     streams.send_to_group_once("game", "lobby", ["start"], key).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::send_to_group`].
    pub async fn send_to_group_once<S: Into<Message>>(
        &self,
        service: impl Into<String>,
        group: impl Into<String>,
        messages: impl IntoIterator<Item = S>,
        key: impl Into<Bytes>,
    ) -> Result<GroupSendResult, StreamsError> {
        self.group(service, group).key(key).send(messages).await
    }

    /// Prepares a send to a group with options: to wait for full outboxes, or to end slow streams. See [`GroupSend`] for
    /// an example.
    pub fn group(&self, service: impl Into<String>, group: impl Into<String>) -> GroupSend {
        GroupSend::new(self.clone(), service.into(), group.into())
    }

    /// Adds the selected streams to a group and returns those in the group now. See [`Streams`] for an
    /// example.
    ///
    /// # Errors
    /// If no such stream exists, or the stream is in 64 groups.
    pub async fn join(
        &self,
        to: impl Into<Target>,
        group: impl Into<String>,
    ) -> Result<Vec<StreamNumber>, StreamsError> {
        let request = JoinRequest { target: Some(to.into().0), group: group.into() };
        Ok(self
            .request(&request)
            .await?
            .into_iter()
            .flat_map(|response| response.streams)
            .map(StreamNumber)
            .collect())
    }

    /// Removes the selected streams from a group and returns those outside of the group now. See [`Streams`]
    /// for an example.
    ///
    /// # Errors
    /// If no such stream exists.
    pub async fn leave(
        &self,
        to: impl Into<Target>,
        group: impl Into<String>,
    ) -> Result<Vec<StreamNumber>, StreamsError> {
        let request = LeaveRequest { target: Some(to.into().0), group: group.into() };
        Ok(self
            .request(&request)
            .await?
            .into_iter()
            .flat_map(|response| response.streams)
            .map(StreamNumber)
            .collect())
    }

    /// Ends the selected streams at application level and returns those that are over. Clients and instances
    /// receive the reason. See [`Streams`] for an example.
    ///
    /// # Errors
    /// If no such stream exists, or the reason is invalid.
    pub async fn reset(
        &self,
        to: impl Into<Target>,
        reason: impl Into<String>,
    ) -> Result<Vec<StreamNumber>, StreamsError> {
        let reason = reason.into();
        if reason.len() > MAX_REASON || !is_message_allowed(reason.as_bytes()) {
            return Err(StreamsError::invalid("reason", &crate::ReasonError.to_string()));
        }
        let target = Some(to.into().0);
        let request = ResetRequest { target, reason, application_level: true };
        Ok(self
            .request(&request)
            .await?
            .into_iter()
            .flat_map(|response| response.streams)
            .map(StreamNumber)
            .collect())
    }

    /// Returns the state of the selected streams. See [`Streams`] for an example.
    ///
    /// # Errors
    /// If no such stream exists.
    pub async fn get(&self, to: impl Into<Target>) -> Result<Vec<StreamState>, StreamsError> {
        let request = GetRequest { target: Some(to.into().0) };
        let responses = self.request(&request).await?.into_iter();
        Ok(responses.flat_map(|response| response.streams).map(StreamState::from).collect())
    }

    /// Passes all streams of a service to `each`, page by page and core by core. Streams that start, end or
    /// move meanwhile may be missing. See [`Streams`] for an example.
    ///
    /// # Errors
    /// If a core is unreachable, or a partition has moved meanwhile: the list may be incomplete.
    pub async fn list(
        &self,
        service: impl Into<String>,
        mut each: impl FnMut(Vec<StreamState>),
    ) -> Result<(), StreamsError> {
        let request = ListRequest { service: service.into(), ..ListRequest::default() };
        let each = |page: ListResponse| {
            each(page.streams.into_iter().map(StreamState::from).collect());
        };
        self.cores.list(request, self.timeout, each).await
    }

    async fn request<Q: CoreRequest>(&self, request: &Q) -> Result<Vec<Q::Response>, StreamsError>
    where
        Q::Response: CoreResponse,
    {
        self.cores.request(request, self.timeout).await
    }
}

/// The messages as fields of a request.
fn contents<S: Into<Message>>(messages: impl IntoIterator<Item = S>) -> Contents {
    let messages: Vec<Message> = messages.into_iter().map(Into::into).collect();
    Contents::for_any_core(&messages)
}

/// Returns a unique idempotency key.
fn key() -> Bytes {
    random::instance_id().into()
}
