//! What a partition owns while it owns: its streams as plain data, and where its edges and applications
//! are. Turns mail into calls of the stream machines, one turn at a time, and says what comes out.
//! Knows no store.

mod calls;
mod choosing;
mod departed;
mod index;
mod mail;
mod pushes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use minerva_proto::StreamId;
use minerva_proto::planted::{self, Bug};
use tokio::sync::oneshot;

use super::assignment::Assignment;
use super::counters::{Counters, add, replace, subtract};
use super::mailbox::LinkId;
use super::subprotocols::Subprotocols;
use super::{Answer, CallId, Clock, Outputs, Setup};
use crate::limits::Limits;
use crate::record::{Left, Meta, Record, Snapshot};
use crate::store::Epoch;
use crate::stream::{
    AppOutput, CloseCause, EdgeOutput, Effects, Millis, Output, RefusedReason, Stream, StreamState,
    TransportKey, Turn,
};

use choosing::Choosing;
use departed::Departed;
use index::Index;
use pushes::Pushes;

/// A partition's streams and whom they talk to.
pub(super) struct Owner {
    partition: u32,
    /// Under which it owns; applications are told.
    pub(super) epoch: Epoch,
    limits: Limits,
    /// How long streams wait for their instance to come back, in milliseconds.
    app_grace_ms: u64,
    counters: Arc<Counters>,
    /// For what applications are told of a stream's beginning.
    wall_clock: Clock,
    /// Boxed, as the nodes of a map that grows at its end are half empty.
    streams: BTreeMap<u64, Box<Stream>>,
    /// The streams by what clients call them; of several with one id, the last one. Keyed by clients: a map with SipHash.
    by_id: HashMap<(Arc<str>, StreamId), u64>,
    /// The streams by what applications call them.
    index: Index,
    /// How many streams were ever made.
    streams_made: u64,
    /// What is known of streams that are not there.
    departed: Departed,
    /// Whose the attached transports are.
    transports: BTreeMap<TransportKey, u64>,
    links: BTreeMap<LinkId, Outputs<EdgeOutput>>,
    assignment: Assignment,
    choosing: Choosing,
    /// Sends from outside of this turn that are to be carried out together.
    pushes: Pushes,
    /// Who waits for answers.
    callers: HashMap<CallId, oneshot::Sender<Answer>>,
    /// The streams' deadlines, and where to find them.
    deadlines: BTreeSet<(Millis, u64)>,
    deadline_of: HashMap<u64, Millis>,
    /// Streams that something happened to in this turn.
    touched: BTreeSet<u64>,
    /// What the streams hold now, and what of it is in `counters`.
    held: Held,
    shown: Held,
}

/// How much the streams of a partition hold.
#[derive(Clone, Copy, Default)]
struct Held {
    inbox_bytes: usize,
    outbox_bytes: usize,
    unserved: usize,
}

impl Owner {
    /// Takes over what was recovered; all deadlines begin anew.
    pub(super) fn new(
        setup: &Setup,
        epoch: Epoch,
        recovered: BTreeMap<u64, StreamState>,
        meta: Meta,
        now: Millis,
    ) -> Self {
        let app_grace_ms = u64::try_from(setup.options.app_grace.as_millis()).unwrap_or(u64::MAX);
        let mut owner = Self {
            partition: setup.partition,
            epoch,
            limits: setup.limits.clone(),
            app_grace_ms,
            counters: setup.counters.clone(),
            wall_clock: setup.wall_clock.clone(),
            streams: BTreeMap::new(),
            by_id: HashMap::new(),
            index: Index::default(),
            streams_made: meta.streams_made,
            departed: Departed::new(&meta, now, app_grace_ms, setup.limits.max_idle_ms()),
            transports: BTreeMap::new(),
            links: BTreeMap::new(),
            assignment: Assignment::default(),
            choosing: Choosing::new(Subprotocols::new(&setup.options.subprotocols)),
            pushes: Pushes::default(),
            callers: HashMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: HashMap::new(),
            touched: BTreeSet::new(),
            held: Held::default(),
            shown: Held::default(),
        };
        for (number, state) in recovered {
            let origin = state.origin().clone();
            // Of several with one id, the last one counts.
            if !planted::is(Bug::ForgetIds) {
                owner.by_id.insert((origin.service.clone(), origin.id.clone()), number);
            }
            let grace = Millis(now.0.saturating_add(app_grace_ms));
            let instance = state.instance().map(|instance| (instance.clone(), grace));
            let service = state.service().clone();
            if !planted::is(Bug::ForgetGroups) {
                owner.index.add(number, &state);
            }
            let mut stream = Stream::recover(number, state, now);
            if !owner.choosing.offer(&mut stream) {
                owner.assignment.add(number, service, instance);
            }
            owner.set_deadline(number, stream.next_deadline(&owner.limits));
            owner.streams.insert(number, Box::new(stream));
            add(&owner.counters.streams, 1);
        }
        for (number, from) in unwritten(meta) {
            if let Some(stream) = owner.streams.get_mut(&number) {
                stream.on_unwritten(from);
            }
        }
        owner.held.inbox_bytes = owner.streams.values().map(|stream| held_bytes(stream).0).sum();
        owner.held.outbox_bytes = owner.streams.values().map(|stream| held_bytes(stream).1).sum();
        owner.held.unserved = owner.assignment.waiting();
        owner.show_held();
        owner
    }

