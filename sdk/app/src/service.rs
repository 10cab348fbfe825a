//! A service: this process as one instance, registered with every core. Covers start, accept and stop. The
//! calls belong to the `driver` and its connectors; stream operations belong to the stream handles.

mod addresses;
mod backoff;
mod call;
mod channel;
mod connector;
mod context;
mod core_locks;
mod driver;
mod endpoint;
pub(crate) mod phase;
mod report;
mod resolve;
mod session_call;
pub(crate) mod shared;
pub(crate) mod stream_cell;

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use minerva_proto::ServiceName;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;

pub(crate) use self::addresses::Address;
pub use self::addresses::Addresses;
pub(crate) use self::backoff::Backoff;
use self::channel::BoxChannel;
#[cfg(feature = "testing")]
pub(crate) use self::channel::boxed;
use self::context::Context;
pub(crate) use self::endpoint::CoreEndpoint;
use self::phase::Phase;
pub(crate) use self::resolve::resolve;
use self::shared::Shared;
use crate::error::StartError;
use crate::random;
use crate::stream::{AppStream, Supervisor};
use crate::tls::{Certificates, Tls};
use crate::token::{Authorization, Token};

/// Default window: bytes of unacknowledged messages per stream.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Longest instance id, in bytes.
const MAX_INSTANCE_ID: usize = 64;
/// Time without a registration after which the start is reported as waiting, above the usual start of a core.
const WAITING_AFTER: Duration = Duration::from_secs(5);

/// This process as an instance of a service. Accepts the streams that the cores assign.
///
/// Lost calls are retried without limit, and streams survive them, as well as a change of the owning core.
/// Dropping the service begins the stop of [`ServiceHandle::stop`] without waiting.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use minerva_app::{SendError, Service};
///
/// let service = Service::connect("core-a:7400,core-b:7400").name("echo").start().await?;
/// let handle = service.handle();
/// tokio::spawn(async move {
///     tokio::signal::ctrl_c().await.ok();
///     handle.stop().await;
/// });
/// let echo = |mut stream: minerva_app::AppStream| async move {
///     while let Some(message) = stream.recv().await {
///         stream.send(message).await?;
///     }
///     Ok::<_, SendError>(())
/// };
/// service.run(echo).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Service {
    handle: ServiceHandle,
}

/// The options of a service, created by [`Service::connect`].
///
/// ```no_run
/// # async fn example() -> Result<(), minerva_app::StartError> {
/// use minerva_app::Service;
///
/// let builder = Service::connect(["core-a:7400", "core-b:7400"])
///     .name("chat")
///     .instance_id("pod-7")
///     .token(std::fs::read_to_string("chat.token").unwrap_or_default())
///     .stream_window_bytes(64 << 10);
/// let mut service = builder.start().await?;
/// # service.accept().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `start`"]
pub struct ServiceBuilder {
    addresses: Addresses,
    name: String,
    instance_id: String,
    window: u32,
    token: Option<Token>,
    tls: Option<Tls>,
    channel: Option<BoxChannel>,
}

/// Stops a service from another task. Cheap to clone. See [`Service`] for an example.
#[derive(Debug, Clone)]
pub struct ServiceHandle {
    shared: Arc<Shared>,
}

impl Service {
    /// Starts the configuration of a service at these cores: one text of `HOST:PORT` or `http://HOST:PORT`
    /// separated by commas, or a list.
    ///
    /// A host name may resolve to several cores and is resolved again every few seconds. The start needs one
    /// reachable core. Streams of a core without an address here go to other instances. See [`Service`] for
    /// an example.
    pub fn connect(addresses: impl Into<Addresses>) -> ServiceBuilder {
        let name = "default".to_owned();
        ServiceBuilder {
            addresses: addresses.into(),
            name,
            instance_id: random::instance_id(),
            window: STREAM_WINDOW_BYTES,
            token: None,
            tls: None,
            channel: None,
        }
    }

    /// Waits for the next stream assigned to this instance; `None` once the service is stopped. Cancel safe:
    /// no stream is lost. See the [crate documentation](crate) for an example.
    pub async fn accept(&mut self) -> Option<AppStream> {
        let cell = self.handle.shared.accept().await?;
        Some(AppStream::new(cell, Arc::clone(&self.handle.shared)))
    }

