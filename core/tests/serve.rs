//! A core over the memory store, with a bare gRPC client as the edge and another as the application.

#[path = "serve/calls.rs"]
mod calls;
#[path = "serve/peers.rs"]
mod peers;
#[path = "serve/streams.rs"]
mod streams;
