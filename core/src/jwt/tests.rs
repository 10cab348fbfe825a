//! Tokens of every kind against rules and keys, and the refresh of keys.

mod refresh;
mod rules;
pub(crate) mod signer;
