//! Tests of the stream machine: scenarios of the recorded vectors, limits, and random inputs against a model.

mod app;
mod claim_tags;
mod delayed_ack;
mod finish;
mod harness;
mod identity;
mod kinds;
mod limits;
mod model;
mod original;
mod received_tags;
mod rollback_detection;
mod service_selection;
mod sessions;
mod tag_model;
mod transports;
