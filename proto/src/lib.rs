//! What two Minerva processes must agree on.
//!
//! The pure part (always built) is the wire protocol between a client and an edge: [`frame`],
//! [`hello`], [`sack`], and the two windows every end of a stream has, [`window`]. It has no clock,
//! randomness, I/O or locks. Behind the feature `grpc` are the generated types of the link between
//! edge and core ([`link`]) and of the application API ([`app`]); behind `process`, how a program
//! shows itself to its operator ([`process`]).
#![warn(missing_docs)]

#[cfg(feature = "grpc")]
pub mod app;
#[cfg(feature = "grpc")]
pub mod link;
#[cfg(feature = "process")]
pub mod process;
