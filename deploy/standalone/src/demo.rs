//! The chat of the demo as an application service of this process. It talks to the core as any
//! application service does, over the API port.

use std::net::SocketAddr;

use minerva_app::Service;

#[path = "../../../sdk/app/examples/chat/room.rs"]
mod room;

/// Serves the chat as the service `default` until the process ends.
pub(crate) async fn run(api: SocketAddr) {
    match Service::connect(api.to_string()).start().await {
        Ok(service) => room::serve(service).await,
        Err(error) => tracing::error!(%error, "the demo cannot register"),
    }
}
