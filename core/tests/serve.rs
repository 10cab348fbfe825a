//! Integration tests of a core with the memory store; edge and application are bare gRPC clients.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test ignores other outputs")]

#[path = "serve/access.rs"]
mod access;
#[path = "serve/calls.rs"]
mod calls;
#[path = "serve/http_api.rs"]
mod http_api;
#[path = "serve/invalid_frames.rs"]
mod invalid_frames;
#[path = "serve/message_kinds.rs"]
mod message_kinds;
#[path = "serve/outage.rs"]
mod outage;
#[path = "serve/peers.rs"]
mod peers;
#[path = "serve/placement.rs"]
mod placement;
#[path = "../../proto/tests/support/raw.rs"]
mod raw;
#[path = "serve/releases.rs"]
mod releases;
#[path = "serve/sdk_group_sends.rs"]
mod sdk_group_sends;
#[path = "serve/sdk_streams.rs"]
mod sdk_streams;
#[path = "serve/stream_lifecycle.rs"]
mod stream_lifecycle;
#[path = "serve/stream_service.rs"]
mod stream_service;
