//! Scatter-gather over the cores: sends a request to every core, repeatedly until the responses cover all
//! partitions, and waits for no core beyond that. The meaning of the responses is left to `streams`.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use minerva_proto::StreamNumber;
use minerva_proto::app::stream_service_client::StreamServiceClient;
use minerva_proto::app::{
    Coverage, GetRequest, GetResponse, JoinRequest, JoinResponse, LeaveRequest, LeaveResponse,
    ListRequest, ResetRequest, ResetResponse, SendManyRequest, SendManyResponse, SendOutcome,
    SendRequest, SendResponse, SendResult, SendToGroupRequest, SendToGroupResponse,
};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{ConnectError, Response, Status};
use tonic_types::StatusExt as _;

use super::error::StreamsError;
use super::results::StreamState;
use crate::random;
use crate::service::{Address, Backoff, endpoint, resolve};

/// Largest accepted response in bytes: a page of a thousand streams in 64 groups each.
const MAX_RESPONSE_BYTES: usize = 32 << 20;
/// Shortest deadline of one core for one attempt; see [`core_timeout`].
const MIN_CORE_TIMEOUT: Duration = Duration::from_secs(3);
/// Streams per page of a list.
const PAGE: u32 = 1000;

type Client = StreamServiceClient<Channel>;

/// A request that can be sent to every core.
pub(super) trait CoreRequest: Clone + Send + Sync {
    type Response: Send;
    /// Whether the request changes streams, so that its outcome may be unknown.
    const IS_CHANGE: bool;

    /// Idempotency key of a send; otherwise empty.
    fn key(&self) -> Bytes;

    /// Sends the request to one core.
    fn send(
        self,
        client: Client,
    ) -> impl Future<Output = Result<Response<Self::Response>, Status>> + Send;
}

/// A response that covers some partitions.
pub(super) trait CoreResponse {
    /// The covered partitions; `None` if the response is complete alone.
    fn coverage(&self) -> Option<&Coverage>;

    /// Streams that only another core can have.
    fn missing(&self) -> BTreeSet<StreamNumber> {
        BTreeSet::new()
    }
}

macro_rules! impl_requests {
    ($($request:ty => $response:ty, $method:ident, $is_change:literal, $key:expr;)*) => {$(
        impl CoreRequest for $request {
            type Response = $response;
            const IS_CHANGE: bool = $is_change;

            fn key(&self) -> Bytes {
                let key: fn(&Self) -> Bytes = $key;
                key(self)
            }

            async fn send(self, mut client: Client) -> Result<Response<$response>, Status> {
                client.$method(self).await
            }
        }
    )*};
}

macro_rules! impl_coverage {
    ($($response:ty),*) => {$(
        impl CoreResponse for $response {
            fn coverage(&self) -> Option<&Coverage> {
                self.coverage.as_ref()
            }
        }
    )*};
}

impl_requests! {
    SendRequest => SendResponse, send, true, |request| request.idempotency_key.clone();
    SendManyRequest => SendManyResponse, send_many, true, |request| request.idempotency_key.clone();
    SendToGroupRequest => SendToGroupResponse, send_to_group, true,
        |request| request.idempotency_key.clone();
    JoinRequest => JoinResponse, join, true, |_| Bytes::new();
    LeaveRequest => LeaveResponse, leave, true, |_| Bytes::new();
    ResetRequest => ResetResponse, reset, true, |_| Bytes::new();
    GetRequest => GetResponse, get, false, |_| Bytes::new();
}

impl_coverage!(
    SendResponse,
    SendToGroupResponse,
    JoinResponse,
    LeaveResponse,
    ResetResponse,
    GetResponse
);

impl CoreResponse for SendManyResponse {
    fn coverage(&self) -> Option<&Coverage> {
        None
    }

    fn missing(&self) -> BTreeSet<StreamNumber> {
        let elsewhere = |result: &&SendResult| result.outcome() == SendOutcome::NotOwner;
        self.results.iter().filter(elsewhere).map(|result| StreamNumber(result.stream)).collect()
    }
}

