//! The link between edge and core: `minerva.link.v1` as generated from `minerva/link/v1/link.proto`,
//! whose comments are the contract.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::use_self)]
#![allow(clippy::wildcard_enum_match_arm, clippy::unused_async, unused_qualifications)]

tonic::include_proto!("minerva.link.v1");

/// Version of the contract that this build speaks.
pub const VERSION: u32 = 1;
