//! Access checks on a request's headers: allowed web origins, served host names and the client's address behind trusted
//! proxies. Pure; called by `listener.rs` and `http.rs`, configured by `edge.rs`.

pub(crate) mod forwarded_for;
pub(crate) mod hosts;
pub(crate) mod origin;

pub use forwarded_for::ForwardedHeader;
pub(crate) use forwarded_for::TrustedProxies;
pub(crate) use hosts::Hosts;
pub(crate) use origin::Origins;
