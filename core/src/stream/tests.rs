//! Tests of the stream machine: scenarios after the vectors, limits, and random inputs against a model.

mod app;
mod bench;
mod delayed_ack;
mod limits;
mod model;
mod rollback_detection;
mod service_selection;
mod transports;
