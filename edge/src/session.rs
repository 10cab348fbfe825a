//! One transport at work: the machine, its route to the owner of its stream, its timer. A driver (`tcp.rs`,
//! `http/exchange.rs`, `websocket.rs`) adds the socket: it feeds what it reads, writes the chunks, and
//! ends as it is told. Nothing here waits for a socket.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::time::Sleep;

use crate::cached_watch::CachedWatch;
use crate::clock;
use crate::link::{News, Route};
use crate::metrics::{Cause, Kind as KindLabel, Outcome, Reattachment};
use crate::shared::{Phase, Shared};
use crate::transport::{Caller, Carrier, Ending, FromCore, Input, Kind, Output, ToCore, Transport};

/// Things of the core that are taken in one go, before the socket gets a turn.
const IN_ONE_GO: usize = 64;

pub(crate) struct Session {
    machine: Transport,
    shared: Arc<Shared>,
    /// Set once the hello has named the stream.
    route: Option<Route>,
    /// Why the transport lost its place, until it is attached again.
    displaced: Option<Cause>,
    phase: CachedWatch<Phase>,
    /// When the client is asked to move, once the edge drains.
    drain_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// What `timer` is set to; `None`: it is not to be waited for.
    armed: Option<Instant>,
    writes: VecDeque<Bytes>,
    ending: Option<Ending>,
    /// Set once the transport is counted as open.
    counted: Option<Carrier>,
}

impl Session {
    pub(crate) fn new(shared: &Arc<Shared>, kind: Kind, caller: Caller) -> Self {
        let now = clock::now();
        let machine = Transport::new(now, kind, Arc::new(caller), shared.limits.clone());
        let mut session = Self {
            machine,
            route: None,
            displaced: None,
            phase: CachedWatch::new(shared.phase.clone()),
            drain_at: None,
            timer: Box::pin(tokio::time::sleep_until(now.into())),
            armed: None,
            writes: VecDeque::new(),
            ending: None,
            counted: None,
            shared: Arc::clone(shared),
        };
        session.on_phase();
        session.run_machine();
        session
    }

    /// The driver read something, or lost the socket.
    pub(crate) fn input(&mut self, input: Input) {
        self.machine.handle_input(clock::now(), input);
        self.run_machine();
    }

    pub(crate) fn received(&mut self, bytes: Bytes, last: bool) {
        self.input(Input::Received { bytes, last });
    }

    /// Whether the driver may read.
    pub(crate) fn wants_input(&self) -> bool {
        self.machine.wants_input()
    }

    /// The chunk to be written now.
    pub(crate) fn chunk(&self) -> Option<&Bytes> {
        self.writes.front()
    }

    /// The chunk is written.
    pub(crate) fn written(&mut self) {
        self.writes.pop_front();
        self.input(Input::Written);
    }

    /// How the driver shall end, once it is to.
    pub(crate) fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// The machine needs no driver any more.
    pub(crate) fn is_over(&self) -> bool {
        self.machine.is_over()
    }

    /// What carries the frames, once the hello is read.
    pub(crate) fn carrier(&self) -> Option<Carrier> {
        self.machine.attach().map(|attach| attach.carrier)
    }

    /// Waits for the timer, the core or the end of the edge, and reacts. May be cancelled.
    pub(crate) async fn wait(&mut self) {
        let Self { route, timer, armed, phase, .. } = self;
        tokio::select! {
            news = news(route) => match news {
                News::Said(event) => self.on_core(event),
                News::Displaced(cause) => {
                    self.displaced = Some(cause);
                    self.machine.handle_input(clock::now(), Input::Displaced);
                    self.take_place();
                }
                News::Open => self.take_place(),
            },
            () = timer.as_mut(), if armed.is_some() => self.on_timer(),
            changed = phase.changed() => {
                if changed.is_err() {
                    self.machine.handle_input(clock::now(), Input::Gone);
                } else {
                    self.on_phase();
                }
            }
        }
        self.run_machine();
    }

