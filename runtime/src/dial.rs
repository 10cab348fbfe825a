//! Opens a TCP connection to a name with several addresses: staggered attempts with the address families interleaved
//! (RFC 8305), and a time limit per attempt.
//!
//! Called by the Rust client and by the Redis store of the core. Edges and applications make one link or call per
//! resolved address and do not use this module.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

/// Delay of the next attempt while earlier attempts have no result. A failure starts the next attempt at once.
pub const STAGGER: Duration = Duration::from_millis(250);

/// Most attempts per call; further addresses of a name are ignored.
pub const MAX_ATTEMPTS: usize = 16;

/// Connects to one address of `host`. The first established connection wins; the other attempts are dropped.
///
/// `attempt_limit` bounds the name lookup and each attempt, so the call takes at most twice this time and 3.75 s.
///
/// # Errors
/// If the name has no address, or every attempt failed.
pub async fn connect(
    host: &str,
    port: u16,
    attempt_limit: Duration,
) -> Result<TcpStream, DialError> {
    let lookup = timeout(attempt_limit, lookup_host((host, port))).await;
    let found = lookup.unwrap_or_else(|_| Err(no_answer(attempt_limit)));
    let unknown = |error| DialError::Lookup { host: host.to_owned(), error };
    let addresses = interleave(found.map_err(unknown)?);
    if addresses.is_empty() {
        return Err(unknown(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    race(addresses, attempt_limit, TcpStream::connect).await.map_err(DialError::Attempts)
}

/// Error of [`connect`].
#[derive(Debug)]
pub enum DialError {
    /// The name cannot be resolved.
    Lookup {
        /// The name.
        host: String,
        /// The reason.
        error: io::Error,
    },
    /// Every attempt failed; one entry per address, in the order of failure.
    Attempts(Vec<FailedAttempt>),
}

/// One failed attempt of [`connect`].
#[derive(Debug)]
pub struct FailedAttempt {
    /// The address.
    pub address: SocketAddr,
    /// The reason; of kind `TimedOut` if the address did not answer within the time limit.
    pub error: io::Error,
}

impl DialError {
    /// Whether no address answered: the name was resolved, and no attempt was refused.
    pub fn is_timeout(&self) -> bool {
        let is_timeout = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
        match self {
            Self::Lookup { error, .. } => is_timeout(error),
            Self::Attempts(failed) => failed.iter().all(|attempt| is_timeout(&attempt.error)),
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup { host, error } => write!(f, "cannot resolve {host}: {error}"),
            Self::Attempts(failed) => {
                f.write_str("cannot connect: ")?;
                for (index, FailedAttempt { address, error }) in failed.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{address}: {error}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for DialError {}

impl From<DialError> for io::Error {
    /// Keeps the kind of the first failure.
    fn from(error: DialError) -> Self {
        let kind = match &error {
            DialError::Lookup { error, .. } => error.kind(),
            DialError::Attempts(failed) => {
                failed.first().map_or(io::ErrorKind::Other, |attempt| attempt.error.kind())
            }
        };
        Self::new(kind, error)
    }
}

/// Alternates the address families, starting with the family of the first address. Keeps the order within a family,
/// removes duplicates and keeps at most [`MAX_ATTEMPTS`] addresses.
fn interleave(found: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut unique = Vec::new();
    for address in found {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let first_is_ipv6 = unique.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        unique.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    while ordered.len() < MAX_ATTEMPTS {
        let pair = [first.next(), second.next()];
        if pair.iter().all(Option::is_none) {
            break;
        }
        ordered.extend(pair.into_iter().flatten());
    }
    ordered.truncate(MAX_ATTEMPTS);
    ordered
}

/// Starts the attempts one after the other, [`STAGGER`] apart or at the failure of an earlier attempt. Returns the
/// first success, or all failures.
async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    attempt_limit: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<FailedAttempt>>
where
    F: Future<Output = io::Result<T>>,
{
    let attempt = |address| {
        let connecting = timeout(attempt_limit, connect(address));
        async move {
            let outcome = connecting.await.unwrap_or_else(|_| Err(no_answer(attempt_limit)));
            outcome.map_err(|error| FailedAttempt { address, error })
        }
    };
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        running.extend(waiting.next().map(attempt));
        tokio::select! {
            outcome = running.next() => match outcome {
                Some(Ok(connection)) => return Ok(connection),
                Some(Err(attempt)) => failed.push(attempt),
                None => return Err(failed),
            },
            () = sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

fn no_answer(limit: Duration) -> io::Error {
    let text = format!("no answer within {} s", limit.as_secs_f32());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests;
