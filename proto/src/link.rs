//! The link between edge and core: values, checks and sizes of the frames. The comments of
//! `minerva/link/v1/link.proto` are the contract; the module `pb` has the generated types.
//!
//! Edge and core use these values in their pure machines. Only the ends of a gRPC call use `greeting`, `encode`,
//! `decode`, `unknown` and `pb`, which need the feature `grpc`. A decoded value is valid; a frame that breaks the contract becomes a
//! `LinkFrameError`.

mod core_message;
#[cfg(feature = "grpc")]
pub mod decode;
mod edge_message;
#[cfg(feature = "grpc")]
pub mod encode;
#[cfg(feature = "grpc")]
mod error;
#[cfg(feature = "grpc")]
pub mod greeting;
#[cfg(test)]
mod tests;
#[cfg(feature = "grpc")]
pub mod unknown;
mod weight;

use std::fmt;

use crate::Versions;

pub use core_message::{
    Claim, Close, CloseCause, CoreFrame, CoreMessage, NO_APPLICATION, NO_HEARTBEAT, Positions,
    UNSERVED,
};
pub use edge_message::{
    Attach, Batch, Caller, CreatedStream, EdgeFrame, EdgeMessage, End, Resume, Run,
};
#[cfg(feature = "grpc")]
pub use error::LinkFrameError;

/// The version of the contract in this build: the oldest and the newest one.
pub const VERSION: u32 = 1;

/// The versions of the contract that this build supports.
pub const VERSIONS: Versions = Versions::new(VERSION, VERSION);

/// Number of a transport on a link. An edge assigns each number once in the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportId(pub u64);

impl fmt::Display for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The types generated from `link.proto`: unchecked, for the ends of a gRPC call and for scripted peers in tests.
#[cfg(feature = "grpc")]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::use_self)]
#[allow(clippy::wildcard_enum_match_arm, clippy::unused_async, unused_qualifications)]
pub mod pb {
    pub use super::VERSION;

    tonic::include_proto!("minerva.link.v1");
}
