//! Mutual TLS between the programs of a deployment: core, edge, application and operator.
//!
//! A private CA signs one certificate per program. The SAN of a certificate has one URI with the [`PeerRole`] of its
//! holder, such as `minerva:edge`. A [`TlsServer`] verifies the certificates of clients, a [`TlsClient`] the one of the
//! server: by its role, or by its name if the certificate has no role. The files are loaded again when they change, and new
//! connections use the new certificate; open connections stay.

mod client;
mod connector;
mod error;
mod files;
#[cfg(feature = "process")]
mod options;
mod reload;
mod role;
mod server;
#[cfg(test)]
mod tests;

pub use client::{TlsClient, server_name};
pub use connector::{TlsConnection, TlsConnector};
pub use error::{HandshakeError, explain};
pub use files::TlsFiles;
#[cfg(feature = "process")]
pub use options::MtlsOptions;
pub use reload::Reloading;
pub use role::{PeerRole, RoleError, validity};
pub use server::{Port, Socket, TlsServer};