    /// How many streams there are.
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// What a checkpoint keeps beside the streams.
    pub(super) fn meta(&self, now: Millis) -> Meta {
        Meta { streams_made: self.streams_made, went_back: self.departed.went_back(now) }
    }

    /// The same for the last checkpoint: nothing is written to anybody afterwards.
    pub(super) fn last_meta(&self, now: Millis) -> Meta {
        let mut meta = self.meta(now);
        if let Some(went_back) = &mut meta.went_back {
            let of_each = self.streams.iter();
            let unwritten = of_each
                .filter_map(|(number, stream)| Some((*number, stream.unwritten_from()?)))
                .collect();
            went_back.left = Some(Left { epoch: self.epoch.0, unwritten });
        }
        meta
    }

    /// The numbers of all streams.
    pub(super) fn numbers(&self) -> BTreeSet<u64> {
        self.streams.keys().copied().collect()
    }

    /// A stream for a checkpoint; `None` if it is gone.
    pub(super) fn save(&self, number: u64) -> Option<Snapshot> {
        self.streams.get(&number).map(|stream| stream.state().snapshot())
    }

    /// When [`Owner::finish_turn`] must be called next, mail or not.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        let stream = self.deadlines.first().map(|(at, _)| *at);
        stream.into_iter().chain(self.assignment.next_deadline()).min()
    }

    /// Ends a turn: what is due happens, and every stream that was touched writes and delivers.
    pub(super) fn finish_turn(&mut self, now: Millis, effects: &mut Effects) {
        self.push_all(now, effects);
        self.end_grace(now, effects);
        while let Some((_, number)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            self.set_deadline(number, None);
            let was_forgotten = self.with_stream(number, now, effects, |stream, turn| {
                let was_ended = stream.state().is_ended();
                stream.on_timeout(turn);
                was_ended && stream.state().inbox().is_done()
            });
            add(&self.counters.forgotten, u64::from(was_forgotten == Some(true)));
        }
        for number in std::mem::take(&mut self.touched) {
            self.place(number, now, effects);
            self.with_stream(number, now, effects, |stream, turn| stream.flush(turn));
            self.settle(number, now);
        }
        self.touched.clear();
        self.forget_closed(effects);
        self.count(effects);
    }

    /// Says what may be said. Whoever is gone needs no answer.
    pub(super) fn say(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Edge(link, output) => {
                    if let Some(link) = self.links.get(&link) {
                        link.send(output);
                    }
                }
                Output::App(session, mut output) => {
                    self.put_epoch(&mut output);
                    if let Some(session) = self.assignment.session(session) {
                        session.outputs.send(output);
                    }
                }
                Output::Answer(call, answer) => {
                    if let Some(caller) = self.callers.remove(&call) {
                        let _ = caller.send(answer);
                    }
                }
            }
        }
    }

    /// A rescue may have changed it since the turn that made this: one epoch must be told, in all of it.
    fn put_epoch(&self, output: &mut AppOutput) {
        if let AppOutput::Started(started) = output {
            started.epoch = self.epoch;
        } else if let AppOutput::PartitionOwned { epoch, .. } = output {
            *epoch = self.epoch;
        }
    }

    /// Its streams and transports are not counted any more.
    pub(super) fn uncount(&self) {
        subtract(&self.counters.transports, self.transports.len() as u64);
        subtract(&self.counters.streams, self.streams.len() as u64);
        show(&self.counters, self.shown, Held::default());
    }

    /// Runs a stream's machine.
    fn with_stream<R>(
        &mut self,
        number: u64,
        now: Millis,
        effects: &mut Effects,
        run: impl FnOnce(&mut Stream, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        let stream = self.streams.get_mut(&number)?;
        self.touched.insert(number);
        let before = held_bytes(stream);
        let result = run(stream, &mut Turn { now, limits: &self.limits, effects });
        let after = held_bytes(stream);
        self.held.inbox_bytes = self.held.inbox_bytes + after.0 - before.0;
        self.held.outbox_bytes = self.held.outbox_bytes + after.1 - before.1;
        Some(result)
    }

    /// Puts down what became of a stream in this turn.
    fn settle(&mut self, number: u64, now: Millis) {
        let Some(stream) = self.streams.get(&number) else { return };
        let deadline = stream.next_deadline(&self.limits);
        if stream.state().inbox().is_done() {
            let origin = stream.state().origin();
            let key = (origin.service.clone(), origin.id.clone());
            if self.by_id.get(&key) == Some(&number) {
                self.by_id.remove(&key);
            }
            let ended = stream.state().inbox().ended();
            let is_lost = ended.is_some_and(|(_, ended)| ended.is_loss());
            self.departed.add(key, is_lost, now);
            self.assignment.remove(number, stream.session());
            self.index.remove(number, stream.state());
            self.streams.remove(&number);
            subtract(&self.counters.streams, 1);
        }
        self.set_deadline(number, deadline);
    }

    fn set_deadline(&mut self, number: u64, deadline: Option<Millis>) {
        let old = match deadline {
            Some(at) => self.deadline_of.insert(number, at),
            None => self.deadline_of.remove(&number),
        };
        if old != deadline {
            old.map(|at| self.deadlines.remove(&(at, number)));
            deadline.map(|at| self.deadlines.insert((at, number)));
        }
    }

    /// Streams whose instance did not come back go to another one.
    fn end_grace(&mut self, now: Millis, effects: &mut Effects) {
        while let Some((stream, session)) = self.assignment.end_grace(now) {
            let Some(session) = session else { continue };
            self.with_stream(stream, now, effects, |stream, turn| {
                stream.on_assigned(session.id, &session.instance_id, session.window, turn);
            });
        }
    }

    /// Transports that the machines closed need no mail any more.
    fn forget_closed(&mut self, effects: &Effects) {
        for output in &effects.outputs {
            if let Output::Edge(link, EdgeOutput::Close { transport, .. }) = output {
                self.forget_transport(TransportKey { link: *link, transport: *transport });
            }
        }
    }

    fn forget_transport(&mut self, key: TransportKey) -> Option<u64> {
        let stream = self.transports.remove(&key)?;
        subtract(&self.counters.transports, 1);
        Some(stream)
    }

    fn count(&mut self, effects: &Effects) {
        for (_, record) in &effects.records {
            match record {
                Record::Opened { .. } => add(&self.counters.opened, 1),
                Record::Received { strings, .. } => {
                    add(&self.counters.strings_c2s, strings.len() as u64);
                }
                Record::Sent { strings } => add(&self.counters.strings_s2c, strings.len() as u64),
                Record::Pushed(push) => {
                    add(&self.counters.strings_s2c, push.strings.len() as u64);
                }
                Record::Chosen { .. } => add(&self.counters.strings_c2s, 1),
                Record::Ended(ended) => {
                    self.departed.note(ended.is_loss());
                    self.counters.count_end(ended);
                }
                Record::Assigned { .. }
                | Record::Sacked(_)
                | Record::Acknowledged { .. }
                | Record::LimitsSet { .. }
                | Record::Labelled { .. }
                | Record::Joined { .. }
                | Record::Left { .. } => {}
            }
        }
        for output in &effects.outputs {
            match output {
                Output::Edge(
                    _,
                    EdgeOutput::Close { cause: CloseCause::Unavailable { .. }, .. },
                ) => {
                    add(&self.counters.unavailable, 1);
                }
                Output::Edge(_, EdgeOutput::Close { cause: CloseCause::Kill(_), .. }) => {
                    add(&self.counters.killed, 1);
                }
                Output::App(_, AppOutput::SendRefused { reason, .. })
                    if *reason == RefusedReason::ResourceExhausted =>
                {
                    add(&self.counters.sends_refused, 1);
                }
                Output::Edge(..) | Output::App(..) | Output::Answer(..) => {}
            }
        }
        self.held.unserved = self.assignment.waiting();
        self.show_held();
    }

    fn show_held(&mut self) {
        show(&self.counters, self.shown, self.held);
        self.shown = self.held;
    }
}

/// What the owner before has written to nobody.
fn unwritten(meta: Meta) -> Vec<(u64, u64)> {
    let left = meta.went_back.and_then(|went_back| went_back.left);
    left.map_or_else(Vec::new, |left| left.unwritten)
}

/// Bytes that a stream holds for the application and for the client.
fn held_bytes(stream: &Stream) -> (usize, usize) {
    (stream.state().inbox().bytes(), stream.state().outbox().bytes())
}

fn show(counters: &Counters, old: Held, new: Held) {
    replace(&counters.inbox_bytes, old.inbox_bytes, new.inbox_bytes);
    replace(&counters.outbox_bytes, old.outbox_bytes, new.outbox_bytes);
    replace(&counters.unserved, old.unserved, new.unserved);
}
