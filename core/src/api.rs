//! The API port: routes requests to the application API, health checks and reflection.
//!
//! The latter two serve `grpcurl` and load balancers. tonic's own router would add a web framework.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use minerva_proto::app::DESCRIPTORS;
use minerva_proto::app::app_service_server::{AppServiceServer, SERVICE_NAME};
use minerva_proto::app::stream_service_server::{self, StreamServiceServer};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_health::server::HealthReporter;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use crate::app::AppServer;
use crate::config::MAX_GRPC_MESSAGE;
use crate::stream_service::StreamServer;

type BoxedService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// All services of the API port.
#[derive(Clone)]
pub(crate) struct Api {
    services: Arc<HashMap<&'static str, BoxedService>>,
}

impl Api {
    /// The services, and the handle that sets the health of the application API.
    pub(crate) async fn new(
        app: AppServer,
        streams: StreamServer,
    ) -> Result<(Self, HealthReporter), Status> {
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
        let mut api = Self { services: Arc::default() };
        api.add(app);
        api.add(streams);
        api.add(health);
        api.add(reflection().build_v1().map_err(internal)?);
        api.add(reflection().build_v1alpha().map_err(internal)?);
        Ok((api, reporter))
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

impl Service<Request<Body>> for Api {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = futures_util::future::BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The path is /package.Service/Method.
        let name = request.uri().path().split('/').nth(1).unwrap_or_default();
        match self.services.get(name).cloned() {
            Some(service) => Box::pin(service.oneshot(request)),
            None => Box::pin(async {
                Ok(Status::new(Code::Unimplemented, "no such service").into_http())
            }),
        }
    }
}