    /// Runs `handler` for each stream in a separate task, until the service is stopped. Then waits for the
    /// handlers within the deadline of the stop.
    ///
    /// A stream ends with the handler. A handler that returns `Ok` finishes the stream: the client receives all sent
    /// messages first, see [`Sender::finish`](crate::Sender::finish). An error or a panic resets the stream at once
    /// with the reason `the application failed` and `application_level` false. The error is not sent to the client
    /// but logged, or written to stderr in a program without a `tracing` subscriber. See [`Service`] for an example.
    pub async fn run<F, Fut, E>(mut self, handler: F)
    where
        F: Fn(AppStream) -> Fut,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let mut handlers = JoinSet::new();
        let mut supervisors: HashMap<Id, Supervisor> = HashMap::new();
        loop {
            tokio::select! {
                stream = self.accept() => {
                    let Some(mut stream) = stream else { break };
                    let supervisor = stream.supervise();
                    let task = handlers.spawn(handler(stream));
                    supervisors.insert(task.id(), supervisor);
                }
                Some(outcome) = handlers.join_next_with_id() => on_handler_returned(outcome, &mut supervisors),
            }
        }
        let shared = Arc::clone(&self.handle.shared);
        let remaining = async {
            while let Some(outcome) = handlers.join_next_with_id().await {
                on_handler_returned(outcome, &mut supervisors);
            }
        };
        tokio::select! {
            () = shared.wait_for_phase(Phase::Stopped) => {}
            () = remaining => shared.wait_for_phase(Phase::Stopped).await,
        }
    }

    /// Stops the service; see [`ServiceHandle::stop`]. See [`Service`] for an example.
    pub async fn stop(self) {
        self.handle.stop().await;
    }

    /// Returns a handle that stops the service. See [`Service`] for an example.
    pub fn handle(&self) -> ServiceHandle {
        self.handle.clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.handle.shared.drain();
    }
}

impl ServiceHandle {
    /// Stops the service and waits for the end of the stop, at most about six seconds. See [`Service`] for an
    /// example.
    ///
    /// No more streams are accepted, and handlers receive no more messages. Their streams are
    /// [released](crate::Event::Released), not reset, and continue with another instance or the next start of
    /// this program. Queued messages become durable first. Handlers that hold their stream longer than five
    /// seconds are cut off.
    ///
    /// If the runtime of the service is dropped, the service is stopped at once: handles on other runtimes return
    /// [`SendError::Over`](crate::SendError::Over) and [released](crate::Event::Released), and this call returns.
    pub async fn stop(&self) {
        self.shared.drain();
        self.shared.wait_for_phase(Phase::Stopped).await;
    }

    /// Number of events and values that a core of a later release has sent and that this SDK does not have. The service
    /// skips such events and goes on.
    ///
    /// ```no_run
    /// # fn example(service: &minerva_app::Service) {
    /// println!("{} unknown events", service.handle().unknown_events());
    /// # }
    /// ```
    pub fn unknown_events(&self) -> u64 {
        self.shared.unknown_events()
    }

    /// Stops the service as a crash does, without any further command to a core.
    #[cfg(feature = "testing")]
    pub(crate) fn crash(&self) {
        self.shared.stop_now();
    }
}

