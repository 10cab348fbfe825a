//! The task of a service: keeps a `Line` to each address that the cores' names stand for, and decides when the
//! service is over. Knows nothing of calls.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::addresses::Address;
use super::carrier::Carrier;
use super::claims::Claims;
use super::line::Line;
use super::shared::{Phase, Shared};
use crate::error::StartError;

/// Time for what was sent to become durable once the service is stopped.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often names are looked up again: a new core is found within it.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// Time for a name server to answer.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses that are called of those one name stands for.
const MAX_ADDRESSES: usize = 64;

/// What all the tasks of one service need.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) claims: Arc<Claims>,
    pub(super) carrier: Carrier,
    pub(super) service: String,
    pub(super) instance_id: String,
    pub(super) window: u32,
    /// Told once: registered, or never will be.
    ready: Mutex<Option<oneshot::Sender<Result<(), StartError>>>>,
}

impl Context {
    pub(super) fn new(
        shared: Arc<Shared>,
        (service, instance_id): (String, String),
        window: u32,
        carrier: Carrier,
        ready: oneshot::Sender<Result<(), StartError>>,
    ) -> Arc<Self> {
        let (claims, ready) = (Arc::default(), Mutex::new(Some(ready)));
        Arc::new(Self { shared, claims, carrier, service, instance_id, window, ready })
    }

    /// Tells the outcome of the start; gives whether this is the first one.
    pub(super) fn started(&self, outcome: Result<(), StartError>) -> bool {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ready) = ready.take() else { return false };
        // Nobody waits if the start was given up.
        let _ = ready.send(outcome);
        true
    }
}

/// Runs until the service is stopped.
pub(super) async fn run(context: Arc<Context>, addresses: Vec<Address>) {
    let shared = Arc::clone(&context.shared);
    let deadline = async {
        shared.reached(Phase::Draining).await;
        sleep(DRAIN_TIMEOUT).await;
    };
    // Dropping the set ends what is left.
    let mut finders = JoinSet::new();
    for address in addresses {
        finders.spawn(find(Arc::clone(&context), address));
    }
    let all = async { while finders.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = shared.reached(Phase::Stopped) => {}
        () = deadline => tracing::warn!("stopped before everything was sent"),
    }
    drop(finders);
    shared.finish();
}

/// Keeps a line to each core that one address stands for, until the service is drained.
async fn find(context: Arc<Context>, address: Address) {
    let mut lines: JoinSet<SocketAddr> = JoinSet::new();
    let mut known: HashSet<SocketAddr> = HashSet::new();
    let current = Arc::new(Mutex::new(HashSet::new()));
    loop {
        if let Some(found) = look_up(&address).await {
            let new: Vec<_> = found.iter().copied().filter(|at| known.insert(*at)).collect();
            *current.lock().unwrap_or_else(PoisonError::into_inner) = found;
            for at in new {
                lines.spawn(Line::new(&context, &address, at, &current).run());
            }
        }
        let again = sleep(LOOKUP_INTERVAL);
        tokio::pin!(again);
        loop {
            tokio::select! {
                // A fixed address is there for ever.
                () = &mut again, if address.host.parse::<IpAddr>().is_err() => break,
                Some(line) = lines.join_next() => {
                    if let Ok(at) = line {
                        known.remove(&at);
                    }
                }
                () = context.shared.until_drained() => {
                    while lines.join_next().await.is_some() {}
                    return;
                }
            }
        }
    }
}

/// The addresses of a host; `None` if they cannot be looked up now.
pub(crate) async fn look_up(address: &Address) -> Option<HashSet<SocketAddr>> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Some(HashSet::from([SocketAddr::new(ip, address.port)]));
    }
    let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
    match timeout(LOOKUP_TIMEOUT, lookup).await {
        Ok(Ok(found)) => Some(found.take(MAX_ADDRESSES).collect()),
        Ok(Err(error)) => {
            tracing::warn!(host = address.host, %error, "no addresses of the core");
            None
        }
        Err(_) => {
            tracing::warn!(host = address.host, "no addresses of the core in time");
            None
        }
    }
}
