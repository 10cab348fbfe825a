//! The SDK for application services of Minerva.
//!
//! An app is a program that dials a core, registers under a service name and gets the streams of clients:
//! ordered, reliable, both ways, whatever transports carry them. A lost connection to the core, a
//! restarted core, a client on the move: nothing of that shows here.
//!
//! # An echo service
//!
//! ```no_run
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut service = minerva_app::Service::connect("127.0.0.1:7400").name("default").start().await?;
//!     while let Some(stream) = service.accept().await {
//!         tokio::spawn(async move {
//!             let (mut strings, sender) = stream.split();
//!             while let Some(string) = strings.recv().await {
//!                 sender.send(string).await?;
//!             }
//!             Ok::<_, minerva_app::SendError>(())
//!         });
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What it promises
//!
//! - Each string of a client reaches the handler once and in order, as long as this process lives; after a
//!   crash those that were not acknowledged come again, to this program or another instance. The event
//!   numbers of [`Receiver::next_event`] let an app that stores them with its effects drop those it has seen.
//! - What a handler sends reaches the client once and in order, unless the stream ends or this
//!   process dies before [`Sender::durable`] returns.
//! - Acknowledging an event never outruns what was sent before.
//! - Every stream ends once, with a reason ([`Ended`]).
//! - Everything is bounded: a client that does not read makes [`Sender::send`] wait; a handler that does not
//!   receive makes the client wait.
//!
//! # Layout
//!
//! [`Service`] starts, gives streams and stops; [`AppStream`] is one stream, with its halves [`Receiver`] and
//! [`Sender`]; [`qan`] is questions and answers on top of a stream. Inside, `session` is the pure machine that knows
//! what is delivered, sent and acknowledged, and `service/driver.rs` the task that owns the gRPC call.
#![warn(missing_docs)]

mod error;
mod event;
mod info;
pub mod qan;
mod random;
mod service;
mod session;
mod stream;

pub use error::{InvalidReason, SendError, StartError, TrySendError};
pub use event::{Ended, EndedBy, Event, TransportChange, TransportKind};
pub use minerva_proto::StreamId;
pub use service::{Addresses, Service, ServiceBuilder, ServiceHandle};
pub use stream::{AppStream, Receiver, Sender};

/// Compiles the app service that the README shows.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
