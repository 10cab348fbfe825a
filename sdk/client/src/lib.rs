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
//! # What it promises
//!
//! - Each string of the application is received once and in order; each string sent arrives once and in order,
//!   unless the stream ends.
//! - [`Stream::send`] returns when the string is durable on the server; [`Stream::queue`] when there was room for it,
//!   with [`Stream::flush`] to wait for all; [`Stream::try_send`] never waits.
//! - The stream ends once, with a reason ([`Stream::closed`]). Lost connections are no end: they are made again, with
//!   random pauses that double up to [`Config::backoff_cap`], to the next address and over the next of
//!   [`Config::fallbacks`] if the ones in use do not answer.
//! - [`Stream::transport_changed`] tells when the stream is connected, when it is not, and over what.
//! - A connection takes at most 10 s to be made and its hello 15 s to be answered; a transport that is silent for twice
//!   [`Config::heartbeat`] is given up.
//! - Everything is bounded: what waits to be sent makes sending wait, what waits to be received makes the server wait.
//! - Every future may be dropped; what was queued is sent all the same, and nothing received is lost.
//!
//! With [`Config::tls`] every transport is encrypted, and the server's certificate checked.
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
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod stream;
mod tcp;
mod tls;
mod transport;
mod websocket;

pub use client::Stream;
pub use config::{Config, TransportKind, UnknownTransport};
pub use error::{ConnectError, Ended, EndedBy, SendError};
pub use minerva_proto::{ServiceName, ServiceNameError, StreamId};
pub use rustls;
pub use stream::Counters;
pub use tls::{Tls, TlsError};

/// Compiles what the README shows.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
