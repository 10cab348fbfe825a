//! The application API: the generated code of `minerva.app.v1`. The comments in `minerva/app/v1/*.proto` are the
//! contract.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::use_self)]
#![allow(clippy::wildcard_enum_match_arm, clippy::unused_async, unused_qualifications)]

tonic::include_proto!("minerva.app.v1");

mod content;
mod identity;

pub use content::ContentError;

/// The version of the contract in this build, the only one so far.
pub const VERSION: u32 = 1;

/// Descriptor set of the application API and the link, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
