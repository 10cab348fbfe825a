//! Scatter-gather over the cores: sends a request to every core, repeatedly until the responses cover all
//! partitions. The meaning of the responses is left to `streams`.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use minerva_proto::StreamNumber;
use minerva_proto::app::stream_service_client::StreamServiceClient;
use minerva_proto::app::{
    Coverage, GetRequest, GetResponse, JoinRequest, JoinResponse, LeaveRequest, LeaveResponse,
    ListRequest, ResetRequest, ResetResponse, SendManyRequest, SendManyResponse, SendOutcome,
    SendRequest, SendResponse, SendResult, SendToGroupRequest, SendToGroupResponse,
};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::error::StreamsError;
use super::results::StreamState;
use crate::random;
use crate::service::{Address, Backoff, endpoint, resolve};

/// Largest accepted response in bytes: a page of a thousand streams in 64 groups each.
const MAX_RESPONSE_BYTES: usize = 32 << 20;
/// Streams per page of a list.
const PAGE: u32 = 1000;

type Client = StreamServiceClient<Channel>;

/// A request that can be sent to every core.
pub(super) trait CoreRequest: Clone + Send + Sync {
    type Response: Send;

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
    ($($request:ty => $response:ty, $method:ident;)*) => {$(
        impl CoreRequest for $request {
            type Response = $response;

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
    SendRequest => SendResponse, send;
    SendManyRequest => SendManyResponse, send_many;
    SendToGroupRequest => SendToGroupResponse, send_to_group;
    JoinRequest => JoinResponse, join;
    LeaveRequest => LeaveResponse, leave;
    ResetRequest => ResetResponse, reset;
    GetRequest => GetResponse, get;
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
        let mut last = None;
        let rounds = async {
            let mut backoff = Backoff::default();
            loop {
                match self.request_once(request).await {
                    Err(error) if error.is_transient() => last = Some(error),
                    done => return done,
                }
                sleep(backoff.next(random::up_to)).await;
            }
        };
        let done = timeout(deadline, rounds).await;
        done.unwrap_or_else(|_| Err(last.unwrap_or_else(timed_out)))
    }

    /// Sends a request to every core once.
    async fn request_once<Q: CoreRequest>(
        &self,
        request: &Q,
    ) -> Result<Vec<Q::Response>, StreamsError>
    where
        Q::Response: CoreResponse,
    {
        let clients = self.clients().await;
        let asked = clients.into_iter().map(|client| request.clone().send(client));
        let (mut responses, mut transient) = (Vec::new(), None);
        for response in join_all(asked).await {
            match response.map_err(StreamsError::from) {
                Ok(response) => responses.push(response.into_inner()),
                Err(error) if error.is_transient() => transient = Some(error),
                Err(error) => return Err(error),
            }
        }
        if is_complete(&responses)
            || covers_all_partitions(responses.iter().filter_map(CoreResponse::coverage))
        {
            return Ok(responses);
        }
        let none = || StreamsError::Unavailable("not all partitions have a core now".to_owned());
        Err(transient.unwrap_or_else(none))
    }

    /// Lists the streams of a service, core by core.
    pub(super) async fn list(
        &self,
        service: &str,
        deadline: Duration,
        mut each: impl FnMut(Vec<StreamState>),
    ) -> Result<(), StreamsError> {
        let mut coverages = Vec::new();
        for client in self.clients().await {
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
    async fn clients(&self) -> Vec<Client> {
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
        current.into_values().map(client).collect()
    }
}

fn timed_out() -> StreamsError {
    StreamsError::Unavailable("not in time".to_owned())
}

/// Whether the responses without coverage together miss no stream.
fn is_complete<R: CoreResponse>(responses: &[R]) -> bool {
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
    use super::*;

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
