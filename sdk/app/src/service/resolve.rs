//! Name resolution of core addresses. Used by the driver of a service and by [`Streams`](crate::Streams).

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use super::addresses::Address;

/// Deadline of one DNS lookup.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most socket addresses used per host name.
const MAX_ADDRESSES: usize = 64;

/// Resolves a host to its socket addresses; `None` if the lookup fails now.
pub(crate) async fn resolve(address: &Address) -> Option<HashSet<SocketAddr>> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Some(HashSet::from([SocketAddr::new(ip, address.port)]));
    }
    let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
    match timeout(LOOKUP_TIMEOUT, lookup).await {
        Ok(Ok(found)) => Some(found.take(MAX_ADDRESSES).collect()),
        Ok(Err(error)) => {
            tracing::warn!(host = address.host, %error, "cannot resolve the host of a core");
            None
        }
        Err(_) => {
            let timeout = LOOKUP_TIMEOUT;
            tracing::warn!(host = address.host, ?timeout, "resolving the host of a core timed out");
            None
        }
    }
}
