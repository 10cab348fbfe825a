//! Tests of a partition: output gate, recovery, assignment, store failures, rollback.

mod acknowledged_end;
mod assignment;
mod bounds;
mod budgets;
mod bulk_mail;
mod checkpoint;
mod claim_tags;
mod client_reports;
mod client_reset;
mod confirmed_changes;
mod conversation;
mod crash;
mod created_streams;
mod deferred_records;
mod expired_lease;
mod full_store;
mod gate;
mod harness;
mod held_streams;
mod memory;
mod presence;
mod push_batch;
mod quarantine;
mod redelivery;
mod resume_key;
mod rewrite_after_rollback;
mod rollback;
mod service_selection;
mod silent_app;
mod store;
mod stream_calls;
mod takeovers;
mod usage_model;
mod waiting_mail;

use std::sync::Arc;

pub(in crate::partition) use harness::hello;

use minerva_proto::TransportKind;

use crate::state::{Origin, StreamProtocol};

/// The origin of a test stream.
pub(crate) fn hello_origin() -> Arc<Origin> {
    let origin = Origin {
        id: hello(1, "stream").stream_id,
        service: "default".into(),
        credentials: String::new(),
        headers: Vec::new(),
        peer_address: String::new(),
        kind: Some(TransportKind::Tcp),
        started_at_ms: 1,
        protocol: StreamProtocol::V2,
    };
    origin.into()
}
