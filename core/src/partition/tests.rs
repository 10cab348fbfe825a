//! Tests of a partition: the output gate, recovery, assignment, a store that fails.

mod assignment;
mod bench;
mod bounds;
mod checkpoint;
mod choosing;
mod conversation;
mod crash;
mod gate;
mod lost;
mod outside;
mod rescue;
mod store;
mod together;
mod unhurried;

use std::sync::Arc;

pub(super) use bench::hello;

use crate::state::{Origin, TransportKind};

/// What is known of some stream.
pub(super) fn hello_origin() -> Arc<Origin> {
    let origin = Origin {
        id: hello(1, "stream").stream_id,
        service: "default".into(),
        credentials: String::new(),
        headers: Vec::new(),
        peer_address: String::new(),
        kind: TransportKind::Tcp,
        started_at_ms: 1,
    };
    origin.into()
}