impl ServiceBuilder {
    /// Sets the service name: 1 to 64 of a-z, 0-9, '-' and '_'. The default is `default`, the service of the
    /// path `/_minerva/`. See [`ServiceBuilder`] for an example.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the instance id, which is random by default. See [`ServiceBuilder`] for an example.
    ///
    /// A process that keeps its id over a restart, such as the name of a host or pod, gets its streams back
    /// at once. With a new id the cores wait for `--app-grace` first. Two running processes must not share an
    /// id: each would end the calls of the other.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = id.into();
        self
    }

    /// Sets the window: bytes of messages per stream that may be queued for the handler or unacknowledged.
    /// The default is 256 KiB; one message is always allowed. Beyond the window messages wait in the core,
    /// then in the client. See [`ServiceBuilder`] for an example.
    pub fn stream_window_bytes(mut self, bytes: u32) -> Self {
        self.window = if bytes == 0 { STREAM_WINDOW_BYTES } else { bytes };
        self
    }

    /// Sets the API token of `minerva-core token create`, with the right `serve`. Without this call the value of the
    /// environment variable `MINERVA_TOKEN` is sent, if set. See [`ServiceBuilder`] for an example.
    ///
    /// The token is neither logged nor part of any `Debug` output.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// Calls the cores over TLS. Without this call the files of the environment variables `MINERVA_MTLS_CA`,
    /// `MINERVA_MTLS_CERT` and `MINERVA_MTLS_KEY` are used, if set. See [`Tls`] for an example.
    pub fn tls(mut self, files: Tls) -> Self {
        self.tls = Some(files);
        self
    }

    /// Carries every call over `channel` and dials no address.
    #[cfg(feature = "testing")]
    pub(crate) fn with_channel(mut self, channel: BoxChannel) -> Self {
        self.addresses = Addresses::from("127.0.0.1:7400");
        self.channel = Some(channel);
        self
    }

    /// Starts the service and returns after the first registration. Requires a tokio runtime. See
    /// [`ServiceBuilder`] for an example.
    ///
    /// Unreachable cores are retried without limit, so apps and cores may start in any order. A start that waits for
    /// more than 5 s is logged, or reported on stderr in a program without a `tracing` subscriber. Dropping the
    /// future cancels the start.
    ///
    /// # Errors
    /// If an address, a name, an id, the token or a file of TLS is invalid, or if a core refuses the registration before another core
    /// accepts one. Later refusals are logged and retried.
    pub async fn start(self) -> Result<Service, StartError> {
        let (name, addresses) = (self.name.clone(), self.addresses.to_string());
        let (service, mut registered) = self.begin()?;
        let registered = match timeout(WAITING_AFTER, &mut registered).await {
            Ok(registered) => registered,
            Err(_) => {
                report::waiting(&name, &addresses);
                registered.await
            }
        };
        let stopped = StartError::Refused { reason: "the task of the service panicked".to_owned() };
        registered.unwrap_or(Err(stopped))?;
        Ok(service)
    }

    /// Starts the service without waiting; the receiver gets the outcome of the first registration.
    pub(crate) fn begin(
        self,
    ) -> Result<(Service, oneshot::Receiver<Result<(), StartError>>), StartError> {
        if let Err(problem) = ServiceName::check(&self.name) {
            return Err(StartError::Name { name: self.name, problem });
        }
        if !is_instance_id(&self.instance_id) {
            return Err(StartError::InstanceId { id: self.instance_id });
        }
        let addresses = self.addresses.parse()?;
        let access = (Authorization::new(self.token.as_ref())?, Certificates::load(self.tls)?);
        let shared = Shared::new(self.window as usize);
        let service = Service { handle: ServiceHandle { shared: Arc::clone(&shared) } };
        let (started, registered) = oneshot::channel();
        let names = (self.name, self.instance_id);
        let stop = driver::StopOnDrop(Arc::clone(&shared));
        let context = Context::new(shared, names, self.window, (self.channel, access), started);
        tokio::spawn(driver::run(context, addresses, stop));
        Ok((service, registered))
    }
}

fn is_instance_id(id: &str) -> bool {
    (1..=MAX_INSTANCE_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

fn on_handler_returned<E: Display>(
    outcome: Result<(Id, Result<(), E>), JoinError>,
    supervisors: &mut HashMap<Id, Supervisor>,
) {
    let id = outcome.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
    let Some(supervisor) = supervisors.remove(&id) else { return };
    match outcome {
        Ok((_, Ok(()))) => supervisor.close_stream(true),
        Ok((_, Err(error))) => {
            report::handler_failed(&supervisor.stream_hash(), "failed", &error);
            supervisor.close_stream(false);
        }
        Err(error) => {
            report::handler_failed(&supervisor.stream_hash(), "panicked", &error);
            supervisor.close_stream(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_are_1_to_64_visible_characters() {
        let longest = "a".repeat(64);
        for id in ["a", "A.b", &longest] {
            assert!(is_instance_id(id), "{id}");
        }
        for id in ["", "a b", "ä", &format!("{longest}a")] {
            assert!(!is_instance_id(id), "{id}");
        }
    }
}
