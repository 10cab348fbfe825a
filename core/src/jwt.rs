//! Tokens of clients (JWT, RFC 7519): verified before the partition receives the hello of a new stream, a new page load,
//! or a renewal.
//!
//! [`verifier`] is pure; [`Authenticator`] adds the keys of the issuers, which [`source`] reads and renews. The algorithm
//! is that of the key, and no address or key of a token is used. Called by the link server.

mod authenticator;
mod fetch;
mod keys;
mod options;
mod provider;
mod source;
#[cfg(test)]
pub(crate) mod tests;
mod token_error;
mod verifier;

pub(crate) use authenticator::{Authenticator, Denial};
pub use options::JwtOptions;
pub(crate) use token_error::TokenError;
