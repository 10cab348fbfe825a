//! The server of `StreamService`: unary calls that address streams from outside of an instance.
//!
//! Sends a request to every partition that may hold the selected streams and merges the replies. Streams are handled by
//! the partitions. Served by [`crate::Core::serve_api`].

pub(crate) mod decode;
mod encode;
mod error;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::try_join_all;
use minerva_proto::StreamNumber;
use minerva_proto::app::stream_service_server::StreamService;
use minerva_proto::app::{
    Coverage, GetRequest, GetResponse, JoinRequest, JoinResponse, LeaveRequest, LeaveResponse,
    ListGroupRequest, ListGroupResponse, ListRequest, ListResponse, ResetRequest, ResetResponse,
    SendManyRequest, SendManyResponse, SendOutcome, SendRequest, SendResponse, SendResult,
    SendToGroupRequest, SendToGroupResponse,
};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use self::decode::Target;
use self::error::StreamCallError;
use crate::access::{Access, AccessError, Caller, Right, Scope};
use crate::partition::{Mail, PartitionTable, StreamCall, StreamRequest, StreamSelector};
use crate::stream::{JoinOutcome, PushOutcome, StreamCallId, StreamReply};

/// The server; cheap to clone.
#[derive(Clone)]
pub(crate) struct StreamServer {
    partitions: PartitionTable,
    access: Access,
    /// Number of the next stream call.
    next_call: Arc<AtomicU64>,
}

/// Replies in the order of the partitions.
struct Replies {
    replies: Vec<StreamReply>,
    /// The partitions that replied, if the streams could be in any partition.
    coverage: Option<Coverage>,
}

/// One page of a list.
struct Page<T> {
    entries: Vec<T>,
    is_more: bool,
    /// The partitions that replied.
    covered: Vec<u32>,
}

impl<T> Page<T> {
    /// The token of the next page; empty on the last page.
    fn next_token(&self, number: fn(&T) -> StreamNumber) -> String {
        let last = self.entries.last().filter(|_| self.is_more);
        last.map(|last| number(last).to_string()).unwrap_or_default()
    }
}

impl StreamServer {
    pub(crate) fn new(partitions: PartitionTable, access: Access) -> Self {
        Self { partitions, access, next_call: Arc::default() }
    }

    /// Checks a call for a service, or for streams by number; returns the services whose streams the call may select.
    fn permit(
        &self,
        caller: &Caller,
        right: Right,
        service: Option<&str>,
    ) -> Result<Scope, AccessError> {
        match service {
            Some(service) => self.access.check(caller, right, Some(service)).map(|()| Scope::All),
            None => self.access.scope(caller, right),
        }
    }

    /// Sends a request to one partition and waits for the reply.
    async fn request(
        &self,
        partition: u32,
        request: StreamRequest,
    ) -> Result<StreamReply, StreamCallError> {
        if !self.partitions.is_served(partition) {
            return Err(StreamCallError::NotOwner);
        }
        let id = StreamCallId(self.next_call.fetch_add(1, Ordering::Relaxed));
        let (reply, replied) = oneshot::channel();
        let call = Box::new(StreamCall { id, request, reply });
        self.partitions.send_with_room(partition, Mail::StreamCall(call)).await;
        replied.await.map_err(|_| StreamCallError::Interrupted)
    }

    /// Sends a request to all partitions that this core serves.
    async fn request_all(&self, request: &StreamRequest) -> Result<Replies, StreamCallError> {
        let served = (0..self.partitions.count()).filter(|&p| self.partitions.is_served(p));
        let requests = served.map(async |partition| {
            match self.request(partition, request.clone()).await {
                // The partition was closed in between: it is not covered.
                Err(StreamCallError::NotOwner) => Ok(None),
                reply => reply.map(|reply| Some((partition, reply))),
            }
        });
        let replies = try_join_all(requests).await?.into_iter().flatten();
        let (partitions, replies) = replies.unzip();
        Ok(Replies { replies, coverage: Some(self.coverage(partitions)) })
    }

