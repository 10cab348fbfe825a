//! Limits by client address and stream: connections, hellos for unknown streams, takeovers. The tables are pure; this
//! file adds lock, clock, metrics and permits. Asked by `listener.rs`, `http.rs` and `session.rs`.

mod address_table;
mod idle_map;
mod known_streams;
mod takeovers;
#[cfg(test)]
mod tests;
mod token_bucket;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use minerva_proto::{AddressKey, StreamId, is_private_address};
use minerva_runtime::recurring::RecurringFaults;

use crate::access::TrustedProxies;
use crate::clock;
use crate::metrics::{Limit, Metrics, Refused};
use address_table::{AddressTable, Admitted};
use known_streams::KnownStreams;
use takeovers::Takeovers;

/// Wait before the next attempt after a refused connection.
pub(crate) const CONNECTION_RETRY: Duration = Duration::from_secs(10);

/// Bytes of an unfinished frame that are not charged, and the step of charges.
const FREE_BYTES: usize = 64 * 1024;

/// One address may use this part of the budget for unfinished frames, and at least one frame of the maximum length.
const ADDRESS_SHARE: usize = 4;

/// Limits of the options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdmissionLimits {
    /// Open connections of one address.
    pub(crate) connections: u32,
    /// Hellos of one address for unknown streams, in each second.
    pub(crate) unknown_streams: u32,
    /// Takeovers of one stream, in each second.
    pub(crate) takeovers: u32,
    /// Bytes of unfinished frames of all clients.
    pub(crate) unfinished: usize,
    /// Longest frame in bytes.
    pub(crate) max_frame: usize,
}

impl AdmissionLimits {
    /// Bytes of unfinished frames of one address.
    fn unfinished_of_address(&self) -> usize {
        (self.unfinished / ADDRESS_SHARE).max(self.max_frame + FREE_BYTES)
    }
}

/// The tables of one edge.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: AdmissionLimits,
    proxies: TrustedProxies,
    metrics: Metrics,
    addresses: Mutex<AddressTable>,
    takeovers: Mutex<Takeovers>,
    known_streams: Mutex<KnownStreams>,
    /// Random keys: clients choose their stream ids.
    hasher: RandomState,
    /// Whether the warning about an exempt address was logged.
    has_warned: AtomicBool,
    /// Refused connections in the log.
    refusals: RecurringFaults,
}

/// One connection, or one transport behind a proxy, of a client address. Dropping it releases the count.
#[derive(Debug)]
pub(crate) struct AddressPermit {
    admission: Arc<Admission>,
    key: AddressKey,
    is_exempt: bool,
}

/// How the client of an accepted connection is counted.
#[derive(Debug)]
pub(crate) enum Admittance {
    /// The peer is the client, and is within the limit.
    Direct(Arc<AddressPermit>),
    /// The peer is the client, and is beyond the limit: its requests are refused.
    Refused {
        /// Held until the connection closes.
        _permit: RefusalPermit,
    },
    /// The peer is a trusted proxy: each transport counts for its client.
    Proxied,
}

/// Memory of one transport for its unfinished frame.
#[derive(Debug)]
pub(crate) struct FrameMemory {
    address: Arc<AddressPermit>,
    bytes: usize,
}

/// A connection beyond the limit, until its refusal is written.
#[derive(Debug)]
pub(crate) struct RefusalPermit {
    admission: Arc<Admission>,
    key: AddressKey,
}

/// An open transport that wants messages.
#[derive(Debug)]
pub(crate) struct PrimaryPermit {
    admission: Arc<Admission>,
    stream: u64,
}

