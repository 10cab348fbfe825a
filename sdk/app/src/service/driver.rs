//! The task of a service: resolves the addresses of the cores, keeps a [`Connector`] per socket address, and stops
//! the service. Spawned by [`ServiceBuilder::start`](crate::ServiceBuilder::start); makes no calls.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::addresses::Address;
use super::connector::{Connector, ResolvedAddresses};
use super::context::Context;
use super::phase::Phase;
use super::resolve::resolve;
use super::shared::Shared;

/// Deadline for queued messages to become durable after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of DNS lookups: bounds the time until a new core is called.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);

/// Ends all handles when dropped: also if the runtime is dropped, with this task, before the service is stopped.
pub(super) struct StopOnDrop(pub(super) Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop_now();
    }
}

/// Runs until the service is stopped.
pub(super) async fn run(context: Arc<Context>, addresses: Vec<Address>, stop: StopOnDrop) {
    let shared = Arc::clone(&context.shared);
    let deadline = async {
        shared.wait_for_phase(Phase::Draining).await;
        sleep(DRAIN_TIMEOUT).await;
    };
    // Dropping the set aborts the remaining tasks.
    let mut resolvers = JoinSet::new();
    for address in addresses {
        resolvers.spawn(keep_connected(Arc::clone(&context), address));
    }
    let all = async { while resolvers.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = shared.wait_for_phase(Phase::Stopped) => {}
        () = deadline => tracing::warn!("stopped with unconfirmed messages or open streams"),
    }
    drop(resolvers);
    drop(stop);
}

/// Keeps a connector to each socket address of one configured address, until the service is drained.
async fn keep_connected(context: Arc<Context>, address: Address) {
    let mut connectors: JoinSet<SocketAddr> = JoinSet::new();
    let mut known: HashSet<SocketAddr> = HashSet::new();
    let resolved = ResolvedAddresses::default();
    loop {
        if let Some(found) = resolve(&address).await {
            let new: Vec<_> = found.iter().copied().filter(|at| known.insert(*at)).collect();
            *resolved.lock().unwrap_or_else(PoisonError::into_inner) = found;
            for socket in new {
                connectors.spawn(Connector::new(&context, &address, socket, &resolved).run());
            }
        }
        let next_lookup = sleep(LOOKUP_INTERVAL);
        tokio::pin!(next_lookup);
        loop {
            tokio::select! {
                // An IP address needs no second lookup.
                () = &mut next_lookup, if address.host.parse::<IpAddr>().is_err() => break,
                Some(ended) = connectors.join_next() => {
                    if let Ok(socket) = ended {
                        known.remove(&socket);
                    }
                }
                () = context.shared.until_drained() => {
                    while connectors.join_next().await.is_some() {}
                    return;
                }
            }
        }
    }
}