/// The attempts of one request so far.
#[derive(Debug, Default)]
struct Attempts {
    last_problem: Option<String>,
    /// A core may have applied the request, and its answer is not known.
    may_be_applied: bool,
    /// Some core has not answered the current attempt.
    is_in_flight: bool,
}

impl Attempts {
    fn on_problem(&mut self, problem: String, may_be_applied: bool) {
        self.last_problem = Some(problem);
        self.may_be_applied |= may_be_applied;
    }

    /// The error of a request that a core has refused. Another core may have applied its part of a change, except if the
    /// refusal concerns the only stream of the request.
    fn into_refusal<Q: CoreRequest>(self, request: &Q, error: StreamsError) -> StreamsError {
        let is_of_stream = matches!(
            error,
            StreamsError::NotFound
                | StreamsError::Ended
                | StreamsError::Full { .. }
                | StreamsError::TooManyGroups
        );
        if Q::IS_CHANGE && self.may_be_applied && !is_of_stream {
            return StreamsError::Unknown { problem: error.to_string(), key: request.key() };
        }
        error
    }

    /// The error of a request without a complete answer until the deadline.
    fn into_error<Q: CoreRequest>(self, request: &Q) -> StreamsError {
        let problem = self.last_problem.unwrap_or_else(|| "not in time".to_owned());
        if Q::IS_CHANGE && (self.may_be_applied || self.is_in_flight) {
            return StreamsError::Unknown { problem, key: request.key() };
        }
        StreamsError::Unavailable(problem)
    }
}

/// The addresses of the cores and the connections to them.
#[derive(Debug)]
pub(super) struct ScatterGather {
    addresses: Vec<Address>,
    channels: Mutex<HashMap<SocketAddr, Channel>>,
}

impl ScatterGather {
    pub(super) fn new(addresses: Vec<Address>) -> Self {
        Self { addresses, channels: Mutex::default() }
    }

    /// Sends a request to all cores, with back-off between the attempts, until the responses cover all
    /// partitions or one response is complete.
    pub(super) async fn request<Q: CoreRequest>(
        &self,
        request: &Q,
        deadline: Duration,
    ) -> Result<Vec<Q::Response>, StreamsError>
    where
        Q::Response: CoreResponse,
    {
        let mut attempts = Attempts::default();
        let core_timeout = core_timeout(deadline);
        let rounds = async {
            let mut backoff = Backoff::default();
            loop {
                match self.request_once(request, core_timeout, &mut attempts).await {
                    Some(Ok(responses)) => return Ok(responses),
                    Some(Err(error)) => {
                        return Err(std::mem::take(&mut attempts).into_refusal(request, error));
                    }
                    None => {}
                }
                sleep(backoff.next(random::up_to)).await;
            }
        };
        let done = timeout(deadline, rounds).await;
        done.unwrap_or_else(|_| Err(attempts.into_error(request)))
    }

    /// Sends a request to every core once. Returns as soon as the answers are complete, or an answer is final; `None` if
    /// all cores have answered or failed before.
    async fn request_once<Q: CoreRequest>(
        &self,
        request: &Q,
        core_timeout: Duration,
        attempts: &mut Attempts,
    ) -> Option<Result<Vec<Q::Response>, StreamsError>>
    where
        Q::Response: CoreResponse,
    {
        let mut asked: FuturesUnordered<_> = self
            .clients()
            .await
            .into_iter()
            .map(|(at, client)| {
                let response = timeout(core_timeout, request.clone().send(client));
                async move { (at, response.await) }
            })
            .collect();
        attempts.is_in_flight = !asked.is_empty();
        let mut responses = Vec::new();
        let mut refusal = None;
        while let Some((at, response)) = asked.next().await {
            match response {
                Ok(Ok(response)) => {
                    responses.push(response.into_inner());
                    if is_complete(&responses) {
                        return Some(Ok(responses));
                    }
                }
                Ok(Err(status)) => {
                    let may_be_applied = may_be_applied(&status);
                    let error = StreamsError::from(status);
                    if let StreamsError::Unavailable(problem) = error {
                        attempts.on_problem(problem, may_be_applied);
                    } else if Q::IS_CHANGE && matches!(error, StreamsError::Refused(_)) {
                        // The other cores may apply the change.
                        refusal = Some(error);
                    } else {
                        attempts.may_be_applied |= !responses.is_empty();
                        return Some(Err(error));
                    }
                }
                Err(_) => {
                    // The next attempt makes another connection.
                    self.forget(at);
                    attempts.on_problem(format!("{at} does not answer"), true);
                }
            }
        }
        attempts.is_in_flight = false;
        // The answered part of a change is applied.
        attempts.may_be_applied |= !responses.is_empty();
        if let Some(error) = refusal {
            return Some(Err(error));
        }
        let none = || "not all partitions have a core now".to_owned();
        attempts.last_problem.get_or_insert_with(none);
        None
    }

