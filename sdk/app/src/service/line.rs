//! A line: one address of a core, called for as long as the name stands for it and the service runs, again and
//! again. Decides when to call; the call itself is `call`'s.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minerva_proto::tasks::Spawner;
use tokio::time::sleep;
use tonic::transport::Endpoint;

use super::addresses::Address;
use super::backoff::Backoff;
use super::call::{self, CallError};
use super::carrier::Carrier;
use super::claims::Claim;
use super::driver::Context;
use crate::error::StartError;
use crate::random;

/// Time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A core that does not answer a ping for this long is gone; asked as often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// HTTP/2 windows, of the call and the connection: the default of 64 KiB halves the throughput.
const HTTP2_WINDOWS: (u32, u32) = (1 << 20, 4 << 20);

/// One address of a core.
pub(super) struct Line {
    context: Arc<Context>,
    at: SocketAddr,
    endpoint: Result<Endpoint, tonic::transport::Error>,
    /// What stands for the core in the claims: its name once it has told that, the address until then.
    core: String,
    /// What the name of the core stands for now.
    current: Arc<Mutex<HashSet<SocketAddr>>>,
}

impl Line {
    pub(super) fn new(
        context: &Arc<Context>,
        address: &Address,
        at: SocketAddr,
        current: &Arc<Mutex<HashSet<SocketAddr>>>,
    ) -> Self {
        let endpoint = endpoint(address, at);
        let (context, current) = (Arc::clone(context), Arc::clone(current));
        Self { context, at, endpoint, core: address.text(), current }
    }

    /// Calls until the service is drained, the start is refused, or a call failed and the name does not stand for
    /// this address any more. Gives the address.
    pub(super) async fn run(mut self) -> SocketAddr {
        let mut backoff = Backoff::default();
        loop {
            let Err(error) = self.call(&mut backoff).await else { return self.at };
            if error.is_refusal() {
                let message = error.to_string();
                if self.context.started(Err(StartError::Refused { message })) {
                    self.context.shared.finish();
                    return self.at;
                }
            }
            if !self.is_current() {
                return self.at;
            }
            if matches!(error, CallError::Superseded | CallError::Taken) {
                continue;
            }
            let pause = backoff.next(random::up_to);
            tracing::warn!(core = %self.at, %error, ?pause, "no call to the core");
            tokio::select! {
                () = sleep(pause) => {}
                () = self.context.shared.until_drained() => return self.at,
            }
        }
    }

    /// One call. Returns without an error if the service was stopped and all is done.
    async fn call(&mut self, backoff: &mut Backoff) -> Result<(), CallError> {
        let context = Arc::clone(&self.context);
        let opened = tokio::select! {
            opened = self.open() => opened?,
            () = context.shared.until_drained() => return Ok(()),
        };
        let outcome = opened.converse().await;
        let ended_by_another = outcome.as_ref().is_err_and(CallError::is_aborted);
        // Two processes with one name would else end each other's calls without a pause.
        if !ended_by_another && !outcome.as_ref().is_err_and(CallError::is_refusal) {
            backoff.reset();
        }
        outcome
    }

    async fn open(&mut self) -> Result<call::Open, CallError> {
        let context = Arc::clone(&self.context);
        context.claims.free(&self.core).await;
        let opened = match &context.carrier {
            Carrier::Network => {
                let endpoint = self
                    .endpoint
                    .as_ref()
                    .map_err(|error| CallError::Endpoint(error.to_string()))?;
                let channel = endpoint.connect().await?;
                call::open(&context, channel, self.claim()?, &mut self.core).await?
            }
            #[cfg(feature = "testing")]
            Carrier::Memory(server) => {
                call::open(&context, server.clone(), self.claim()?, &mut self.core).await?
            }
        };
        tracing::info!(service = %self.context.service, core = %self.at, "registered");
        self.context.started(Ok(()));
        Ok(opened)
    }

    fn claim(&self) -> Result<Claim, CallError> {
        self.context.claims.claim(&self.core).ok_or(CallError::Taken)
    }

    fn is_current(&self) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).contains(&self.at)
    }
}

/// How a core is connected to.
pub(crate) fn endpoint(
    address: &Address,
    at: SocketAddr,
) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{at}"))?
        .origin(address.origin.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .executor(Spawner)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(HTTP2_WINDOWS.0)
        .initial_connection_window_size(HTTP2_WINDOWS.1))
}
