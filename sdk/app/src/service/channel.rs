//! The gRPC channel under a Serve call, as a boxed `tower` service. The seam between the SDK and the test kit: the
//! product dials an [`Endpoint`](super::endpoint), the kit passes an in-process server to
//! [`ServiceBuilder::with_channel`](super::ServiceBuilder).

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{StdError, http};
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

/// A channel of any origin. Cheap to clone.
pub(crate) type BoxChannel = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

/// Boxes a channel. Errors become a [`Status`], as in a generated client.
pub(crate) fn boxed<S>(channel: S) -> BoxChannel
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<StdError> + 'static,
{
    BoxChannel::new(channel.map_err(|error| Status::from_error(error.into())))
}
