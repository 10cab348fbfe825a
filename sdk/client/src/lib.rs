//! Client for Minerva streams: devices and desktop programs.
//!
//! A [`Stream`] is an ordered, reliable, two-way sequence of messages with an application service. The client uses one
//! transport at a time and reconnects without limit. Until a reset ends the stream, every message arrives exactly once
//! and in order.
//!
//! ```no_run
//! use minerva_client::{Config, Stream, TransportKind};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let stream = Stream::connect(Config::new("127.0.0.1:8080", TransportKind::WebSocket))?;
//! stream.send("hello").await?; // returns when the message is durable on the server
//! while let Some(message) = stream.recv().await {
//!     println!("{}", message.as_text().unwrap_or("a binary message"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! - Messages are exactly once and in order in both directions, until the stream ends.
//! - [`Stream::send`] returns when the message is durable on the server, [`Stream::queue`] when the send queue has
//!   accepted the message ([`Stream::flush`] waits for the queue); [`Stream::try_send`] never waits.
//! - The stream ends once, with a reason ([`Stream::closed`]). A lost connection does not end the stream: the client
//!   reconnects with full-jitter back-off up to [`Config::backoff_cap`], and tries the next address and the next of
//!   [`Config::fallbacks`] after failures.
//! - [`Stream::transport_changed`] reports connects, disconnects and the transport in use; [`Stream::problem`] has the
//!   reason for a missing connection. [`Stream::open`] fails if no address can be reached.
//! - Deadlines: 5 s per IP address of a name, 10 s each for the handshakes with a proxy, of TLS and of a WebSocket,
//!   15 s for the response to the hello, twice [`Config::heartbeat`] without input.
//! - All queues are bounded. A full send queue makes `send` wait, in the order of the calls; a full inbox makes the
//!   server wait. If both wait for each other, `send` fails with [`SendError::Unread`] after 20 s.
//! - Every future is cancel safe: queued messages are still sent, and no received message is lost.
//!
//! With [`Config::tls`] every transport uses TLS, and the server's certificate is verified. Proxies: [`ProxyChoice`].
//!
//! # Structure
//!
//! `stream` is the pure machine that takes all decisions; `driver` executes them on the transports `tcp`, `websocket`
//! and `http`.
#![warn(missing_docs)]

mod client;
mod clock;
mod config;
mod connection;
mod driver;
mod error;
mod http;
mod inbox;
mod problem;
mod proxy;
mod refusal;
mod renewal;
mod senders;
mod session;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod stream;
mod stream_state;
mod tcp;
mod time;
mod tls;
mod transport;
mod websocket;
mod wire;

pub use client::Stream;
pub use config::{Config, TransportKind, UnknownTransportError, UnknownVersionError, Version};
pub use error::{ConnectError, Ended, EndedBy, SendError};
pub use minerva_proto::v3::RefusalCode;
pub use minerva_proto::{
    Message, MessageKind, MessageNumber, ServiceName, ServiceNameError, StreamId, StreamIdError,
    Utf8Bytes,
};
pub use problem::{FailedAttempt, Problem, ProblemCode};
pub use proxy::{EnvironmentError, Proxy, ProxyChoice, ProxyParseError};
pub use renewal::TokenSource;
pub use rustls;
pub use session::{Rejoin, Rewind, SessionError, SessionFile};
pub use stream::Counters;
pub use tls::{Tls, TlsError};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
