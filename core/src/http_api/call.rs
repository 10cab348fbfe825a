//! The calls of the HTTP API: their paths, and their messages in the contract.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use minerva_proto::app::stream_service_client::StreamServiceClient;
use minerva_proto::app::stream_service_server::StreamServiceServer;
use minerva_proto::app::{
    GetRequest, GetResponse, JoinRequest, JoinResponse, LeaveRequest, LeaveResponse, ListRequest,
    ListResponse, Message, ResetRequest, ResetResponse, SendRequest, SendResponse,
    SendToGroupRequest, SendToGroupResponse,
};
use tonic::Status;

use crate::stream_service::StreamServer;

/// Calls of the server in this process.
pub(super) type Client = StreamServiceClient<StreamServiceServer<StreamServer>>;
/// The result of a call.
pub(super) type Answer<'a, R> = BoxFuture<'a, Result<tonic::Response<R>, Status>>;

/// Paths of the API, behind the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Send,
    SendToGroup,
    Join,
    Leave,
    Reset,
    Get,
    List,
}

impl Method {
    pub(super) const ALL: [Self; 7] = [
        Self::Send,
        Self::SendToGroup,
        Self::Join,
        Self::Leave,
        Self::Reset,
        Self::Get,
        Self::List,
    ];

    /// Also the label of the metric.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::SendToGroup => "send-to-group",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Reset => "reset",
            Self::Get => "get",
            Self::List => "list",
        }
    }

    pub(super) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.path() == path)
    }
}

/// Messages and idempotency key of a request that sends.
pub(super) struct Content<'a> {
    pub(super) messages: &'a mut Vec<Message>,
    pub(super) key: &'a mut Bytes,
}

/// A request of `StreamService`.
pub(super) trait Call: prost::Message + Default {
    type Response: prost::Message + Default;
    /// Names in the contract.
    const REQUEST: &'static str;
    const RESPONSE: &'static str;

    /// `None` if the call sends no messages.
    fn content(&mut self) -> Option<Content<'_>>;

    fn invoke(client: &mut Client, request: tonic::Request<Self>) -> Answer<'_, Self::Response>;
}

macro_rules! calls {
    ($($request:ident $response:ident $method:ident $content:expr;)*) => {$(
        impl Call for $request {
            type Response = $response;
            const REQUEST: &'static str = stringify!($request);
            const RESPONSE: &'static str = stringify!($response);

            fn content(&mut self) -> Option<Content<'_>> {
                let content: fn(&mut Self) -> Option<Content<'_>> = $content;
                content(self)
            }

            fn invoke(client: &mut Client, request: tonic::Request<Self>) -> Answer<'_, $response> {
                Box::pin(client.$method(request))
            }
        }
    )*};
}

calls! {
    SendRequest SendResponse send
        |send| Some(Content { messages: &mut send.contents, key: &mut send.idempotency_key });
    SendToGroupRequest SendToGroupResponse send_to_group
        |send| Some(Content { messages: &mut send.contents, key: &mut send.idempotency_key });
    JoinRequest JoinResponse join |_| None;
    LeaveRequest LeaveResponse leave |_| None;
    ResetRequest ResetResponse reset |_| None;
    GetRequest GetResponse get |_| None;
    ListRequest ListResponse list |_| None;
}