    /// Sends a request to the partitions that can hold the target.
    async fn request_for(
        &self,
        target: Target,
        scope: &Scope,
        request: impl FnOnce(StreamSelector) -> StreamRequest,
    ) -> Result<Replies, StreamCallError> {
        let partition = match &target {
            Target::Number(number) => {
                Some(self.partitions.of_number(*number).ok_or(StreamCallError::NotFound)?)
            }
            Target::Id(_, id) => Some(self.partitions.of_id(id)),
            Target::Label(..) => None,
        };
        let request = request(target.select(scope));
        let Some(partition) = partition else { return self.request_all(&request).await };
        let reply = self.request(partition, request).await?;
        if reply.is_empty() {
            return Err(StreamCallError::NotFound);
        }
        Ok(Replies { replies: vec![reply], coverage: None })
    }

    fn coverage(&self, partitions: Vec<u32>) -> Coverage {
        Coverage { partitions, total: self.partitions.count() }
    }

    async fn push_to_many(
        &self,
        send: decode::SendMany,
        scope: &Scope,
    ) -> Result<Vec<SendResult>, StreamCallError> {
        let decode::SendMany { by_partition, messages, key } = send;
        let requests = by_partition.into_iter().map(|(partition, numbers)| {
            let to = decode::numbers(numbers.clone(), scope);
            let request = StreamRequest::Push { to, messages: messages.clone(), key: key.clone() };
            async move {
                let reply = match partition {
                    Some(partition) => self.request(partition, request).await,
                    None => Err(StreamCallError::NotFound),
                };
                let (outcomes, otherwise) = match reply {
                    Ok(reply) => (push_outcomes([reply]), SendOutcome::NotFound),
                    Err(StreamCallError::NotFound) => (Vec::new(), SendOutcome::NotFound),
                    Err(StreamCallError::NotOwner) => (Vec::new(), SendOutcome::NotOwner),
                    Err(error) => return Err(error),
                };
                Ok(encode::send_results(&numbers, outcomes, otherwise))
            }
        });
        let mut results = try_join_all(requests).await?.concat();
        results.sort_by_key(|result| result.stream);
        Ok(results)
    }

    /// The page of at most `limit` entries behind the stream `after`, partition by partition.
    async fn page<T>(
        &self,
        (after, limit): (StreamNumber, usize),
        request: impl Fn(usize) -> StreamRequest,
        entries: fn(StreamReply) -> Vec<T>,
    ) -> Result<Page<T>, StreamCallError> {
        let (mut page, mut covered) = (Vec::new(), Vec::new());
        for partition in u32::from(after.partition())..self.partitions.count() {
            // One entry beyond the page shows that there is another page.
            match self.request(partition, request(limit + 1 - page.len())).await {
                Ok(reply) => page.extend(entries(reply)),
                Err(StreamCallError::NotOwner) => continue,
                Err(error) => return Err(error),
            }
            covered.push(partition);
            if page.len() > limit {
                page.truncate(limit);
                return Ok(Page { entries: page, is_more: true, covered });
            }
        }
        Ok(Page { entries: page, is_more: false, covered })
    }
}