/// The address has too many connections. `None` if its refusals under way have reached their limit, too.
#[derive(Debug)]
pub(crate) struct OverLimit(pub(crate) Option<RefusalPermit>);

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits, proxies: TrustedProxies, metrics: Metrics) -> Self {
        Self {
            limits,
            proxies,
            metrics,
            addresses: Mutex::default(),
            takeovers: Mutex::default(),
            known_streams: Mutex::default(),
            hasher: RandomState::new(),
            has_warned: AtomicBool::new(false),
            refusals: RecurringFaults::new(),
        }
    }

    /// Counts a connection of this address, or refuses it.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr) -> Result<AddressPermit, OverLimit> {
        let client = client.to_canonical();
        let (key, is_exempt) = (AddressKey::of(client), self.is_exempt(client));
        let limit = if is_exempt { u32::MAX } else { self.limits.connections };
        let admitted = lock(&self.addresses).open(clock::now(), key, limit);
        let admission = Arc::clone(self);
        match admitted {
            Admitted::Yes(count) => {
                if count > self.limits.connections {
                    self.warn_of_exemption(client);
                }
                return Ok(AddressPermit { admission, key, is_exempt });
            }
            Admitted::Refuse | Admitted::Close => {
                self.count(Limit::connections);
                self.warn_of_refusals(client);
            }
        }
        let is_refused = admitted == Admitted::Refuse;
        Err(OverLimit(is_refused.then_some(RefusalPermit { admission, key })))
    }

    /// Counts an accepted connection; `None` if it must be closed without a response.
    pub(crate) fn admit_peer(self: &Arc<Self>, peer: IpAddr, is_proxy: bool) -> Option<Admittance> {
        if is_proxy || self.proxies.trusts(peer.to_canonical()) {
            return Some(Admittance::Proxied);
        }
        match self.admit(peer) {
            Ok(permit) => Some(Admittance::Direct(Arc::new(permit))),
            Err(OverLimit(refusal)) => {
                refusal.map(|permit| Admittance::Refused { _permit: permit })
            }
        }
    }

    /// Trusted proxies have no limit of their own. Without any, a private peer may be a proxy for all clients.
    fn is_exempt(&self, client: IpAddr) -> bool {
        self.proxies.trusts(client) || (self.proxies.is_empty() && is_private_address(client))
    }

    fn warn_of_exemption(&self, client: IpAddr) {
        if self.proxies.is_empty() && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                address = %client,
                connections = self.limits.connections,
                "this private address exceeds --max-connections-per-address and is not limited, since it may be a \
                 proxy: list proxies in --trust-forwarded-for"
            );
        }
    }

    fn warn_of_refusals(&self, client: IpAddr) {
        if let Some(refused) = self.refusals_to_log() {
            tracing::warn!(
                address = %client,
                refused,
                "this address has reached --max-connections-per-address; it may be a proxy: list it in \
                 --trust-forwarded-for"
            );
        }
    }

    /// Number of refusals since the last line, if a line is due. With trusted proxies a refused address is no proxy.
    fn refusals_to_log(&self) -> Option<u64> {
        let may_be_proxy = self.proxies.is_empty();
        may_be_proxy.then(|| self.refusals.record("connections", clock::now())).flatten()
    }

    fn count(&self, limit: Limit) {
        self.metrics.refused.get_or_create(&Refused { limit }).inc();
    }

    /// Notes whether the stream is open, so that its next hellos pass the limit of hellos for unknown streams.
    pub(crate) fn note_stream(&self, stream: &StreamId, is_open: bool) {
        let stream = self.hasher.hash_one(stream);
        let mut known = lock(&self.known_streams);
        if is_open {
            known.remember(clock::now(), stream);
        } else {
            known.forget(stream);
        }
    }

    fn knows(&self, stream: &StreamId) -> bool {
        let stream = self.hasher.hash_one(stream);
        lock(&self.known_streams).contains(clock::now(), stream)
    }

    /// Counts a transport that wants messages; returns the wait if the stream was taken over too often.
    pub(crate) fn open_primary(
        self: &Arc<Self>,
        stream: &StreamId,
    ) -> Result<PrimaryPermit, Duration> {
        let stream = self.hasher.hash_one(stream);
        let opened = lock(&self.takeovers).open(clock::now(), stream, self.limits.takeovers);
        match opened {
            Ok(true) => drop(self.metrics.takeovers.inc()),
            Ok(false) => {}
            Err(_) => self.count(Limit::takeovers),
        }
        opened.map(|_| PrimaryPermit { admission: Arc::clone(self), stream })
    }
}

impl Admittance {
    /// Permit of one transport of `client`; `None` beyond the limit.
    pub(crate) fn permit(
        &self,
        admission: &Arc<Admission>,
        client: IpAddr,
    ) -> Option<Arc<AddressPermit>> {
        match self {
            Self::Direct(permit) => Some(Arc::clone(permit)),
            Self::Refused { .. } => None,
            Self::Proxied => admission.admit(client).ok().map(Arc::new),
        }
    }
}

impl AddressPermit {
    /// The key under which cores count this client.
    pub(crate) fn shared_key(&self) -> AddressKey {
        if self.is_exempt { AddressKey::EXEMPT } else { self.key }
    }

    /// Counts a hello whose stream no core knows.
    pub(crate) fn on_unknown_stream(&self) {
        if !self.is_exempt {
            let per_second = self.admission.limits.unknown_streams;
            let mut addresses = lock(&self.admission.addresses);
            addresses.on_unknown_stream(clock::now(), self.key, per_second);
        }
    }

    /// Wait before a hello of this address that does not create its stream; `None` within the limit, and for a stream
    /// that was open at this edge in the last minutes.
    pub(crate) fn unknown_stream_wait(&self, stream: &StreamId) -> Option<Duration> {
        let per_second = self.admission.limits.unknown_streams;
        let addresses = lock(&self.admission.addresses);
        let wait = addresses.unknown_stream_wait(clock::now(), self.key, per_second)?;
        drop(addresses);
        if self.admission.knows(stream) {
            return None;
        }
        self.admission.count(Limit::unknown_streams);
        Some(wait)
    }
}

impl FrameMemory {
    pub(crate) fn new(address: Arc<AddressPermit>) -> Self {
        Self { address, bytes: 0 }
    }

    /// Charges an unfinished frame of this length; `false` without a change if the budget is used up.
    pub(crate) fn resize(&mut self, unfinished: usize) -> bool {
        let bytes = unfinished.saturating_sub(FREE_BYTES).next_multiple_of(FREE_BYTES);
        if bytes == self.bytes {
            return true;
        }
        let AddressPermit { admission, key, is_exempt } = &*self.address;
        let all = admission.limits.unfinished;
        let of_address = admission.limits.unfinished_of_address();
        let limits = (all, if *is_exempt { all } else { of_address });
        let mut addresses = lock(&admission.addresses);
        let fits = addresses.charge(*key, (self.bytes, bytes), limits);
        admission.metrics.unfinished_bytes.set(addresses.unfinished() as i64);
        drop(addresses);
        if fits {
            self.bytes = bytes;
        } else {
            admission.count(Limit::unfinished_frames);
        }
        fits
    }
}

impl Drop for FrameMemory {
    fn drop(&mut self) {
        self.resize(0);
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        lock(&self.admission.addresses).close(clock::now(), self.key);
    }
}

impl Drop for RefusalPermit {
    fn drop(&mut self) {
        lock(&self.admission.addresses).end_refusal(clock::now(), self.key);
    }
}

impl Drop for PrimaryPermit {
    fn drop(&mut self) {
        lock(&self.admission.takeovers).close(clock::now(), self.stream);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
