//! A kit for the unit tests of apps, behind the feature `testing`: a core within the test, which keeps the contract of
//! the real one, and the clients that reach it.
//!
//! An app gets a real [`Service`] and does not know the difference; there is no server, no socket, and time is tokio's,
//! so that it may be paused. An app has `minerva-app` among its `dev-dependencies` as well for this, with
//! `features = ["testing"]`.
//!
//! # A first test
//!
//! ```
//! use minerva_app::testing::{Client, Kit};
//! use minerva_app::{AppStream, SendError};
//!
//! /// The app.
//! async fn greet(mut stream: AppStream) -> Result<(), SendError> {
//!     stream.send(format!("welcome, {}", stream.credentials())).await?;
//!     while let Some(message) = stream.recv().await {
//!         stream.send(message).await?;
//!     }
//!     Ok(())
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() {
//!     let mut kit = Kit::new();
//!     let service = kit.service("default");
//!     tokio::spawn(service.run(greet));
//!
//!     let client = kit.connect(Client::new().credentials("ann").header("cookie", "a=b"));
//!     assert_eq!(client.recv().await.unwrap(), "welcome, ann");
//!     client.send("hi").await;
//!     assert_eq!(client.recv().await.unwrap(), "hi");
//!
//!     client.reset("bye");
//!     client.acknowledged().await;
//!     assert_eq!(client.ended().unwrap().reason, "bye");
//! }
//! ```
//!
//! # Crashes
//!
//! [`Kit::lose_call`] breaks the connection between app and core, of which an app notices nothing. [`Kit::restart_app`]
//! is a crash: what the app has not acknowledged comes again, to the service that it gives.
//!
//! ```
//! use minerva_app::testing::{Client, Kit};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut kit = Kit::new();
//! let mut service = kit.service("default");
//! let client = kit.connect(Client::new());
//! client.send("one").await;
//! client.send("two").await;
//!
//! let mut stream = service.accept().await.unwrap();
//! stream.acknowledge_manually();
//! assert_eq!(stream.recv().await.unwrap(), "one");
//! stream.acknowledge(1);
//! assert_eq!(stream.recv().await.unwrap(), "two");
//! stream.send("done with one").await.unwrap();
//! stream.durable().await.unwrap();
//!
//! let mut service = kit.restart_app();
//! let mut stream = service.accept().await.unwrap();
//! assert!(stream.is_resumed());
//! assert_eq!(stream.recv().await.unwrap(), "two");
//! assert_eq!(client.recv().await.unwrap(), "done with one");
//! # }
//! ```
//!
//! # Slow clients
//!
//! A stream holds as many messages for its client as [`Kit::outbox`] says, and a client that does not
//! [receive](ClientStream::recv) takes none: the app's sends wait from half of that on.
//!
//! ```
//! use minerva_app::testing::{Client, Kit};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut kit = Kit::new().outbox(1000, 2);
//! let mut service = kit.service("default");
//! let client = kit.connect(Client::new());
//! let stream = service.accept().await.unwrap();
//! stream.send("one").await.unwrap();
//! stream.durable().await.unwrap();
//!
//! let more = tokio::spawn(async move { stream.send("two").await });
//! tokio::task::yield_now().await;
//! assert!(!more.is_finished());
//! assert_eq!(client.recv().await.unwrap(), "one");
//! more.await.unwrap().unwrap();
//! # }
//! ```
//!
//! # What panics
//!
//! All of this is for tests, so what should not be is a panic: a client that waits for longer than
//! [`Kit::timeout`], wrong arguments, and an app that breaks the contract of the core (which this SDK does not let it).

mod client;
mod core;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod validate;

use std::time::Duration;

pub use client::{Client, ClientStream};

use self::core::Core;

use self::state::Limits;
use self::stream::Bounds;
use crate::service::{Service, ServiceBuilder, ServiceHandle, boxed};

/// What a core holds per stream and direction unless set otherwise.
const BOUNDS: Bounds = Bounds { bytes: 1 << 20, messages: 1000 };
/// How long a client waits unless set otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A placeholder: the service calls the kit's core over an in-process channel.
const ADDRESS: &str = "in-process:1";

/// A core within the test, and the app that it serves.
#[derive(Debug)]
pub struct Kit {
    core: Core,
    timeout: Duration,
    app: Option<App>,
}

/// The app as it was started last, to be started again.
#[derive(Debug)]
struct App {
    builder: ServiceBuilder,
    handle: ServiceHandle,
}

impl Kit {
    /// A core that holds 1 MiB and 1000 messages per stream and direction, as a real one does unless it is told otherwise.
    pub fn new() -> Self {
        let limits =
            Limits { inbox: BOUNDS, outbox: BOUNDS, max_message: minerva_proto::MAX_MESSAGE };
        Self { core: Core::new(limits), timeout: TIMEOUT, app: None }
    }

    /// Bytes of messages, and messages, that a stream holds for its client; at least 1 each. Like the other options, to be
    /// set before anything else.
    #[must_use]
    pub fn outbox(self, bytes: usize, messages: usize) -> Self {
        self.core.change(|state| state.limits.outbox = bounds(bytes, messages));
        self
    }

    /// Bytes of unacknowledged messages, and such messages, that a stream holds for the app; at least 1 each. A client
    /// that sends more waits.
    #[must_use]
    pub fn inbox(self, bytes: usize, messages: usize) -> Self {
        self.core.change(|state| state.limits.inbox = bounds(bytes, messages));
        self
    }

    /// Longest message that may be sent either way.
    #[must_use]
    pub fn max_message_bytes(self, bytes: usize) -> Self {
        self.core.change(|state| state.limits.max_message = bytes);
        self
    }

    /// How long the methods of this kit and its clients wait before they panic; a minute of tokio's time unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts the app's service, within a tokio runtime. The name is the app's matter: streams of all clients come to it.
    ///
    /// # Panics
    /// If the name is none, or the app was started before: see [`Self::restart_app`].
    pub fn service(&mut self, name: impl Into<String>) -> Service {
        self.service_from(Service::connect(ADDRESS).name(name))
    }

    /// Starts the app's service with options of its own, whose addresses are of no meaning here.
    ///
    /// # Panics
    /// As [`Self::service`].
    pub fn service_from(&mut self, builder: ServiceBuilder) -> Service {
        assert!(self.app.is_none(), "the kit's app was started before: use Kit::restart_app");
        self.start(builder)
    }

    /// A client makes a stream; the app's service [gives](Service::accept) it.
    ///
    /// # Panics
    /// If the client has a stream id that is none.
    pub fn connect(&self, client: Client) -> ClientStream {
        client.connect(self.core.clone(), self.timeout)
    }

    /// Breaks the call between the app and the core, with all that is under way; the app's service makes a new one, after
    /// a short pause. Waits for a call if there is none.
    ///
    /// # Panics
    /// If there is none in time.
    pub async fn lose_call(&self) {
        let lose = self.core.wait_for("a call of the app", self.timeout, |state| {
            state.has_call().then(|| state.close_call())
        });
        lose.await;
    }

    /// The app crashes: at once the core hears nothing more of it, and its service is over. Its handlers, which live on
    /// in the test, see [`Event::Released`](crate::Event::Released).
    ///
    /// # Panics
    /// If the app was never started.
    pub fn crash_app(&mut self) {
        // First the core, so that nothing is said in between.
        self.core.next_incarnation();
        self.started().handle.crash();
    }

    /// Starts the app's service again, after a crash if it still runs. What was not acknowledged comes to it again.
    ///
    /// # Panics
    /// If the app was never started.
    pub fn restart_app(&mut self) -> Service {
        self.crash_app();
        let builder = self.started().builder.clone();
        self.start(builder)
    }

    fn started(&self) -> &App {
        let Some(app) = &self.app else {
            panic!("the kit's app was never started: use Kit::service")
        };
        app
    }

    fn start(&mut self, builder: ServiceBuilder) -> Service {
        match builder.clone().with_channel(boxed(self.core.server())).begin() {
            Ok((service, _)) => {
                self.app = Some(App { builder, handle: service.handle() });
                service
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Default for Kit {
    fn default() -> Self {
        Self::new()
    }
}

fn bounds(bytes: usize, messages: usize) -> Bounds {
    Bounds { bytes: bytes.max(1), messages: messages.max(1) }
}
