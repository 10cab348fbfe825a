//! A service: this process as one instance of it, registered with every core. Owns the start and the stop and
//! hands out the streams; the calls are the `driver`'s and its lines', what streams do is the handles'.

mod addresses;
mod backoff;
mod call;
mod channel;
mod connector;
mod context;
mod core_locks;
mod driver;
mod endpoint;
mod resolve;
pub(crate) mod shared;

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use minerva_proto::ServiceName;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};

pub(crate) use self::addresses::Address;
pub use self::addresses::Addresses;
pub(crate) use self::backoff::Backoff;
use self::channel::BoxChannel;
#[cfg(feature = "testing")]
pub(crate) use self::channel::boxed;
use self::context::Context;
pub(crate) use self::endpoint::endpoint;
pub(crate) use self::resolve::resolve;
use self::shared::{Phase, Shared};
use crate::error::StartError;
use crate::random;
use crate::stream::{AppStream, Supervisor};

/// Bytes of unacknowledged messages per stream, unless set otherwise.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Longest instance id, in bytes.
const MAX_INSTANCE_ID: usize = 64;

/// This process as an instance of a service. Gives the streams that the cores assign to it.
///
/// The connections to the cores are made again for ever when they are lost, and streams do not notice: nor
/// do they notice that another core takes over. Dropping the service stops it, as [`ServiceHandle::stop`] does, without waiting.
#[derive(Debug)]
pub struct Service {
    handle: ServiceHandle,
}

/// How a service will be started; made by [`Service::connect`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `start`"]
pub struct ServiceBuilder {
    addresses: Addresses,
    name: String,
    instance_id: String,
    window: u32,
    channel: Option<BoxChannel>,
}

/// Stops a service from elsewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServiceHandle {
    shared: Arc<Shared>,
}

impl Service {
    /// Begins to describe a service at the cores with these addresses: one text of `HOST:PORT` (or
    /// `http://HOST:PORT`) with commas in between, or a list of them.
    ///
    /// A host name may stand for several cores; it is looked up again every few seconds. Not every core need be
    /// named for the service to start, but the streams of one that is not come to other instances only.
    pub fn connect(addresses: impl Into<Addresses>) -> ServiceBuilder {
        let name = "default".to_owned();
        ServiceBuilder {
            addresses: addresses.into(),
            name,
            instance_id: random::instance_id(),
            window: STREAM_WINDOW_BYTES,
            channel: None,
        }
    }

    /// The next stream that was assigned to this instance; `None` once the service is stopped.
    ///
    /// May be cancelled: no stream is lost.
    pub async fn accept(&mut self) -> Option<AppStream> {
        let cell = self.handle.shared.accept().await?;
        Some(AppStream::new(cell, Arc::clone(&self.handle.shared)))
    }

    /// Runs `handler` for each stream, each in a task of its own, until the service is stopped; then waits for
    /// the handlers as long as the stop lasts.
    ///
    /// A stream lives no longer than its handler. If the handler returns while the stream lives, the stream is
    /// reset: with `Ok`, by the application; with an error or a panic, with the reason `the
    /// application failed` and `application_level` false. The error goes to the log, not to the client.
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

    /// Stops the service; see [`ServiceHandle::stop`].
    pub async fn stop(self) {
        self.handle.stop().await;
    }

    /// A handle that stops the service.
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
    /// Stops the service and waits until it is over, at most about six seconds.
    ///
    /// No more streams are accepted, and handlers get no more messages: their streams are
    /// [released](crate::Event::Released), not reset, and go on with another instance or with this program
    /// when it is started again. What handlers have sent is made durable first; handlers that still hold
    /// their stream have five seconds to let it go.
    pub async fn stop(&self) {
        self.shared.drain();
        self.shared.wait_for_phase(Phase::Stopped).await;
    }

    /// Stops the service as a crash does: nothing more is said to any core.
    #[cfg(feature = "testing")]
    pub(crate) fn crash(&self) {
        self.shared.finish();
    }
}

impl ServiceBuilder {
    /// Name of the service: 1 to 64 of a-z, 0-9, '-' and '_'. Without it `default`, which is what clients of
    /// `/_minerva/` reach.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The name of this instance among those of the service; a random one unless set. If a process keeps its
    /// name over a restart (a host's or a pod's), the streams it had come back to it at once, instead of waiting
    /// out the cores' `--app-grace`; those that were acknowledged come with what was not. Two processes must not
    /// have the same name at the same time: each would end the other's calls.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = id.into();
        self
    }

    /// Bytes of messages that one stream may have waiting for its handler or unacknowledged (256 KiB if not
    /// set; at least one message always may). Beyond it the core holds them, and then the client.
    pub fn stream_window_bytes(mut self, bytes: u32) -> Self {
        self.window = if bytes == 0 { STREAM_WINDOW_BYTES } else { bytes };
        self
    }

    /// Carries every call over `channel`. The service makes one call, and dials no address.
    #[cfg(feature = "testing")]
    pub(crate) fn with_channel(mut self, channel: BoxChannel) -> Self {
        self.addresses = Addresses::from("127.0.0.1:7400");
        self.channel = Some(channel);
        self
    }

    /// Starts the service: returns when the first core has registered it. Must be called within a tokio runtime.
    ///
    /// A core that cannot be reached is tried again for ever, so apps and cores may be started in any order.
    /// Dropping the future gives the start up.
    ///
    /// # Errors
    /// If an address or a name is wrong, or a core refuses the registration before another one has taken it. One that
    /// refuses later is logged and asked again.
    pub async fn start(self) -> Result<Service, StartError> {
        let (service, registered) = self.begin()?;
        let stopped = StartError::Refused { reason: "the task of the service panicked".to_owned() };
        registered.await.unwrap_or(Err(stopped))?;
        Ok(service)
    }

    /// Starts the service without waiting for a core: that is told later.
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
        let shared = Shared::new(self.window as usize);
        let service = Service { handle: ServiceHandle { shared: Arc::clone(&shared) } };
        let (started, registered) = oneshot::channel();
        let names = (self.name, self.instance_id);
        let context = Context::new(shared, names, self.window, self.channel, started);
        tokio::spawn(driver::run(context, addresses));
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
            tracing::warn!(stream = %supervisor.stream_hash(), %error, "a handler failed");
            supervisor.close_stream(false);
        }
        Err(error) => {
            tracing::error!(stream = %supervisor.stream_hash(), %error, "a handler panicked");
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
