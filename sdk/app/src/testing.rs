//! A kit for the unit tests of apps, behind the feature `testing`: a core inside the test that follows the
//! contract, and the clients that reach it.
//!
//! The app runs a real [`Service`]. There is no server and no socket, and time is tokio's, so a test may
//! pause it. An app adds `minerva-app` with `features = ["testing"]` to its `dev-dependencies`.
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
//!     client.wait_acknowledged().await;
//!     assert_eq!(client.ended().unwrap().reason, "bye");
//! }
//! ```
//!
//! # Crashes
//!
//! [`Kit::lose_call`] breaks the call between app and core, which is transparent to the app.
//! [`Kit::restart_app`] simulates a crash: unacknowledged events are delivered to the returned service again.
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
//! [`Kit::outbox`] bounds the messages that a stream holds for its client. A client takes messages only by
//! [receiving](ClientStream::recv) them, and the app's sends wait from half of the bound on.
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
//! # Panics
//!
//! The kit reports failures by panicking: a wait beyond [`Kit::timeout`], an invalid argument, or an app that
//! breaks the contract of the core, which this SDK prevents.

mod buffer;
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

/// Default bounds of a stream, per direction.
const BOUNDS: Bounds = Bounds { bytes: 1 << 20, messages: 1000 };
/// Default deadline of waits.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A placeholder: the service calls the kit's core over an in-process channel.
const ADDRESS: &str = "in-process:1";

/// A core inside the test, and the app under test. See the [module](self) for an example.
#[derive(Debug)]
pub struct Kit {
    core: Core,
    timeout: Duration,
    app: Option<App>,
}

/// The last start of the app, kept for a restart.
#[derive(Debug)]
struct App {
    builder: ServiceBuilder,
    handle: ServiceHandle,
}

impl Kit {
    /// Creates a core with the default limits of a real one: 1 MiB and 1000 messages per stream and
    /// direction. See the [module](self) for an example.
    pub fn new() -> Self {
        let limits =
            Limits { inbox: BOUNDS, outbox: BOUNDS, max_message: minerva_proto::MAX_MESSAGE };
        Self { core: Core::new(limits), timeout: TIMEOUT, app: None }
    }

    /// Sets the outbox of each stream, in bytes and messages; at least 1 each. Options must be set before
    /// anything else. See the [module](self) for an example.
    #[must_use]
    pub fn outbox(self, bytes: usize, messages: usize) -> Self {
        self.core.change(|state| state.limits.outbox = bounds(bytes, messages));
        self
    }

    /// Sets the inbox of each stream, in bytes and messages not acknowledged by the app; at least 1 each. A
    /// client that sends more waits. See the [module](self) for an example of an option.
    #[must_use]
    pub fn inbox(self, bytes: usize, messages: usize) -> Self {
        self.core.change(|state| state.limits.inbox = bounds(bytes, messages));
        self
    }

    /// Sets the maximal message length in both directions. See the [module](self) for an example of an
    /// option.
    #[must_use]
    pub fn max_message_bytes(self, bytes: usize) -> Self {
        self.core.change(|state| state.limits.max_message = bytes);
        self
    }

    /// Sets the deadline of waits in the kit and in clients, which panic beyond; a minute of tokio's
    /// time by default. See the [module](self) for an example of an option.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts the service of the app; requires a tokio runtime. The service gets the streams of all clients,
    /// under any name. See the [module](self) for an example.
    ///
    /// # Panics
    /// If the name is invalid, or the app was started before: see [`Self::restart_app`].
    pub fn service(&mut self, name: impl Into<String>) -> Service {
        self.service_from(Service::connect(ADDRESS).name(name))
    }

    /// Starts the service of the app with other options; the addresses are ignored. [`Self::service`] has
    /// the same use as in the example of the [module](self).
    ///
    /// # Panics
    /// Those of [`Self::service`].
    pub fn service_from(&mut self, builder: ServiceBuilder) -> Service {
        assert!(self.app.is_none(), "the kit's app was started before: use Kit::restart_app");
        self.start(builder)
    }

    /// Connects a client, whose stream the service of the app [accepts](Service::accept). See the
    /// [module](self) for an example.
    ///
    /// # Panics
    /// If the stream id of the client is invalid.
    pub fn connect(&self, client: Client) -> ClientStream {
        client.connect(self.core.clone(), self.timeout)
    }

    /// Breaks the call between app and core, and everything in flight. The service calls again after a short
    /// pause. Waits for a call if there is none. See [`Self::restart_app`] in the [module](self) for a
    /// similar example.
    ///
    /// # Panics
    /// If there is no call before the timeout.
    pub async fn lose_call(&self) {
        let lose = self.core.wait_for("a call of the app", self.timeout, |state| {
            state.has_call().then(|| state.close_call())
        });
        lose.await;
    }

    /// Crashes the app: the core ignores all further commands, and the service stops. Handlers still
    /// running in the test receive [`Event::Released`](crate::Event::Released). See the [module](self) for an
    /// example of a restart.
    ///
    /// # Panics
    /// If the app was never started.
    pub fn crash_app(&mut self) {
        // The core first, so that no command of the crashing app is applied.
        self.core.next_incarnation();
        self.started().handle.crash();
    }

    /// Starts the service of the app again, after a crash of a running app. Unacknowledged events are
    /// delivered again. See the [module](self) for an example.
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
