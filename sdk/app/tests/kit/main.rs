//! The test kit, used as in the tests of an app.

#![allow(clippy::unwrap_used)]

mod agent;
mod chat;
#[path = "../../examples/agent/conversation.rs"]
mod conversation;
mod crashes;
mod files;
mod kinds;
#[path = "../../examples/agent/model.rs"]
mod model;
mod panics;
#[path = "../../examples/chat/room.rs"]
mod room;
#[path = "../../examples/agent/serve.rs"]
mod serve;
#[path = "../../examples/agent/store.rs"]
mod store;
mod streams;

use minerva_app::testing::{Client, ClientStream, Kit};
use minerva_app::{Accepts, AppStream, SendError, Service};

/// A service with one new stream.
async fn stream() -> (Kit, Service, ClientStream, AppStream) {
    stream_of(Kit::new()).await
}

async fn stream_of(mut kit: Kit) -> (Kit, Service, ClientStream, AppStream) {
    let mut service = kit.service("default");
    let client = kit.connect(Client::new());
    let stream = service.accept().await.unwrap();
    (kit, service, client, stream)
}

async fn stream_to(accepts: Accepts) -> (Kit, Service, ClientStream, AppStream) {
    let mut kit = Kit::new();
    let mut service = kit.service("default");
    let client = kit.connect(Client::new().accepts(accepts));
    let stream = service.accept().await.unwrap();
    (kit, service, client, stream)
}

/// Sends everything back.
async fn echo(mut stream: AppStream) -> Result<(), SendError> {
    while let Some(message) = stream.recv().await {
        stream.send(message).await?;
    }
    Ok(())
}
