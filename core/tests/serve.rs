//! A core over the memory store, with a bare gRPC client as the edge and another as the application.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test skips what it does not wait for")]

#[path = "serve/calls.rs"]
mod calls;
#[path = "serve/invalid_frames.rs"]
mod invalid_frames;
#[path = "serve/outage.rs"]
mod outage;
#[path = "serve/peers.rs"]
mod peers;
#[path = "serve/placement.rs"]
mod placement;
#[path = "serve/sdk_streams.rs"]
mod sdk_streams;
#[path = "serve/stream_lifecycle.rs"]
mod stream_lifecycle;
#[path = "serve/stream_service.rs"]
mod stream_service;
