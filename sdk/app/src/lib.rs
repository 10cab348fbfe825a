//! The SDK for application services of Minerva.
//!
//! An *app* is a program that dials the cores, registers under a service name and receives the streams of
//! clients. A *stream* is an ordered, reliable, two-way sequence of messages, independent of the transports
//! that carry it. The SDK hides lost calls, restarted cores, moved partitions and clients that change their
//! network.
//!
//! # An echo service
//!
//! ```no_run
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut service = minerva_app::Service::connect("127.0.0.1:7400").name("default").start().await?;
//!     while let Some(stream) = service.accept().await {
//!         tokio::spawn(async move {
//!             let (mut receiver, sender) = stream.split();
//!             while let Some(message) = receiver.recv().await {
//!                 sender.send(message).await?;
//!             }
//!             Ok::<_, minerva_app::SendError>(())
//!         });
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Guarantees
//!
//! - Each message of a client reaches the handler once and in order while this process lives. After a crash
//!   the unacknowledged messages are delivered again, to this program or another instance. An app that stores
//!   the event numbers of [`Receiver::next_event`] with its effects can drop duplicates.
//! - Each message of a handler reaches the client once and in order, unless the stream ends, or this process
//!   dies before [`Sender::durable`] returns.
//! - The acknowledgement of an event never overtakes messages that were sent earlier.
//! - An [answer](Sender::answer) and the acknowledgement of the event are one durable step: a redelivered
//!   event has no answer yet.
//! - Every stream ends once, with a reason ([`Ended`]).
//! - Every queue is bounded. A slow client makes [`Sender::send`] wait; a slow handler makes the client wait.
//!
//! # Several cores
//!
//! [`Service::connect`] takes the addresses of all cores: `"core-a:7400,core-b:7400"`, a list, or a host name
//! that resolves to several cores and is resolved again every 5 seconds. The service registers with each core
//! under one instance id, and [`ServiceBuilder::start`] returns after the first registration. Each stream
//! belongs to one core at a time. After a hand-over or a failover, unacknowledged events and unconfirmed
//! messages are repeated there, under the same guarantees. Two addresses of the same core share one call.
//!
//! # Errors
//!
//! A lost call is no error: the SDK logs the cause and calls again after a random pause of at most three
//! seconds. [`StartError`] reports invalid options and a refused registration, [`SendError`] an invalid
//! message or a stream that is over. If a core has lost confirmed messages, or has a lower message limit than
//! a queued message, the affected stream is reset with `application_level` false.
//!
//! # Cancellation
//!
//! Every future of this crate may be dropped without loss of a stream, event or message; the message of a
//! cancelled [`Sender::send`] is not sent. Dropping a [`Receiver`] ends the stream. Dropping the [`Service`]
//! begins the [stop](ServiceHandle::stop).
//!
//! # Testing an app
//!
//! The feature `testing` adds the module `testing`, a kit for unit tests. The kit runs a real [`Service`]
//! against a core inside the test, plays the clients, breaks calls and restarts the app, without a server, a
//! socket or real time.
//!
//! # Layout
//!
//! [`Service`] accepts streams and stops; [`AppStream`] is one stream with its halves [`Receiver`] and
//! [`Sender`]; [`Streams`] reaches any stream from outside; [`qan`] adds questions and answers to a stream, [`files`] files.
//! Internally, `session` is the pure state machine of all streams, and `service/` contains the tasks that own
//! the gRPC calls: the `driver` keeps a `connector` per address, which makes one `call` after the other.
#![warn(missing_docs)]

mod accepts;
mod clock;
mod contents;
mod error;
mod event;
pub mod files;
mod info;
pub mod qan;
mod random;
mod retention;
mod service;
mod session;
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub mod simulation;
mod stream;
mod streams;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod token;

pub use accepts::Accepts;
pub use error::{GroupError, LabelError, ReasonError, SendError, StartError, TrySendError};
pub use event::{Ended, EndedBy, Event, Rejoin, TransportChange};
pub use minerva_proto::Rewind;
pub use minerva_proto::{
    EventNumber, Identity, InvalidTextError, Message, MessageKind, MessageNumber, ServiceName,
    ServiceNameError, StreamId, StreamNumber, TransportKind, TransportNumber, Utf8Bytes,
};
pub use retention::Retention;
pub use service::{Addresses, Service, ServiceBuilder, ServiceHandle};
pub use stream::{AppStream, JsonError, Receiver, Sender};
pub use streams::{
    Backlog, Connection, GroupMember, GroupSend, GroupSendResult, Pause, SendOutcome, SendResult,
    StreamState, Streams, StreamsError, Target,
};
pub use tls::Tls;

/// Compiles the example service of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// Compiles the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/app-guide.md")]
struct Guide;