    fn on_core(&mut self, event: FromCore) {
        let now = clock::now();
        let mut next = Some(event);
        for _ in 0..IN_ONE_GO {
            let Some(event) = next else { break };
            if let FromCore::Messages { messages, .. } = &event {
                self.shared.metrics.s2c_strings.inc_by(messages.len() as u64);
            }
            self.machine.handle_input(now, Input::Core(event));
            next = self.route.as_mut().and_then(Route::try_next);
        }
        if let Some(event) = next {
            self.machine.handle_input(now, Input::Core(event));
        }
    }

    fn on_timer(&mut self) {
        let now = clock::now();
        self.armed = None;
        if self.drain_at.is_some_and(|at| at <= now) {
            self.drain_at = None;
            self.machine.handle_input(now, Input::Drain);
        }
        self.machine.handle_timeout(now);
    }

    fn on_phase(&mut self) {
        let phase = self.phase.borrow_and_update();
        match phase {
            Phase::Running => {}
            Phase::Draining => {
                // Half of the time is left for the answers.
                let wait = clock::random_part(self.shared.drain_time / 2);
                self.drain_at.get_or_insert(clock::now() + wait);
            }
            Phase::Over => self.machine.handle_input(clock::now(), Input::Gone),
        }
    }

    fn take_place(&mut self) {
        if self.route.as_mut().is_some_and(Route::take_place) {
            self.machine.handle_input(clock::now(), Input::Placed);
        }
    }

    /// Does what the machine wants done and sets the timer.
    fn run_machine(&mut self) {
        self.find_route();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Write(chunk) => self.writes.push_back(chunk),
                Output::ToCore(message) => self.tell(message),
                Output::End(ending) => self.ending = Some(ending),
            }
        }
        let due = [self.machine.poll_timeout(), self.drain_at].into_iter().flatten().min();
        if due != self.armed {
            self.armed = due;
            if let Some(due) = due {
                self.timer.as_mut().reset(due.into());
            }
        }
    }

    /// Once the hello has named the stream: the way to its owner.
    fn find_route(&mut self) {
        let (None, Some(attach)) = (&self.route, self.machine.attach()) else { return };
        let kind = KindLabel::from(attach.carrier);
        self.counted = Some(attach.carrier);
        self.route = Some(Route::new(&self.shared.links, &attach.stream));
        let metrics = &self.shared.metrics;
        metrics.transports.get_or_create(&kind).inc();
        metrics.open_transports.get_or_create(&kind).inc();
        self.take_place();
    }

    fn tell(&mut self, message: ToCore) {
        let metrics = &self.shared.metrics;
        let batch = match &message {
            ToCore::Attach(attach) => {
                if let Some(cause) = self.displaced.take() {
                    metrics.reattached.get_or_create(&Reattachment { cause }).inc();
                }
                tracing::debug!(
                    stream = %attach.stream.short_hash(),
                    tnum = attach.transport_number,
                    kind = attach.carrier.as_str(),
                    resumed = attach.resume.is_some(),
                    "attach"
                );
                attach.batch.as_ref()
            }
            ToCore::Batch(batch) => Some(batch),
            ToCore::Grant(_) | ToCore::Detach => None,
        };
        if let Some(batch) = batch {
            let messages: usize = batch.runs.iter().map(|run| run.messages.len()).sum();
            metrics.c2s_strings.inc_by(messages as u64);
        }
        if let Some(route) = &mut self.route {
            route.tell(message);
        }
    }
}

async fn news(route: &mut Option<Route>) -> News {
    match route {
        Some(route) => route.next().await,
        None => std::future::pending().await,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let metrics = &self.shared.metrics;
        if let Some(carrier) = self.counted {
            metrics.open_transports.get_or_create(&carrier.into()).dec();
        }
        let how = match self.ending {
            None => "gone",
            Some(Ending::Complete) => "complete",
            Some(Ending::Closed) => "closed",
            Some(Ending::Unavailable { .. }) => "unavailable",
            Some(Ending::NoHello) => "no_hello",
        };
        metrics.ended.get_or_create(&Outcome { how }).inc();
    }
}
