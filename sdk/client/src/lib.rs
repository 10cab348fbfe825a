//! Client for Minerva streams: devices and desktop programs.
//!
//! A [`Stream`] is an ordered, reliable, two-way sequence of strings with an application service. It
//! goes over whatever transport is chosen, reconnects for as long as it takes, and ends only with a
//! reset: whatever happens in between, strings arrive once and in order.
//!
//! ```no_run
//! use minerva_client::{Config, Stream, TransportKind};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = Stream::connect(Config::new("127.0.0.1:8080", TransportKind::WebSocket))?;
//! stream.send("hello").await?; // acknowledged: it is durable on the server
//! while let Some(string) = stream.recv().await {
//!     println!("{}", String::from_utf8_lossy(&string));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Inside, the module `stream` is a pure machine that decides; `driver` and the transports below it do.
#![warn(missing_docs)]

mod client;
mod clock;
mod config;
mod driver;
mod error;
mod http;
mod inbox;
mod shared;
mod stream;
mod tcp;
mod transport;
mod websocket;

pub use client::Stream;
pub use config::{Config, TransportKind, UnknownTransport};
pub use error::{ConnectError, Ended, EndedBy, SendError};
pub use minerva_proto::StreamId;
pub use stream::Counters;
