//! The streams of a partition with their shares of the budgets by address and by service.
//!
//! A budget restricts the c2s messages that a stream takes; see `docs/operations.md`. The streams that wait for room in a
//! budget are tried again after a pause, because other partitions free the room.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use minerva_proto::{AddressKey, StreamNumber, is_private_address};

use super::super::counters::{Counters, replace};
use super::super::usage::{Usage, UsageShare};
use super::shedding::Shedding;
use crate::limits::Limits;
use crate::stream::{Intake, Millis, Stream};

/// Pause before streams without room in a budget are tried again, in milliseconds.
const RETRY_MS: u64 = 200;

/// Usage of the budgets, and the streams of this partition that they stop.
pub(super) struct Budgets {
    pub(super) usage: Usage,
    pub(super) blocked: BlockedStreams,
    pub(super) shedding: Shedding,
}

impl Budgets {
    pub(super) fn new(usage: Usage, counters: Arc<Counters>) -> Self {
        Self { usage, blocked: BlockedStreams::new(counters), shedding: Shedding::default() }
    }

    /// The time of the next turn without mail.
    pub(super) fn deadline(&self) -> Option<Millis> {
        self.blocked.retry_at.into_iter().chain(self.shedding.deadline()).min()
    }

    /// Accounts for a stream from the store.
    pub(super) fn restored(&self, stream: Stream) -> AccountedStream {
        let address = stored_address(&stream.state().origin().peer_address);
        let is_exempt = address.is_exempt();
        let address = (!is_exempt).then(|| self.usage.addresses.open_unlimited(&address));
        AccountedStream::new(stream, address, &self.usage)
    }
}

/// A stream and the budgets that count it.
pub(super) struct AccountedStream {
    stream: Stream,
    /// `None` if the client is exempt.
    address: Option<UsageShare<AddressKey>>,
    service: UsageShare<Arc<str>>,
    /// `None` without retained messages, and if the client is exempt.
    retained: Option<UsageShare<AddressKey>>,
}

impl Deref for AccountedStream {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl DerefMut for AccountedStream {
    fn deref_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }
}

impl AccountedStream {
    pub(super) fn new(
        stream: Stream,
        address: Option<UsageShare<AddressKey>>,
        usage: &Usage,
    ) -> Self {
        let service = usage.services.open_unlimited(stream.state().service());
        let mut this = Self { stream, address, service, retained: None };
        this.update(usage);
        this
    }

    /// Counts the stream as it is after an input.
    pub(super) fn update(&mut self, usage: &Usage) {
        let state = self.stream.state();
        let bytes = state.inbox().bytes() + state.window().waiting_bytes();
        if self.service.key() != state.service() {
            self.service = usage.services.open_unlimited(state.service());
        }
        self.service.set(bytes);
        if let Some(address) = &mut self.address {
            address.set(bytes);
        }
        self.update_retained(usage);
    }

    fn update_retained(&mut self, usage: &Usage) {
        let bytes = self.stream.state().outbox().retained_bytes();
        match &self.address {
            Some(address) if bytes > 0 => {
                let open = || usage.retained.open_unlimited(address.key());
                self.retained.get_or_insert_with(open).set(bytes);
            }
            Some(_) | None => self.retained = None,
        }
    }

    /// Retained bytes of this stream that the address has beyond the limit.
    pub(super) fn excess_retained(&self, limit: u64) -> usize {
        let excess = self.retained.as_ref().map_or(0, |share| share.bytes().saturating_sub(limit));
        let own = self.stream.state().outbox().retained_bytes();
        usize::try_from(excess).unwrap_or(usize::MAX).min(own)
    }

    /// Counts the stream for the address of a new transport.
    pub(super) fn move_to(&mut self, address: AddressKey, usage: &Usage) {
        if self.address_key() != address {
            let is_exempt = address.is_exempt();
            self.address = (!is_exempt).then(|| usage.addresses.open_unlimited(&address));
            self.retained = None;
            self.update(usage);
        }
    }

    fn address_key(&self) -> AddressKey {
        self.address.as_ref().map_or(AddressKey::EXEMPT, |share| *share.key())
    }

    /// Whether the address has more streams or bytes than its budget.
    pub(super) fn is_above_budget(&self, limits: &Limits) -> bool {
        self.address.as_ref().is_some_and(|address| {
            address.streams() > limits.max_streams_per_address
                || address.bytes() > limits.max_held_bytes_per_address
        })
    }

    /// The c2s messages that the budgets admit.
    ///
    /// A stream with messages behind a gap takes the missing ones beyond the budget of its address: only then can the
    /// application free the others.
    pub(super) fn intake(&self, limits: &Limits) -> Intake {
        let is_service_full = self.service.bytes() >= limits.max_inbox_bytes_per_service;
        if is_service_full && self.stream.session().is_none() {
            return Intake::Nothing;
        }
        let held = self.address.as_ref().map_or(0, UsageShare::bytes);
        if held < limits.max_held_bytes_per_address {
            Intake::All
        } else if self.stream.state().window().waiting_bytes() > 0 {
            Intake::InOrder
        } else {
            Intake::Nothing
        }
    }
}

/// The address for which a stream from the store counts until a transport attaches: that of the client that created the
/// stream, unless the address may belong to a proxy.
fn stored_address(peer_address: &str) -> AddressKey {
    let address =
        peer_address.parse().ok().filter(|address: &IpAddr| !is_private_address(*address));
    address.map_or(AddressKey::EXEMPT, AddressKey::of)
}

/// The streams whose messages wait for room in a budget.
pub(super) struct BlockedStreams {
    streams: BTreeSet<StreamNumber>,
    retry_at: Option<Millis>,
    counters: Arc<Counters>,
    /// Number of streams in the counters.
    exported: usize,
}

impl BlockedStreams {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { streams: BTreeSet::new(), retry_at: None, counters, exported: 0 }
    }

    pub(super) fn insert(&mut self, stream: StreamNumber, now: Millis) {
        self.streams.insert(stream);
        self.retry_at.get_or_insert(now.after(RETRY_MS));
    }

    /// Removes the streams if an attempt is due.
    pub(super) fn take_due(&mut self, now: Millis) -> BTreeSet<StreamNumber> {
        if self.retry_at.take_if(|at| *at <= now).is_none() {
            return BTreeSet::new();
        }
        std::mem::take(&mut self.streams)
    }

    pub(super) fn export(&mut self) {
        let now = self.streams.len();
        replace(&self.counters.blocked, self.exported, now);
        self.exported = now;
    }
}

impl Drop for BlockedStreams {
    fn drop(&mut self) {
        replace(&self.counters.blocked, self.exported, 0);
    }
}
