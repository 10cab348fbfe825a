//! The streams of a partition as plain data, with their transports, sessions and callers.
//!
//! Used by the event loop of the partition: mail is dispatched to the stream machines, one turn at a time, and the
//! released outputs are sent. Does not use the store.
//!
//! This file holds the data and the functions that the others in this module share.

mod accounts;
mod attach;
mod context;
mod deadlines;
mod dispatch;
mod gauges;
mod identities;
mod index;
mod known_claims;
mod loss_report;
mod memory;
mod output_routing;
mod push_batch;
mod reassignment;
mod recurring_lines;
mod resume_key;
mod retained_budget;
mod service_selection;
mod shedding;
mod silence;
mod stream_calls;
mod tombstones;
mod turn_end;
mod waiting_mail;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{ClaimTag, MessageNumber, StreamNumber};
use tokio::sync::oneshot;

use self::accounts::{AccountedStream, Budgets};
use self::deadlines::Deadlines;
use self::gauges::{Gauges, Held};
use self::index::StreamIndex;
use self::known_claims::KnownClaims;
use self::loss_report::LossReport;
use self::push_batch::PushBatch;
use self::retained_budget::RetainedBudget;
use self::service_selection::ServiceSelection;
use self::tombstones::{StreamKey, Tombstones};
use super::assignment::{Assignment, NeededInstance};
use super::counters::{Counters, add, subtract};
use super::mailbox::LinkHandle;
use super::recovery::is_placeholder;
use super::setup::{Clock, PartitionSetup};
use super::subprotocols::Subprotocols;
use crate::limits::Limits;
use crate::memory_budget::MemoryBudget;
use crate::memory_level::MemoryLevel;
use crate::state::{CreatedTags, Meta, Snapshot, StreamState, UnwrittenMessages};
use crate::store::Epoch;
use crate::stream::{
    Effects, Intake, LinkId, Millis, Stream, StreamCallId, StreamReply, TransportKey, Turn,
};

/// Time after a claim for the instances of a running deployment to return, in milliseconds. The SDK pauses for 3 s at most.
const RETURN_MS: u64 = 5_000;

/// The streams of one partition.
pub(super) struct PartitionStreams {
    partition: u32,
    /// Epoch of the owner; reported to app instances.
    epoch: Epoch,
    limits: Limits,
    /// Time that a stream waits for the instance to reconnect, in milliseconds.
    app_grace_ms: u64,
    /// The same after a broken connection, with another instance.
    app_crash_grace_ms: u64,
    /// Deliveries after which a stream at which each instance died ends; 0: never.
    max_attempts: u32,
    counters: Arc<Counters>,
    memory: Arc<MemoryBudget>,
    /// For the start time of streams.
    wall_clock: Clock,
    /// Boxed, because the nodes of a map that grows at the end are half empty.
    streams: BTreeMap<StreamNumber, Box<AccountedStream>>,
    budgets: Budgets,
    /// Streams of unknown services that ended before `expects_services_until`.
    ended_early: BTreeSet<StreamNumber>,
    /// Streams by requested service and id; the last one if several had the same. Clients choose the keys, so the map
    /// uses SipHash.
    by_id: HashMap<StreamKey, StreamNumber>,
    /// Streams by label and group.
    index: StreamIndex,
    /// Lost streams with an unknown service and id: the loss is reported to every session.
    placeholders: BTreeSet<StreamNumber>,
    /// Number of streams ever created.
    streams_made: u64,
    /// Claims that created the streams.
    created_tags: CreatedTags,
    /// Tag of the owner's claim.
    tag: ClaimTag,
    /// Whether the finish of a stream, and streams of version 3, may be stored.
    stores_finish: bool,
    stores_kinds: bool,
    stores_sessions: bool,
    stores_identities: bool,
    /// Wall clock less the monotonic clock, in milliseconds.
    wall_offset: u64,
    retained: RetainedBudget,
    known_claims: KnownClaims,
    losses: LossReport,
    tombstones: Tombstones,
    /// Until this time the instances of a running deployment return, so that a service without one may still be known.
    expects_services_until: Millis,
    /// The streams of the attached transports.
    transports: BTreeMap<TransportKey, StreamNumber>,
    links: BTreeMap<LinkId, LinkHandle>,
    assignment: Assignment,
    selection: ServiceSelection,
    /// Pushes of this turn that are carried out together.
    pushes: PushBatch,
    /// Callers that wait for the reply to a stream call.
    callers: HashMap<StreamCallId, oneshot::Sender<StreamReply>>,
    deadlines: Deadlines,
    /// Streams with an input in this turn.
    touched: BTreeSet<StreamNumber>,
    /// Streams with batches that may wait for memory.
    waiting_for_memory: BTreeSet<StreamNumber>,
    gauges: Gauges,
}

