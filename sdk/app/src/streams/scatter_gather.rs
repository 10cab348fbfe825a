//! Scatter-gather over the cores: sends a request to every core, repeatedly until the responses cover all
//! partitions, and waits for no core beyond that. The requests are in `core_request`, their outcome in `attempts`; the
//! meaning of the responses is left to `streams`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use minerva_proto::app::stream_service_client::StreamServiceClient;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use super::attempts::{Attempts, may_be_applied};
use super::core_request::{
    Client, CoreRequest, CoreResponse, PagedRequest, covers_all_partitions, is_complete,
};
use super::error::StreamsError;
use crate::random;
use crate::service::{Address, Backoff, CoreEndpoint, resolve};
use crate::tls::Certificates;
use crate::token::Authorization;

/// Largest accepted response in bytes: a page of a thousand streams in 64 groups each.
const MAX_RESPONSE_BYTES: usize = 32 << 20;
/// Shortest deadline of one core for one attempt; see [`core_timeout`].
const MIN_CORE_TIMEOUT: Duration = Duration::from_secs(3);
/// Streams per page of a list.
const PAGE: u32 = 1000;

/// The addresses of the cores and the connections to them.
#[derive(Debug)]
pub(super) struct ScatterGather {
    addresses: Vec<Address>,
    /// Token of each call.
    authorization: Authorization,
    /// Certificates of each connection.
    certificates: Certificates,
    channels: Mutex<HashMap<SocketAddr, Channel>>,
}

impl ScatterGather {
    pub(super) fn new(
        addresses: Vec<Address>,
        authorization: Authorization,
        certificates: Certificates,
    ) -> Self {
        Self { addresses, authorization, certificates, channels: Mutex::default() }
    }

    /// The same cores with another token.
    pub(super) fn with_authorization(&self, authorization: Authorization) -> Self {
        Self::new(self.addresses.clone(), authorization, self.certificates.clone())
    }

    /// The same cores with other certificates.
    pub(super) fn with_certificates(&self, certificates: Certificates) -> Self {
        Self::new(self.addresses.clone(), self.authorization.clone(), certificates)
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

    /// Passes the pages of a list to `each`, core by core.
    pub(super) async fn list<Q: PagedRequest>(
        &self,
        request: Q,
        deadline: Duration,
        mut each: impl FnMut(Q::Response),
    ) -> Result<(), StreamsError>
    where
        Q::Response: CoreResponse,
    {
        let mut coverages = Vec::new();
        for (_, client) in self.clients().await {
            let mut request = request.clone().with_page_size(PAGE);
            loop {
                let page = timeout(deadline, request.clone().send(client.clone())).await;
                let page = page.map_err(|_| timed_out())?.map_err(StreamsError::from)?.into_inner();
                coverages.extend(page.coverage().cloned());
                let has_more = request.continue_behind(&page);
                each(page);
                if !has_more {
                    break;
                }
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
                let new = || CoreEndpoint::new(address, at, &self.certificates).ok();
                Some((at, known.or_else(|| Some(new()?.connect_lazy()))?))
            })
            .collect();
        channels.clone_from(&current);
        let client = |channel| {
            StreamServiceClient::with_interceptor(channel, self.authorization.clone())
                .max_decoding_message_size(MAX_RESPONSE_BYTES)
        };
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use bytes::Bytes;
    use minerva_proto::app::{Coverage, SendResponse};
    use tonic::{Response, Status};

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
        let cores = ScatterGather::new(
            crate::Addresses::from(cores).parse().unwrap(),
            Authorization::default(),
            Certificates::default(),
        );
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
}
