//! The SDK as used by an app, against a core scripted by the test.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod answers;
#[path = "../../../../runtime/tests/support/authority.rs"]
mod authority;
mod cores;
mod dead_address;
#[allow(dead_code, reason = "shared with the tests of clients and cores")]
#[path = "../../../../runtime/tests/support/dead_address.rs"]
mod dead_addresses;
mod dropped_runtime;
mod fake_core;
mod lifecycle;
mod qan;
#[path = "../../../../proto/tests/support/raw.rs"]
mod raw;
#[path = "../../../../proto/tests/support/raw_server.rs"]
mod raw_server;
mod releases;
mod settings;
mod stderr;
mod streams;
mod tls;

use minerva_app::{AppStream, Service};

use fake_core::{Call, FakeCore};

/// A registered service.
async fn service() -> (FakeCore, Call, Service) {
    let mut core = FakeCore::start().await;
    let start = tokio::spawn(Service::connect(&core.address).start());
    let (call, _) = core.registered().await;
    (core, call, start.await.unwrap().unwrap())
}

/// A registered service with one new stream, number 1.
async fn stream() -> (FakeCore, Call, Service, AppStream) {
    let (core, call, mut service) = service().await;
    call.start(1).await;
    let stream = service.accept().await.unwrap();
    (core, call, service, stream)
}
