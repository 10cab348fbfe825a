//! Streams from outside: what programs use that are no instance, or want a stream that another instance has. Asks
//! every core that may have the stream, again until one has answered for it; the calls are `cores`', what comes back
//! is in `responses`.

mod error;
mod results;
mod scatter_gather;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minerva_proto::app::target::Target as Kind;
use minerva_proto::app::{
    self, GetRequest, JoinRequest, LeaveRequest, ResetRequest, SendManyRequest, SendRequest,
    SendToGroupRequest,
};
use minerva_proto::{MAX_REASON, StreamId, is_message_allowed};

pub use self::error::StreamsError;
pub use self::results::{GroupSendResult, Pause, SendOutcome, SendResult, StreamState};
use self::scatter_gather::{CoreRequest, CoreResponse, ScatterGather};
use crate::error::StartError;
use crate::random;
use crate::service::Addresses;

/// How long cores that do not answer, or have not the stream just now, are asked again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Reaches streams of any service from outside: sends, groups, resets, looks. Cheap to clone; connections are made
/// when they are needed and kept.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use minerva_app::{Streams, Target};
///
/// let streams = Streams::at("127.0.0.1:7400")?;
/// streams.send(Target::label("default", "ann"), ["your order has been shipped"]).await?;
/// let sent = streams.send_to_group("default", "lobby", ["the game begins"]).await?;
/// println!("{} players know", sent.taken);
/// # Ok(())
/// # }
/// ```
///
/// What a call has done is durable when it returns. A send is done once, however often it has to be repeated on the
/// way: each has an idempotency key. While no core has a stream (one has died, its successor is not there yet), calls
/// wait, up to a [timeout](Self::timeout).
#[derive(Debug, Clone)]
pub struct Streams {
    cores: Arc<ScatterGather>,
    timeout: Duration,
}

/// Which streams are meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(app::Target);

impl Target {
    /// The stream with this number.
    pub fn stream(number: u64) -> Self {
        Self(app::Target { target: Some(Kind::Stream(number)), service: String::new() })
    }

    /// The stream of a service that its client calls so.
    pub fn id(service: impl Into<String>, id: &StreamId) -> Self {
        let target = Some(Kind::StreamId(id.as_str().to_owned()));
        Self(app::Target { target, service: service.into() })
    }

    /// All streams of a service with this label.
    pub fn label(service: impl Into<String>, label: impl Into<String>) -> Self {
        Self(app::Target { target: Some(Kind::Label(label.into())), service: service.into() })
    }
}

impl From<u64> for Target {
    fn from(number: u64) -> Self {
        Self::stream(number)
    }
}

/// Leaves out ids, which are secret.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.target {
            Some(Kind::Stream(number)) => f.debug_tuple("Target").field(number).finish(),
            Some(Kind::StreamId(_) | Kind::Label(_)) | None => f.write_str("Target(..)"),
        }
    }
}

impl Streams {
    /// The streams of the cores with these addresses, as [`Service::connect`](crate::Service::connect) takes them.
    ///
    /// # Errors
    /// If they are no addresses. Whether a core is there is found out by the first call.
    pub fn at(addresses: impl Into<Addresses>) -> Result<Self, StartError> {
        let cores = Arc::new(ScatterGather::new(addresses.into().parse()?));
        Ok(Self { cores, timeout: REQUEST_TIMEOUT })
    }

    /// How long a call goes on while cores cannot be reached or a stream has no core; 10 s unless set.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends messages to a stream, or to all streams with a label: each takes all or none. Gives what became of each.
    ///
    /// # Errors
    /// If a stream that is named by number or id took nothing, or a message cannot travel.
    pub async fn send<S: Into<Bytes>>(
        &self,
        to: impl Into<Target>,
        messages: impl IntoIterator<Item = S>,
    ) -> Result<Vec<SendResult>, StreamsError> {
        let request = SendRequest {
            target: Some(to.into().0),
            messages: messages.into_iter().map(Into::into).collect(),
            idempotency_key: key(),
        };
        let responses = self.request(&request).await?;
        Ok(results::merge(responses.into_iter().flat_map(|response| response.results)))
    }

