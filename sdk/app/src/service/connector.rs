//! Keeps one Serve call open to one address of a core, with full-jitter back-off between attempts. Spawned by the
//! driver for each resolved address. One call is in `call`.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::sleep;

use super::addresses::Address;
use super::backoff::Backoff;
use super::call::{self, CallError, RegisteredCall};
use super::channel::{self, BoxChannel};
use super::context::Context;
use super::core_locks::CoreLock;
use super::endpoint::CoreEndpoint;
use crate::error::StartError;
use crate::random;

/// The socket addresses to which a host name resolves now; shared by the driver and all connectors.
pub(super) type ResolvedAddresses = Arc<Mutex<HashSet<SocketAddr>>>;

/// Calls one address of a core again and again.
pub(super) struct Connector {
    context: Arc<Context>,
    socket: SocketAddr,
    endpoint: Result<CoreEndpoint, tonic::transport::Error>,
    /// Key of the core in the lock table: the core's id once known, the configured address before.
    core: String,
    resolved: ResolvedAddresses,
}

impl Connector {
    pub(super) fn new(
        context: &Arc<Context>,
        address: &Address,
        socket: SocketAddr,
        resolved: &ResolvedAddresses,
    ) -> Self {
        let endpoint = CoreEndpoint::new(address, socket, &context.certificates);
        let (context, resolved) = (Arc::clone(context), Arc::clone(resolved));
        Self { context, socket, endpoint, core: address.key(), resolved }
    }

    /// Calls until the service is drained or the start is refused. Also returns after a failed call if the host no
    /// longer resolves to this address. Returns the address.
    pub(super) async fn run(mut self) -> SocketAddr {
        let mut backoff = Backoff::default();
        loop {
            let Err(error) = self.call(&mut backoff).await else { return self.socket };
            let fault = self.endpoint.as_ref().ok().and_then(|endpoint| endpoint.fault(&error));
            let reason = fault.unwrap_or_else(|| error.to_string());
            if error.is_refusal() {
                let reason = reason.clone();
                if self.context.on_started(Err(StartError::Refused { reason })) {
                    self.context.shared.stop_now();
                    return self.socket;
                }
            }
            if !self.is_resolved() {
                return self.socket;
            }
            if matches!(error, CallError::Superseded | CallError::CoreInUse) {
                continue;
            }
            let pause = backoff.next(random::up_to);
            tracing::warn!(core = %self.socket, error = reason, ?pause, "the call to a core failed");
            tokio::select! {
                () = sleep(pause) => {}
                () = self.context.shared.until_drained() => return self.socket,
            }
        }
    }

    /// Makes one call. Returns `Ok` if the service is stopped and drained.
    async fn call(&mut self, backoff: &mut Backoff) -> Result<(), CallError> {
        let context = Arc::clone(&self.context);
        let registered = tokio::select! {
            registered = self.register() => registered?,
            () = context.shared.until_drained() => return Ok(()),
        };
        let outcome = registered.run().await;
        let ended_by_another = outcome.as_ref().is_err_and(CallError::is_aborted);
        // Two processes with one instance id would otherwise end each other's calls without a pause.
        if !ended_by_another && !outcome.as_ref().is_err_and(CallError::is_refusal) {
            backoff.reset();
        }
        outcome
    }

    async fn register(&mut self) -> Result<RegisteredCall, CallError> {
        let context = Arc::clone(&self.context);
        context.core_locks.unlocked(&self.core).await;
        let channel = self.connect().await?;
        let registered = call::register(&context, channel, self.lock()?, &mut self.core).await?;
        tracing::info!(service = %self.context.service, core = %self.socket, "registered");
        self.context.on_started(Ok(()));
        Ok(registered)
    }

    async fn connect(&self) -> Result<BoxChannel, CallError> {
        if let Some(channel) = &self.context.channel {
            return Ok(channel.clone());
        }
        let endpoint = self.endpoint.as_ref();
        let endpoint = endpoint.map_err(|error| CallError::Endpoint(error.to_string()))?;
        Ok(channel::boxed(endpoint.connect().await?))
    }

    fn lock(&self) -> Result<CoreLock, CallError> {
        self.context.core_locks.try_lock(&self.core).ok_or(CallError::CoreInUse)
    }

    fn is_resolved(&self) -> bool {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.socket)
    }
}
