//! The SDK for application services of Minerva.
//!
//! An app is a program that dials the cores, registers under a service name and gets the streams of clients:
//! ordered, reliable, both ways, whatever transports carry them. A lost connection to a core, a restarted core,
//! another core that takes over, a client on the move: nothing of that shows here.
//!
//! # An echo service
//!
//! ```no_run
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut service = minerva_app::Service::connect("127.0.0.1:7400").name("default").start().await?;
//!     while let Some(stream) = service.accept().await {
//!         tokio::spawn(async move {
//!             let (mut messages, sender) = stream.split();
//!             while let Some(message) = messages.recv().await {
//!                 sender.send(message).await?;
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
//! - Each message of a client reaches the handler once and in order, as long as this process lives; after a
//!   crash those that were not acknowledged come again, to this program or another instance. The event
//!   numbers of [`Receiver::next_event`] let an app that stores them with its effects drop those it has seen.
//! - What a handler sends reaches the client once and in order, unless the stream ends or this
//!   process dies before [`Sender::durable`] returns.
//! - Acknowledging an event never outruns what was sent before.
//! - An [answer](Sender::answer) and the acknowledgement of its event are one step: an event that comes again after a
//!   crash has no answer yet.
//! - Every stream ends once, with a reason ([`Ended`]).
//! - Everything is bounded: a client that does not read makes [`Sender::send`] wait; a handler that does not
//!   receive makes the client wait.
//!
//! # Several cores
//!
//! [`Service::connect`] takes all of them: `"core-a:7400,core-b:7400"`, a list, or a host name that stands for several
//! (it is looked up again every few seconds). The service registers with each under one instance id, and starts
//! when the first has taken it. Each stream belongs to one core at a time; when another one takes over, what was
//! not acknowledged or not confirmed is told again there, and the promises above hold across it. An address that leads
//! to a core which is called already is left alone until that call is lost.
//!
//! # Errors
//!
//! Lost connections are no errors: they are logged and made again, with random pauses of at most three seconds.
//! [`StartError`] tells of options that cannot work and of a core that refuses the service; [`SendError`] of a
//! message that cannot travel and of a stream that is over; nothing else fails. A core that has lost what it had
//! confirmed, or that takes only shorter messages than are waiting, costs the streams concerned: they are reset, not at
//! application level.
//!
//! # Cancellation
//!
//! Every future here may be dropped: no stream, event or message is lost with it ([`Sender::send`]: the message was not
//! sent then). Dropping a [`Receiver`] ends its stream; dropping the [`Service`] begins its
//! [stop](ServiceHandle::stop).
//!
//! # Testing an app
//!
//! With the feature `testing` the module `testing` has a kit for unit tests: a real [`Service`] at a core within the
//! test, which plays the clients, breaks calls and restarts the app; without a server, a socket or real time.
//!
//! # Layout
//!
//! [`Service`] starts, gives streams and stops; [`AppStream`] is one stream, with its halves [`Receiver`] and
//! [`Sender`]; [`Streams`] reaches any stream from outside; [`qan`] is questions and answers on top of a stream. Inside, `session` is the pure machine that knows
//! what is delivered, sent and acknowledged and where, and `service/` has the tasks that own the gRPC calls: the
//! `driver` keeps a `line` to each address, which makes one `call` after the other.
#![warn(missing_docs)]

mod error;
mod event;
mod info;
pub mod qan;
mod random;
mod service;
mod session;
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub mod simulation;
mod stream;
mod streams;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{GroupError, LabelError, ReasonError, SendError, StartError, TrySendError};
pub use event::{Ended, EndedBy, Event, TransportChange, TransportKind};
pub use minerva_proto::{ServiceName, ServiceNameError, StreamId};
pub use service::{Addresses, Service, ServiceBuilder, ServiceHandle};
pub use stream::{AppStream, Receiver, Sender};
pub use streams::{
    GroupSendResult, Pause, SendOutcome, SendResult, StreamState, Streams, StreamsError, Target,
};

/// Compiles the app service that the README shows.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// Compiles what the guide shows.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/app-guide.md")]
struct Guide;
