//! The edge: terminates client transports (TCP, WebSocket and HTTP on one port) and relays their frames to
//! the cores over gRPC links. An edge holds no durable stream state.
//!
//! Path of a message through this crate: `listener.rs` (protocol detection), a driver (`tcp.rs`,
//! `websocket.rs`, `http/exchange.rs`), `session.rs`, the pure machine in `transport.rs`, `link.rs`. The
//! other direction takes the same files in reverse order.

mod access;
mod admission;
mod buffer_budget;
mod cached_watch;
mod clock;
mod config;
mod edge;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod link;
mod listener;
#[cfg(test)]
mod log_lines;
mod metrics;
mod pages;
mod refusals;
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

pub use access::ForwardedHeader;
pub use config::{Config, Port};
pub use edge::{Edge, LinkState};
pub use link::{Cores, tune};
pub use metrics::Metrics;
pub use minerva_runtime::ConfigError;
pub use pages::{CLIENT_JS, Pages};
pub use tls::Certificates;
