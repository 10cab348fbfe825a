//! The demo chat as an application service inside this process, connected to the API port as any other
//! application. Started by `main.rs`.

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