impl PartitionStreams {
    /// Takes over the recovered streams; all deadlines restart.
    pub(super) fn new(
        setup: &PartitionSetup,
        epoch: Epoch,
        recovered: BTreeMap<StreamNumber, StreamState>,
        meta: Meta,
        now: Millis,
    ) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let app_grace_ms = ms(setup.options.app_grace);
        let max_idle_ms = setup.limits.max_idle_ms();
        let mut this = Self {
            partition: setup.partition,
            epoch,
            limits: setup.limits.clone(),
            app_grace_ms,
            app_crash_grace_ms: ms(setup.options.app_crash_grace),
            max_attempts: setup.options.max_attempts,
            counters: setup.counters.clone(),
            memory: Arc::clone(&setup.memory),
            wall_clock: setup.wall_clock.clone(),
            streams: BTreeMap::new(),
            budgets: Budgets::new(setup.usage.clone(), setup.counters.clone()),
            ended_early: BTreeSet::new(),
            by_id: HashMap::new(),
            index: StreamIndex::default(),
            placeholders: BTreeSet::new(),
            streams_made: meta.streams_made,
            created_tags: meta.created_tags.clone(),
            tag: ClaimTag::UNKNOWN,
            stores_finish: false,
            stores_kinds: false,
            stores_sessions: false,
            stores_identities: false,
            wall_offset: (setup.wall_clock)().0.wrapping_sub(now.0),
            retained: RetainedBudget::default(),
            known_claims: KnownClaims::default(),
            losses: LossReport::default(),
            tombstones: Tombstones::new(&meta, now, app_grace_ms, max_idle_ms),
            expects_services_until: now.after(app_grace_ms.max(RETURN_MS)),
            transports: BTreeMap::new(),
            links: BTreeMap::new(),
            assignment: Assignment::default(),
            selection: ServiceSelection::new(Subprotocols::new(&setup.options.subprotocols)),
            pushes: PushBatch::default(),
            callers: HashMap::new(),
            deadlines: Deadlines::default(),
            touched: BTreeSet::new(),
            waiting_for_memory: BTreeSet::new(),
            gauges: Gauges::new(setup.counters.clone()),
        };
        for (number, state) in recovered {
            this.restore(number, state, now);
        }
        for (number, from) in unwritten(meta) {
            if let Some(stream) = this.streams.get_mut(&number) {
                stream.set_unwritten_from(from);
            }
        }
        let held = this.streams.values().map(|stream| Held::of(stream));
        this.gauges.start(held, this.assignment.waiting());
        this
    }

    fn restore(&mut self, number: StreamNumber, state: StreamState, now: Millis) {
        let origin = state.origin().clone();
        // The numbers ascend, so the last stream with an id replaces the earlier ones.
        if !mutation::is(Mutation::ForgetIds) {
            self.by_id.insert((origin.service.clone(), origin.id.clone()), number);
        }
        let instance =
            state.instance().map(|instance| (instance.clone(), now.after(self.app_grace_ms)));
        if !mutation::is(Mutation::ForgetGroups) {
            self.index.add(number, &state);
        }
        let mut stream = Stream::recover(number, state, now);
        stream.set_token_times((now, self.wall_ms(now)), &self.limits);
        if is_placeholder(stream.state()) {
            self.placeholders.insert(number);
        } else if !self.selection.offer(&mut stream) {
            self.assignment.add(number, NeededInstance::of(stream.state()), instance);
        }
        self.deadlines.set(number, stream.next_deadline(&self.limits));
        let stream = self.budgets.restored(stream);
        self.streams.insert(number, Box::new(stream));
        self.count_retained(number);
        self.delay_suspect(number, 0);
        add(&self.counters.streams, 1);
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// The meta blob of a checkpoint.
    pub(super) fn meta(&self, now: Millis) -> Meta {
        Meta {
            streams_made: self.streams_made,
            rollback: self.tombstones.rollback(now),
            created_tags: self.created_tags.clone(),
            checkpoint: None,
        }
    }

    /// The meta blob of the last checkpoint before a release; no message is written to a client afterwards.
    pub(super) fn last_meta(&self, now: Millis) -> Meta {
        let mut meta = self.meta(now);
        if let Some(rollback) = &mut meta.rollback {
            let streams = self.streams.iter();
            let unwritten = streams
                .filter_map(|(number, stream)| Some((*number, stream.unwritten_from()?)))
                .collect();
            rollback.unwritten = Some(UnwrittenMessages { epoch: self.epoch.0, from: unwritten });
        }
        meta
    }

    pub(super) fn numbers(&self) -> BTreeSet<StreamNumber> {
        self.streams.keys().copied().collect()
    }

    /// Snapshot of a stream for a checkpoint; `None` if the stream is forgotten.
    pub(super) fn snapshot(&self, number: StreamNumber) -> Option<Snapshot> {
        self.streams.get(&number).map(|stream| stream.state().snapshot())
    }

    /// The time of the next turn without mail.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let released = self.may_accept_waiting().then_some(Millis(0));
        let free_at = (!self.ended_early.is_empty()).then_some(self.expects_services_until);
        let (deadlines, budgets) = (self.deadlines.first(), self.budgets.deadline());
        let others = [self.assignment.next_deadline(), self.losses.deadline(), released, free_at];
        [deadlines, budgets].into_iter().chain(others).flatten().min()
    }

    /// Removes this partition from the gauges of the process.
    pub(super) fn remove_from_counters(&self) {
        subtract(&self.counters.transports, self.transports.len() as u64);
        subtract(&self.counters.streams, self.streams.len() as u64);
        self.gauges.remove();
    }

    /// Runs an input of a stream machine; `None` if there is no such stream.
    fn with_stream<R>(
        &mut self,
        number: StreamNumber,
        now: Millis,
        effects: &mut Effects,
        run: impl FnOnce(&mut Stream, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        let stream = self.streams.get_mut(&number)?;
        self.touched.insert(number);
        let before = Held::of(stream);
        let budgets = stream.intake(&self.limits);
        let intake = self.memory.level().intake().min(budgets);
        let mut turn = Turn {
            now,
            wall_ms: self.wall_offset.wrapping_add(now.0),
            tag: self.tag,
            stores_finish: self.stores_finish,
            limits: &self.limits,
            intake,
            effects,
        };
        let result = run(stream, &mut turn);
        self.gauges.change(before, Held::of(stream));
        stream.update(&self.budgets.usage);
        if budgets < Intake::All && stream.has_parked() {
            self.budgets.blocked.insert(number, now);
        }
        self.unassign_if_done(number);
        Some(result)
    }

    /// As `with_stream`, for inputs that may change the service, the label or the groups.
    fn with_indexed_stream<R>(
        &mut self,
        number: StreamNumber,
        now: Millis,
        effects: &mut Effects,
        run: impl FnOnce(&mut Stream, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        self.index.remove(number, self.streams.get(&number)?.state());
        let result = self.with_stream(number, now, effects, run);
        self.index.add(number, self.streams.get(&number)?.state());
        result
    }

    /// As `with_stream`, for inputs of the client; the first message may select the service.
    fn with_client_input(
        &mut self,
        number: StreamNumber,
        now: Millis,
        effects: &mut Effects,
        run: impl FnOnce(&mut Stream, &mut Turn<'_>),
    ) {
        if self.selection.contains(number) {
            self.with_indexed_stream(number, now, effects, run);
        } else {
            self.with_stream(number, now, effects, run);
        }
        if self.memory.level() >= MemoryLevel::NoReading
            && self.streams.get(&number).is_some_and(|stream| stream.has_parked())
        {
            self.waiting_for_memory.insert(number);
        }
    }

    /// Removes a transport; returns the stream.
    fn forget_transport(&mut self, key: TransportKey) -> Option<StreamNumber> {
        let stream = self.transports.remove(&key)?;
        subtract(&self.counters.transports, 1);
        Some(stream)
    }
}

/// The messages that the earlier owner has written to no client.
fn unwritten(meta: Meta) -> Vec<(StreamNumber, MessageNumber)> {
    let unwritten = meta.rollback.and_then(|rollback| rollback.unwritten);
    unwritten.map_or_else(Vec::new, |unwritten| unwritten.from)
}