#[tonic::async_trait]
impl StreamService for StreamServer {
    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        let (caller, request) = identified(request);
        let decode::Send { target, messages, key } = decode::send(request)?;
        let scope = self.permit(&caller, Right::Send, target.service())?;
        let push = |to| StreamRequest::Push { to, messages, key };
        let Replies { replies, coverage } = self.request_for(target, &scope, push).await?;
        let outcomes = push_outcomes(replies);
        if let ([(_, only)], None) = (&outcomes[..], &coverage) {
            error::of_push(*only).map_or(Ok(()), Err)?;
        }
        let results = outcomes.into_iter().map(encode::send_result).collect();
        Ok(Response::new(SendResponse { results, coverage }))
    }

    async fn send_many(
        &self,
        request: Request<SendManyRequest>,
    ) -> Result<Response<SendManyResponse>, Status> {
        let (caller, request) = identified(request);
        let scope = self.permit(&caller, Right::Send, None)?;
        let send = decode::send_many(request, &self.partitions)?;
        Ok(Response::new(SendManyResponse { results: self.push_to_many(send, &scope).await? }))
    }

    async fn send_to_group(
        &self,
        request: Request<SendToGroupRequest>,
    ) -> Result<Response<SendToGroupResponse>, Status> {
        let (caller, request) = identified(request);
        let page = encode::full_page(request.page_size);
        let (service, request) = decode::send_to_group(request)?;
        self.permit(&caller, Right::Send, Some(&service))?;
        let Replies { replies, coverage } = self.request_all(&request).await?;
        let response = encode::group_response(&push_outcomes(replies), page);
        Ok(Response::new(SendToGroupResponse { coverage, ..response }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let (caller, JoinRequest { target, group }) = identified(request);
        let (target, group) = (decode::target(target)?, decode::group(group)?);
        let scope = self.permit(&caller, Right::Send, target.service())?;
        let join = |to| StreamRequest::Join(to, group);
        let Replies { replies, coverage } = self.request_for(target, &scope, join).await?;
        let outcomes: Vec<_> = replies.into_iter().flat_map(encode::join_outcomes).collect();
        if let ([(_, only)], None) = (&outcomes[..], &coverage) {
            error::of_join(*only).map_or(Ok(()), Err)?;
        }
        let is_member = |(stream, outcome): (StreamNumber, _)| {
            (outcome == JoinOutcome::Done).then_some(stream.0)
        };
        let streams = outcomes.into_iter().filter_map(is_member).collect();
        Ok(Response::new(JoinResponse { streams, coverage }))
    }

    async fn leave(
        &self,
        request: Request<LeaveRequest>,
    ) -> Result<Response<LeaveResponse>, Status> {
        let (caller, LeaveRequest { target, group }) = identified(request);
        let (target, group) = (decode::target(target)?, decode::group(group)?);
        let scope = self.permit(&caller, Right::Send, target.service())?;
        let leave = |to| StreamRequest::Leave(to, group);
        let Replies { replies, coverage } = self.request_for(target, &scope, leave).await?;
        let streams = replies.into_iter().flat_map(encode::done).collect();
        Ok(Response::new(LeaveResponse { streams, coverage }))
    }

    async fn reset(
        &self,
        request: Request<ResetRequest>,
    ) -> Result<Response<ResetResponse>, Status> {
        let (caller, request) = identified(request);
        let (target, reset) = decode::reset(request)?;
        let scope = self.permit(&caller, Right::Reset, target.service())?;
        let reset = |to| StreamRequest::Reset(to, reset);
        let Replies { replies, coverage } = self.request_for(target, &scope, reset).await?;
        let streams = replies.into_iter().flat_map(encode::done).collect();
        Ok(Response::new(ResetResponse { streams, coverage }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let (caller, request) = identified(request);
        let target = decode::target(request.target)?;
        let scope = self.permit(&caller, Right::Read, target.service())?;
        let Replies { replies, coverage } =
            self.request_for(target, &scope, StreamRequest::Get).await?;
        let infos = replies.into_iter().flat_map(encode::infos);
        Ok(Response::new(GetResponse { streams: infos.map(encode::info).collect(), coverage }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let (caller, request) = identified(request);
        let list = decode::list(request)?;
        self.permit(&caller, Right::Read, Some(&list.service))?;
        let decode::List { service, after, limit } = list;
        let request = |limit| StreamRequest::List { service: service.clone(), after, limit };
        let page = self.page((after, limit), request, encode::infos).await?;
        Ok(Response::new(ListResponse {
            next_page_token: page.next_token(|info| info.stream),
            streams: page.entries.into_iter().map(encode::info).collect(),
            coverage: Some(self.coverage(page.covered)),
        }))
    }

    async fn list_group(
        &self,
        request: Request<ListGroupRequest>,
    ) -> Result<Response<ListGroupResponse>, Status> {
        let (caller, request) = identified(request);
        let list = decode::list_group(request)?;
        self.permit(&caller, Right::Read, Some(&list.service))?;
        let decode::ListGroup { service, group, after, limit, with_absent } = list;
        let request = |limit| {
            let (service, group) = (service.clone(), group.clone());
            StreamRequest::ListGroup { service, group, after, limit, with_absent }
        };
        let page = self.page((after, limit), request, encode::members).await?;
        Ok(Response::new(ListGroupResponse {
            next_page_token: page.next_token(|member| member.stream),
            members: page.entries.into_iter().map(encode::member).collect(),
            coverage: Some(self.coverage(page.covered)),
        }))
    }
}

/// The caller and the message of a request.
fn identified<T>(request: Request<T>) -> (Caller, T) {
    (Caller::of(request.extensions()), request.into_inner())
}

/// The outcome for each stream, in the order of the partitions and stream numbers.
fn push_outcomes(
    replies: impl IntoIterator<Item = StreamReply>,
) -> Vec<(StreamNumber, PushOutcome)> {
    replies.into_iter().flat_map(encode::push_outcomes).collect()
}
