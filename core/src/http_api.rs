//! The HTTP API: the calls of `StreamService` as JSON over HTTP, for programs without gRPC.
//!
//! `api.rs` passes requests of the API port on. Checks of headers are in `guard`, the form of requests and responses in
//! `request` and `json`. Streams are handled by `StreamServer`.

mod call;
mod error;
mod guard;
mod json;
mod request;

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method as HttpMethod, Request, Response, Version};
use minerva_proto::app::stream_service_server::StreamServiceServer;
use minerva_proto::app::{
    GetRequest, JoinRequest, LeaveRequest, ListRequest, ResetRequest, SendRequest,
    SendToGroupRequest,
};
use prost_reflect::DescriptorError;
use tokio::time::timeout;
use tonic::body::Body;

use self::call::{Call, Client, Method};
use self::error::HttpError;
use self::json::Codec;
use self::request::RawRequest;
use crate::access::{Access, Caller};
use crate::config::MAX_GRPC_MESSAGE;
use crate::metrics::Metrics;
use crate::stream_service::StreamServer;

/// Prefix of all paths.
const PREFIX: &str = "/v1/";
/// Time for a request, from the headers to the result.
const DEADLINE: Duration = Duration::from_secs(10);
/// Media type of requests and responses.
const JSON: &str = "application/json";
/// Media type of a request whose body is one binary message.
const BINARY: &str = "application/octet-stream";

/// The HTTP API of a core; cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpApi {
    access: Access,
    metrics: Metrics,
    codec: Codec,
    client: Client,
}

impl HttpApi {
    /// # Errors
    /// If the descriptors of the contract cannot be read.
    pub(crate) fn new(
        streams: StreamServer,
        access: Access,
        metrics: Metrics,
    ) -> Result<Self, DescriptorError> {
        let client = Client::new(StreamServiceServer::new(streams))
            .max_decoding_message_size(MAX_GRPC_MESSAGE)
            .max_encoding_message_size(MAX_GRPC_MESSAGE);
        Ok(Self { access, metrics, codec: Codec::new()?, client })
    }

    /// Whether a request belongs to this API: all requests of HTTP/1, so that no web page reaches a gRPC service, and the
    /// paths of this API.
    pub(crate) fn handles(request: &Request<Body>) -> bool {
        request.version() != Version::HTTP_2 || request.uri().path().starts_with(PREFIX)
    }

    /// Answers a request.
    pub(crate) async fn respond(self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().strip_prefix(PREFIX);
        let method = path.and_then(Method::of_path);
        let answer = match timeout(DEADLINE, self.answer(method, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::outcome_unknown(DEADLINE)),
        };
        let response = answer.map_or_else(HttpError::into_response, ok);
        let name = method.map_or("unknown", Method::path);
        self.metrics.count_http_request(name, response.status().as_u16());
        response
    }

    async fn answer(
        &self,
        method: Option<Method>,
        request: Request<Body>,
    ) -> Result<String, HttpError> {
        guard::check_origin(&request)?;
        let method = method.ok_or_else(|| HttpError::no_such_path(request.uri().path()))?;
        if request.method() != HttpMethod::POST {
            return Err(HttpError::method_not_allowed());
        }
        let caller = guard::identify(&self.access, &request)?;
        let raw = RawRequest::read(request).await?;
        let context = Context { api: self, caller, raw };
        match method {
            Method::Send => context.run::<SendRequest>().await,
            Method::SendToGroup => context.run::<SendToGroupRequest>().await,
            Method::Join => context.run::<JoinRequest>().await,
            Method::Leave => context.run::<LeaveRequest>().await,
            Method::Reset => context.run::<ResetRequest>().await,
            Method::Get => context.run::<GetRequest>().await,
            Method::List => context.run::<ListRequest>().await,
        }
    }
}

/// A request with its caller.
struct Context<'a> {
    api: &'a HttpApi,
    caller: Caller,
    raw: RawRequest,
}

impl Context<'_> {
    async fn run<C: Call>(self) -> Result<String, HttpError> {
        let mut request = tonic::Request::new(self.raw.decode::<C>(&self.api.codec)?);
        request.extensions_mut().insert(self.caller);
        let response = C::invoke(&mut self.api.client.clone(), request).await;
        let response = response.map_err(HttpError::of_status)?.into_inner();
        self.api.codec.encode(C::RESPONSE, &response)
    }
}

fn ok(json: String) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(json)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}
