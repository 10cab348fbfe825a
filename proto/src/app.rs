//! The application API: `minerva.app.v1` as generated from `minerva/app/v1/app.proto`, whose comments
//! are the contract.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::use_self)]
#![allow(clippy::wildcard_enum_match_arm, clippy::unused_async, unused_qualifications)]

tonic::include_proto!("minerva.app.v1");

/// The descriptors of this API and the link, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
