//! The API port: identifies callers and routes requests to the application API, the HTTP API, health checks and
//! reflection.
//!
//! Health checks and reflection serve load balancers and `grpcurl`. tonic's own router would add a web framework.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use minerva_proto::app::DESCRIPTORS;
use minerva_proto::app::app_service_server::{AppServiceServer, SERVICE_NAME};
use minerva_proto::app::stream_service_server::{self, StreamServiceServer};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_health::server::HealthReporter;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use crate::access::{Access, AccessError, Caller, Right};
use crate::app::AppServer;
use crate::config::MAX_GRPC_MESSAGE;
use crate::http_api::HttpApi;
use crate::metrics::Metrics;
use crate::stream_service::StreamServer;

type BoxedService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// All services of the API port.
#[derive(Clone)]
pub(crate) struct Api {
    services: Arc<HashMap<&'static str, BoxedService>>,
    access: Access,
    http: HttpApi,
}

impl Api {
    /// The services, and the handle that sets the health of the application API.
    pub(crate) async fn new(
        app: AppServer,
        streams: StreamServer,
        access: Access,
        metrics: Metrics,
    ) -> Result<(Self, HealthReporter), Status> {
        let http = HttpApi::new(streams.clone(), access.clone(), metrics)
            .map_err(|error| Status::internal(error.to_string()))?;
        let app = AppServiceServer::new(app)
            .max_decoding_message_size(MAX_GRPC_MESSAGE)
            .max_encoding_message_size(MAX_GRPC_MESSAGE);
        let streams = StreamServiceServer::new(streams)
            .max_decoding_message_size(MAX_GRPC_MESSAGE)
            .max_encoding_message_size(MAX_GRPC_MESSAGE);
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<AppServiceServer<AppServer>>().await;
        reporter.set_serving::<StreamServiceServer<StreamServer>>().await;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name(SERVICE_NAME)
                .with_service_name(stream_service_server::SERVICE_NAME)
        };
        let internal = |error: tonic_reflection::server::Error| Status::internal(error.to_string());
        let mut api = Self { services: Arc::default(), access, http };
        api.add(app);
        api.add(streams);
        api.add(health);
        api.add(reflection().build_v1().map_err(internal)?);
        api.add(reflection().build_v1alpha().map_err(internal)?);
        Ok((api, reporter))
    }

    /// Identifies the caller, and checks the call as far as the path shows the necessary right. The handlers check the
    /// service.
    fn identify(&self, request: &Request<Body>) -> Result<Caller, AccessError> {
        let authorization = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let caller = self.access.caller(authorization, request.extensions())?;
        match needs(request.uri().path()) {
            Needs::Nothing => {}
            Needs::Credential => self.access.check_any(&caller)?,
            Needs::Right(right) => self.access.check(&caller, right, None)?,
        }
        Ok(caller)
    }

    fn add<S>(&mut self, service: S)
    where
        S: NamedService + Clone + Send + Sync + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S::Future: Send + 'static,
    {
        if let Some(services) = Arc::get_mut(&mut self.services) {
            services.insert(S::NAME, BoxCloneSyncService::new(service));
        }
    }
}

/// The necessary permission of a call.
#[derive(Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Credential,
    Right(Right),
}

fn needs(path: &str) -> Needs {
    let mut parts = path.split('/').skip(1);
    let (service, method) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if service == SERVICE_NAME {
        return Needs::Right(Right::Serve);
    }
    if service == stream_service_server::SERVICE_NAME {
        return Needs::Right(match method {
            "Send" | "SendMany" | "SendToGroup" | "Join" | "Leave" => Right::Send,
            "Get" | "List" | "ListGroup" => Right::Read,
            _ => Right::Reset,
        });
    }
    // Load balancers check the health without a token.
    if service == "grpc.health.v1.Health" { Needs::Nothing } else { Needs::Credential }
}

impl Service<Request<Body>> for Api {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = futures_util::future::BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if HttpApi::handles(&request) {
            return Box::pin(self.http.clone().respond(request).map(Ok));
        }
        let mut request = request;
        let caller = match self.identify(&request) {
            Ok(caller) => caller,
            Err(error) => return Box::pin(async { Ok(Status::from(error).into_http()) }),
        };
        // The path is /package.Service/Method.
        let name = request.uri().path().split('/').nth(1).unwrap_or_default();
        match self.services.get(name).cloned() {
            Some(service) => {
                request.extensions_mut().insert(caller);
                Box::pin(service.oneshot(request))
            }
            None => Box::pin(async {
                Ok(Status::new(Code::Unimplemented, "no such service").into_http())
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_needs_a_right() {
        for (path, needed) in [
            ("/minerva.app.v1.AppService/Serve", Needs::Right(Right::Serve)),
            ("/minerva.app.v1.StreamService/Send", Needs::Right(Right::Send)),
            ("/minerva.app.v1.StreamService/SendMany", Needs::Right(Right::Send)),
            ("/minerva.app.v1.StreamService/SendToGroup", Needs::Right(Right::Send)),
            ("/minerva.app.v1.StreamService/Join", Needs::Right(Right::Send)),
            ("/minerva.app.v1.StreamService/Leave", Needs::Right(Right::Send)),
            ("/minerva.app.v1.StreamService/Get", Needs::Right(Right::Read)),
            ("/minerva.app.v1.StreamService/List", Needs::Right(Right::Read)),
            ("/minerva.app.v1.StreamService/ListGroup", Needs::Right(Right::Read)),
            ("/minerva.app.v1.StreamService/Reset", Needs::Right(Right::Reset)),
            ("/minerva.app.v1.StreamService/OfALaterRelease", Needs::Right(Right::Reset)),
            ("/grpc.health.v1.Health/Check", Needs::Nothing),
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Needs::Credential),
            ("", Needs::Credential),
        ] {
            assert_eq!(needs(path), needed, "{path}");
        }
    }
}
