//! The edge: sockets in, link out. It speaks the wire protocol with clients over TCP, WebSocket and
//! HTTP on one port, and tells cores what they say; it holds no stream state that matters.
//!
//! One string's way through this crate: `listener.rs` (what does the connection speak?), a driver
//! (`tcp.rs`, `websocket.rs`, `http/exchange.rs`), `session.rs`, the pure machine in `transport.rs`,
//! `link.rs`. And back.

mod access;
mod cached_watch;
mod clock;
mod config;
mod edge;
mod files;
mod http;
mod link;
mod listener;
mod metrics;
mod pages;
mod session;
mod shared;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod socket;
mod tcp;
mod tls;
pub mod transport;
mod websocket;

pub use config::{Config, Port};
pub use edge::{Edge, LinkState};
pub use link::{Cores, tune};
pub use metrics::Metrics;
pub use minerva_proto::process::ConfigError;
pub use pages::{CLIENT_JS, Pages};
pub use tls::Certificates;