    fn forget(&self, at: SocketAddr) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).remove(&at);
    }

    /// Lists the streams of a service, core by core.
    pub(super) async fn list(
        &self,
        service: &str,
        deadline: Duration,
        mut each: impl FnMut(Vec<StreamState>),
    ) -> Result<(), StreamsError> {
        let mut coverages = Vec::new();
        for (_, client) in self.clients().await {
            let mut request = ListRequest {
                service: service.to_owned(),
                page_size: PAGE,
                page_token: String::new(),
            };
            loop {
                let mut client = client.clone();
                let page = timeout(deadline, client.list(request.clone())).await;
                let page = page.map_err(|_| timed_out())?.map_err(StreamsError::from)?.into_inner();
                coverages.extend(page.coverage);
                each(page.streams.into_iter().map(StreamState::from).collect());
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
        }
        if covers_all_partitions(coverages.iter()) {
            return Ok(());
        }
        Err(StreamsError::Unavailable("not all partitions have a core now".to_owned()))
    }

    /// A client for each socket address to which the configured addresses resolve now.
    async fn clients(&self) -> Vec<(SocketAddr, Client)> {
        let found = join_all(self.addresses.iter().map(resolve)).await;
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.addresses.iter().zip(found).flat_map(|(address, found)| {
            found.unwrap_or_default().into_iter().map(move |at| (address, at))
        });
        let current: HashMap<SocketAddr, Channel> = found
            .filter_map(|(address, at)| {
                let known = channels.get(&at).cloned();
                let channel = known.or_else(|| Some(endpoint(address, at).ok()?.connect_lazy()))?;
                Some((at, channel))
            })
            .collect();
        channels.clone_from(&current);
        let client = |channel| Client::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES);
        current.into_iter().map(|(at, channel)| (at, client(channel))).collect()
    }
}

/// Deadline of one core for one attempt of a request: a core that accepts connections and answers nothing leaves time for
/// two more attempts, and a slow core has time to answer.
fn core_timeout(deadline: Duration) -> Duration {
    MIN_CORE_TIMEOUT.max(deadline / 3)
}

fn timed_out() -> StreamsError {
    StreamsError::Unavailable("not in time".to_owned())
}

/// Whether a request that failed with this status may have been applied.
fn may_be_applied(status: &Status) -> bool {
    if status.get_error_details().error_info().is_some_and(|info| info.reason == "NOT_OWNER") {
        return false;
    }
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return false;
        }
        cause = error.source();
    }
    true
}

/// Whether the responses together miss no stream.
fn is_complete<R: CoreResponse>(responses: &[R]) -> bool {
    has_all_streams(responses)
        || covers_all_partitions(responses.iter().filter_map(CoreResponse::coverage))
}

/// Whether the responses without coverage together miss no stream.
fn has_all_streams<R: CoreResponse>(responses: &[R]) -> bool {
    let whole = responses.iter().filter(|response| response.coverage().is_none());
    let missing = whole.map(CoreResponse::missing).reduce(|a, b| &a & &b);
    missing.is_some_and(|missing| missing.is_empty())
}