    /// Sends messages to streams by their numbers, at most 10,000.
    ///
    /// # Errors
    /// If a message cannot travel, or cores cannot be reached.
    pub async fn send_many<S: Into<Bytes>>(
        &self,
        streams: impl IntoIterator<Item = u64>,
        messages: impl IntoIterator<Item = S>,
    ) -> Result<Vec<SendResult>, StreamsError> {
        let request = SendManyRequest {
            streams: streams.into_iter().collect(),
            messages: messages.into_iter().map(Into::into).collect(),
            idempotency_key: key(),
        };
        let responses = self.request(&request).await?;
        Ok(results::merge(responses.into_iter().flat_map(|response| response.results)))
    }

    /// Sends messages to all streams of a service that are in a group.
    ///
    /// # Errors
    /// If a message cannot travel, or not all cores that have streams can be reached: then some may have got it, and
    /// nobody gets it twice if it is sent again by [`Self::send_to_group_once`].
    pub async fn send_to_group<S: Into<Bytes>>(
        &self,
        service: impl Into<String>,
        group: impl Into<String>,
        messages: impl IntoIterator<Item = S>,
    ) -> Result<GroupSendResult, StreamsError> {
        self.send_to_group_once(service, group, messages, key()).await
    }

    /// The same with an idempotency key of your own (1 to 64 bytes): a stream that took a send with it among its last 32
    /// takes nothing.
    ///
    /// # Errors
    /// As [`Self::send_to_group`].
    pub async fn send_to_group_once<S: Into<Bytes>>(
        &self,
        service: impl Into<String>,
        group: impl Into<String>,
        messages: impl IntoIterator<Item = S>,
        key: impl Into<Bytes>,
    ) -> Result<GroupSendResult, StreamsError> {
        let request = SendToGroupRequest {
            service: service.into(),
            group: group.into(),
            messages: messages.into_iter().map(Into::into).collect(),
            idempotency_key: key.into(),
        };
        Ok(self
            .request(&request)
            .await?
            .into_iter()
            .fold(GroupSendResult::default(), GroupSendResult::add))
    }

    /// Puts streams into a group. Gives those that are in it now.
    ///
    /// # Errors
    /// If there is no such stream, or it is in 64 groups already.
    pub async fn join(
        &self,
        to: impl Into<Target>,
        group: impl Into<String>,
    ) -> Result<Vec<u64>, StreamsError> {
        let request = JoinRequest { target: Some(to.into().0), group: group.into() };
        Ok(self
            .request(&request)
            .await?
            .into_iter()
            .flat_map(|response| response.streams)
            .collect())
    }

    /// Takes streams out of a group. Gives those that are not in it now.
    ///
    /// # Errors
    /// If there is no such stream.
    pub async fn leave(
        &self,
        to: impl Into<Target>,
        group: impl Into<String>,
    ) -> Result<Vec<u64>, StreamsError> {
        let request = LeaveRequest { target: Some(to.into().0), group: group.into() };
        Ok(self
            .request(&request)
            .await?
            .into_iter()
            .flat_map(|response| response.streams)
            .collect())
    }

    /// Ends streams at application level; their clients and instances are told the reason. Gives those that are over.
    ///
    /// # Errors
    /// If there is no such stream, or the reason cannot travel.
    pub async fn reset(
        &self,
        to: impl Into<Target>,
        reason: impl Into<String>,
    ) -> Result<Vec<u64>, StreamsError> {
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
            .collect())
    }

    /// What is to be known of streams now.
    ///
    /// # Errors
    /// If there is no such stream.
    pub async fn get(&self, to: impl Into<Target>) -> Result<Vec<StreamState>, StreamsError> {
        let request = GetRequest { target: Some(to.into().0) };
        let responses = self.request(&request).await?.into_iter();
        Ok(responses.flat_map(|response| response.streams).map(StreamState::from).collect())
    }

    /// All streams of a service, one core after the other, in pages that `each` gets. Streams that come or go
    /// meanwhile may be missing.
    ///
    /// # Errors
    /// If a core cannot be reached, or has not had some partition while it was asked: then the list may lack streams.
    pub async fn list(
        &self,
        service: impl Into<String>,
        each: impl FnMut(Vec<StreamState>),
    ) -> Result<(), StreamsError> {
        self.cores.list(&service.into(), self.timeout, each).await
    }

    async fn request<Q: CoreRequest>(&self, request: &Q) -> Result<Vec<Q::Response>, StreamsError>
    where
        Q::Response: CoreResponse,
    {
        self.cores.request(request, self.timeout).await
    }
}

/// A key that no other send has.
fn key() -> Bytes {
    random::instance_id().into()
}
