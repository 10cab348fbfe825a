//! The requests that go to every core, and the completeness of their responses. Called by `scatter_gather`.

use std::collections::BTreeSet;
use std::future::Future;

use bytes::Bytes;
use minerva_proto::StreamNumber;
use minerva_proto::app::stream_service_client::StreamServiceClient;
use minerva_proto::app::{
    Coverage, GetRequest, GetResponse, JoinRequest, JoinResponse, LeaveRequest, LeaveResponse,
    ListGroupRequest, ListGroupResponse, ListRequest, ListResponse, ResetRequest, ResetResponse,
    SendManyRequest, SendManyResponse, SendOutcome, SendRequest, SendResponse, SendResult,
    SendToGroupRequest, SendToGroupResponse,
};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::token::Authorization;

pub(super) type Client = StreamServiceClient<InterceptedService<Channel, Authorization>>;

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

/// A request for a list in pages, which each core answers for its own partitions.
pub(super) trait PagedRequest: CoreRequest {
    fn with_page_size(self, size: u32) -> Self;

    /// Continues behind a page; returns false behind the last page.
    fn continue_behind(&mut self, page: &Self::Response) -> bool;
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

macro_rules! impl_pages {
    ($($request:ty),*) => {$(
        impl PagedRequest for $request {
            fn with_page_size(self, page_size: u32) -> Self {
                Self { page_size, ..self }
            }

            fn continue_behind(&mut self, page: &Self::Response) -> bool {
                self.page_token.clone_from(&page.next_page_token);
                !self.page_token.is_empty()
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
    ListRequest => ListResponse, list, false, |_| Bytes::new();
    ListGroupRequest => ListGroupResponse, list_group, false, |_| Bytes::new();
}

impl_pages!(ListRequest, ListGroupRequest);

impl_coverage!(
    SendResponse,
    SendToGroupResponse,
    JoinResponse,
    LeaveResponse,
    ResetResponse,
    GetResponse,
    ListResponse,
    ListGroupResponse
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

/// Whether the responses together miss no stream.
pub(super) fn is_complete<R: CoreResponse>(responses: &[R]) -> bool {
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
pub(super) fn covers_all_partitions<'a>(coverages: impl Iterator<Item = &'a Coverage>) -> bool {
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