/// Whether the responses together cover all partitions.
fn covers_all_partitions<'a>(coverages: impl Iterator<Item = &'a Coverage>) -> bool {
    let (mut covered, mut total) = (BTreeSet::<u32>::new(), 0);
    for coverage in coverages {
        covered.extend(&coverage.partitions);
        total = coverage.total;
    }
    total > 0 && covered.len() == total as usize
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use super::*;

    /// A send or a get whose outcomes are scripted: one for each core and attempt, with a delay.
    #[derive(Clone)]
    struct Scripted<const IS_CHANGE: bool>(Arc<Mutex<VecDeque<(Duration, Outcome)>>>);

    type Outcome = Result<SendResponse, Status>;

    impl<const IS_CHANGE: bool> CoreRequest for Scripted<IS_CHANGE> {
        type Response = SendResponse;
        const IS_CHANGE: bool = IS_CHANGE;

        fn key(&self) -> Bytes {
            "key".into()
        }

        async fn send(self, _: Client) -> Result<Response<SendResponse>, Status> {
            let next = self.0.lock().unwrap().pop_front();
            let (delay, outcome) = next.expect("no more attempts");
            sleep(delay).await;
            outcome.map(Response::new)
        }
    }

    async fn request<const IS_CHANGE: bool>(
        cores: &str,
        deadline: Duration,
        script: impl IntoIterator<Item = (u64, Outcome)>,
    ) -> Result<Vec<SendResponse>, StreamsError> {
        let script = script.into_iter().map(|(ms, outcome)| (Duration::from_millis(ms), outcome));
        let request = Scripted::<IS_CHANGE>(Arc::new(Mutex::new(script.collect())));
        let cores = ScatterGather::new(crate::Addresses::from(cores).parse().unwrap());
        cores.request(&request, deadline).await
    }

    /// The answer of a core with one of two partitions.
    fn answer(partition: u32) -> Outcome {
        let coverage = Some(Coverage { partitions: vec![partition], total: 2 });
        Ok(SendResponse { coverage, ..SendResponse::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_core_has_a_third_of_the_deadline_but_at_least_3_s() {
        let whole = || {
            Ok(SendResponse {
                coverage: Some(Coverage { partitions: vec![0], total: 1 }),
                ..SendResponse::default()
            })
        };
        let slow = [(4000, whole())];
        let deadline = Duration::from_secs(15);
        assert!(request::<false>("127.0.0.1:1", deadline, slow).await.is_ok());
        let dead = [(60_000, whole()), (0, whole())];
        assert!(request::<false>("127.0.0.1:1", Duration::from_secs(4), dead).await.is_ok());
    }

    #[tokio::test]
    async fn a_refusal_next_to_an_applied_part_keeps_the_key() {
        let cores = "127.0.0.1:1,127.0.0.1:2";
        let refused = || Err(Status::permission_denied("no"));
        let deadline = Duration::from_secs(10);
        for (script, is_known) in [
            ([(0, answer(0)), (50, refused())], false),
            ([(50, answer(0)), (0, refused())], false),
            ([(0, Err(Status::unknown("lost"))), (50, refused())], false),
            ([(0, refused()), (50, refused())], true),
        ] {
            let error = request::<true>(cores, deadline, script).await.unwrap_err();
            let text = error.to_string();
            let has_key = matches!(error, StreamsError::Unknown { key, .. } if key == "key");
            assert_eq!((has_key, text.contains("a core refused")), (!is_known, true), "{text}");
        }
        let script = [(0, answer(0)), (50, refused())];
        let error = request::<false>(cores, deadline, script).await.unwrap_err();
        assert!(matches!(error, StreamsError::Refused(_)), "a get changes nothing: {error}");
    }

    #[test]
    fn all_partitions_must_be_covered() {
        let coverage = |partitions: &[u32]| Coverage { partitions: partitions.to_vec(), total: 4 };
        for (coverages, all) in [
            (vec![], false),
            (vec![coverage(&[0, 1, 2, 3])], true),
            (vec![coverage(&[0, 1]), coverage(&[2, 3])], true),
            (vec![coverage(&[0, 1]), coverage(&[1, 2])], false),
            (vec![coverage(&[0, 1, 2, 3]), coverage(&[])], true),
        ] {
            assert_eq!(covers_all_partitions(coverages.iter()), all, "{coverages:?}");
        }
    }
}
