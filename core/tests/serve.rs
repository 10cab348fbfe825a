//! A core over the memory store, with a bare gRPC client as the edge and another as the application.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test skips what it does not wait for")]

#[path = "serve/calls.rs"]
mod calls;
#[path = "serve/cores.rs"]
mod cores;
#[path = "serve/outage.rs"]
mod outage;
#[path = "serve/outside.rs"]
mod outside;
#[path = "serve/peers.rs"]
mod peers;
#[path = "serve/sdk.rs"]
mod sdk;
#[path = "serve/streams.rs"]
mod streams;
