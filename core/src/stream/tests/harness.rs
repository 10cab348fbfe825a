//! Test harness of one stream: renders outputs as short texts and keeps all records.

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::link::{
    Attach, Batch, Caller, CloseCause, CoreFrame, CoreMessage, End, Run, TransportId,
};
use minerva_proto::{
    BatchNumber, ClaimTag, ClientProtocol, EventNumber, MessageNumber, Payload, ReceivedTags,
    Reset, Sack, StreamId, StreamNumber, TransportKind, TransportNumber,
};

use crate::limits::Limits;
use crate::state::{Push, Record, StreamState};
use crate::stream::{
    AppOutput, Effects, Intake, LinkId, Millis, Output, SessionId, Stream, TransportKey, Turn,
};

pub(super) const LINK: LinkId = LinkId(1);
pub(super) const APP: SessionId = SessionId(9);
const NUMBER: u64 = 7;

/// Tag of the claim of all records.
pub(super) const TAG: ClaimTag = ClaimTag(1);

pub(super) struct Harness {
    pub(super) stream: Stream,
    pub(super) limits: Limits,
    pub(super) intake: Intake,
    pub(super) stores_finish: bool,
    pub(super) now: Millis,
    pub(super) records: Vec<Record>,
}

/// First time of a harness.
const START: Millis = Millis(1_000_000);

/// Wall clock at the first time, in milliseconds since 1970.
pub(super) const WALL_MS: u64 = 1_700_000_000_000;

/// A push with an optional idempotency key.
pub(super) fn push(messages: Vec<Payload>, key: Option<Bytes>) -> Arc<Push> {
    Push { messages, keys: key.into_iter().collect() }.into()
}

impl Harness {
    /// The stream created by a hello, and its first outputs.
    pub(super) fn open(attach: Attach, limits: Limits) -> (Self, Vec<String>) {
        let mut effects = Effects::default();
        let now = START;
        let mut turn = Turn {
            now,
            wall_ms: WALL_MS,
            tag: TAG,
            stores_finish: true,
            limits: &limits,
            intake: Intake::All,
            effects: &mut effects,
        };
        let mut stream = Stream::create(StreamNumber(NUMBER), &attach, WALL_MS, &mut turn);
        stream.on_attach(key_of(&attach), attach, &mut turn);
        stream.flush(&mut turn);
        let mut harness = Self {
            stream,
            limits,
            intake: Intake::All,
            stores_finish: true,
            now,
            records: Vec::new(),
        };
        let outputs = harness.collect(effects);
        (harness, outputs.iter().map(text).collect())
    }

    /// A stream with the primary transport 0.
    pub(super) fn with_primary() -> Self {
        Self::open(primary(0), Limits::default()).0
    }

    /// Runs one turn; returns its result and its outputs.
    pub(super) fn turn<R>(
        &mut self,
        run: impl FnOnce(&mut Stream, &mut Turn<'_>) -> R,
    ) -> (R, Vec<Output>) {
        let mut effects = Effects::default();
        let mut turn = Turn {
            now: self.now,
            wall_ms: WALL_MS + self.now.0 - START.0,
            tag: TAG,
            stores_finish: self.stores_finish,
            limits: &self.limits,
            intake: self.intake,
            effects: &mut effects,
        };
        let result = run(&mut self.stream, &mut turn);
        self.stream.flush(&mut turn);
        (result, self.collect(effects))
    }

    pub(super) fn outputs_of(
        &mut self,
        run: impl FnOnce(&mut Stream, &mut Turn<'_>),
    ) -> Vec<String> {
        self.turn(run).1.iter().map(text).collect()
    }

    pub(super) fn attach(&mut self, attach: Attach) -> Vec<String> {
        self.attach_as(key_of(&attach), attach)
    }

    pub(super) fn attach_as(&mut self, key: TransportKey, attach: Attach) -> Vec<String> {
        self.outputs_of(|stream, turn| stream.on_attach(key, attach, turn))
    }

    /// A batch on transport 0.
    pub(super) fn batch(&mut self, batch: Batch) -> Vec<String> {
        self.batch_on(0, batch)
    }

    pub(super) fn batch_on(&mut self, transport: u64, batch: Batch) -> Vec<String> {
        self.outputs_of(|stream, turn| stream.on_batch(key(transport), batch, turn))
    }

    pub(super) fn detach(&mut self, transport: u64) -> Vec<String> {
        self.outputs_of(|stream, turn| stream.on_detach(key(transport), turn))
    }

    pub(super) fn grant(&mut self, transport: u64, bytes: u64) -> Vec<String> {
        self.outputs_of(|stream, _| stream.on_grant(key(transport), bytes))
    }

    pub(super) fn assign(&mut self, window: usize) -> Vec<String> {
        self.outputs_of(|stream, turn| stream.on_assigned(APP, &"a".into(), window, turn))
    }

    pub(super) fn acknowledge(&mut self, event: u64) -> Vec<String> {
        self.outputs_of(|stream, turn| stream.on_acknowledge(APP, EventNumber(event), turn))
    }

    pub(super) fn send(&mut self, first: u64, messages: &[&str]) -> Vec<String> {
        self.send_and_acknowledge(first, messages, None)
    }

    pub(super) fn send_and_acknowledge(
        &mut self,
        first: u64,
        messages: &[&str],
        acknowledge: Option<u64>,
    ) -> Vec<String> {
        let messages = bytes(messages);
        self.outputs_of(|stream, turn| {
            stream.on_send(APP, MessageNumber(first), messages, acknowledge.map(EventNumber), turn)
        })
    }

    pub(super) fn reset(&mut self, reason: &str) -> Vec<String> {
        let reset = Reset::new(reason, true);
        self.outputs_of(|stream, turn| stream.on_reset(APP, reset, turn))
    }

    pub(super) fn finish(&mut self, reason: &str) -> Vec<String> {
        self.outputs_of(|stream, turn| stream.on_finish(APP, reason.into(), turn))
    }

    /// Advances the clock and handles the passed deadlines.
    pub(super) fn wait(&mut self, ms: u64) -> Vec<String> {
        self.now.0 += ms;
        self.outputs_of(|stream, turn| stream.on_timeout(turn))
    }

    /// The state rebuilt from the records alone.
    pub(super) fn rebuilt(&self) -> StreamState {
        let mut records = self.records.iter();
        let Some(Record::Opened { origin, max_idle_ms }) = records.next() else {
            panic!("a stream begins with Opened")
        };
        let mut state = StreamState::new(origin.clone(), *max_idle_ms, TAG);
        for record in records {
            state.apply(record, TAG).unwrap();
        }
        state
    }

    /// Replaces the stream by a recovered one.
    pub(super) fn crash(&mut self) {
        self.stream = Stream::recover(StreamNumber(NUMBER), self.rebuilt(), self.now);
    }

    fn collect(&mut self, effects: Effects) -> Vec<Output> {
        self.records.extend(effects.records.into_iter().map(|(_, record)| record));
        let is_tag = |output: &Output| {
            let Output::Edge(_, CoreFrame::Transport { message, .. }) = output else {
                return false;
            };
            matches!(message, CoreMessage::Tag(_))
        };
        // All records have the same tag; `claim_tags.rs` tests others.
        effects.outputs.into_iter().filter(|output| !is_tag(output)).collect()
    }
}

pub(super) fn key(transport: u64) -> TransportKey {
    TransportKey { link: LINK, transport: TransportId(transport) }
}

/// In tests the number of a transport on its link is the number in its hello.
pub(super) fn key_of(attach: &Attach) -> TransportKey {
    key(attach.transport_number.0)
}

pub(super) fn bytes(messages: &[&str]) -> Vec<Payload> {
    messages.iter().map(|message| Payload::from(*message)).collect()
}

pub(super) fn sack(text: &str) -> Sack {
    Sack::parse(text.as_bytes()).unwrap()
}

/// A `new` hello on a streaming transport without s2c messages.
pub(super) fn secondary(transport: u64) -> Attach {
    Attach {
        stream_id: StreamId::parse("abcdefghijklmnopqrstuvwxyz").unwrap(),
        transport_number: TransportNumber(transport),
        create: transport == 0,
        wants_messages: false,
        succeeds: None,
        seen_ack: Sack::NONE,
        sack: None,
        single_flush: false,
        heartbeat: false,
        kind: Some(TransportKind::Tcp),
        credentials: String::new(),
        why: String::new(),
        caller: Caller { peer_address: "192.0.2.1".to_owned(), ..Caller::default() }.into(),
        s2c_bytes: 1 << 20,
        resume: None,
        batch: None,
        tag_history: ReceivedTags::default(),
        created: None,
        protocol: ClientProtocol::V2,
        identity: None,
    }
}

pub(super) fn primary(transport: u64) -> Attach {
    Attach { wants_messages: true, ..secondary(transport) }
}

pub(super) fn poll(transport: u64) -> Attach {
    Attach { single_flush: true, kind: Some(TransportKind::LongPoll), ..primary(transport) }
}

/// An upload: the messages and the end follow the hello at once.
pub(super) fn upload(transport: u64, first: u64, messages: &[&str]) -> Attach {
    let batch = Batch { end: Some(End { kill: None }), ..batch(first, messages) };
    Attach {
        single_flush: true,
        kind: Some(TransportKind::LongPoll),
        batch: Some(batch),
        ..secondary(transport)
    }
}

pub(super) fn batch(first: u64, messages: &[&str]) -> Batch {
    let runs = Run { first: MessageNumber(first), messages: bytes(messages) };
    Batch {
        number: BatchNumber(0),
        runs: if messages.is_empty() { Vec::new() } else { vec![runs] },
        sacks: Vec::new(),
        tag_history: ReceivedTags::default(),
        reset: None,
        ..Batch::default()
    }
}

pub(super) fn sacks(texts: &[&str]) -> Batch {
    Batch { sacks: texts.iter().map(|text| sack(text)).collect(), ..batch(0, &[]) }
}

/// An output as a short text.
pub(super) fn text(output: &Output) -> String {
    match output {
        Output::Edge(_, output) => edge_text(output),
        Output::App(_, output) => app_text(output),
        Output::Reply(..) => panic!("not an output of a stream: {output:?}"),
    }
}

fn edge_text(frame: &CoreFrame) -> String {
    let CoreFrame::Transport { transport, message } = frame else {
        panic!("not an output of a stream: {frame:?}")
    };
    match message {
        CoreMessage::Opened { created, sack, .. } => {
            let created = if *created { " C" } else { "" };
            format!("{transport} opened{created}{}", sack_text(sack, 'A'))
        }
        CoreMessage::Sack(sack) => format!("{transport} {sack}A"),
        CoreMessage::Messages(run) => {
            format!("{transport} {}N {}", run.first, join(&run.messages))
        }
        CoreMessage::Close(close) => {
            let cause = match &close.cause {
                CloseCause::Gentle => "gently".to_owned(),
                CloseCause::Kill(reason) => format!("{}K", reason.as_str()),
                CloseCause::Reset(reset) => {
                    format!("{}|{}!", reset.reason, u8::from(reset.application_level))
                }
                CloseCause::WrongVersion => "wrong version".to_owned(),
                CloseCause::Superseded => "superseded".to_owned(),
                CloseCause::Moved => "moved".to_owned(),
                CloseCause::Unavailable { reason, .. } => format!("unavailable: {reason}"),
                CloseCause::Refused { reason } => format!("refused: {reason}"),
            };
            let (sack, status) = (sack_text(&close.sack, 'A'), sack_text(&close.status, 'T'));
            format!("{transport} close{sack}{status} {cause}")
        }
        CoreMessage::Taken(batch) => format!("{transport} taken {batch}"),
        CoreMessage::Tag(tag) => format!("{transport} tag {tag}"),
        CoreMessage::Compress(on) => format!("{transport} compress {on}"),
        CoreMessage::Renew(within) => format!("{transport} renew {}", within.as_secs()),
    }
}

fn app_text(output: &AppOutput) -> String {
    match output {
        AppOutput::Started(started) => {
            let how = match (&started.finish, started.resumed) {
                (Some(reason), _) => format!("finishing {reason}"),
                (None, true) => "resumed".to_owned(),
                (None, false) => "started".to_owned(),
            };
            format!("app {how} event {} send {}", started.next_event, started.send_state.next_send)
        }
        AppOutput::Messages { first_event, messages, .. } => {
            format!("app event {first_event}: {}", join(messages))
        }
        AppOutput::TransportChanged { change, .. } => {
            let sign = if change.attached { '+' } else { '-' };
            let primary = if change.primary { " primary" } else { "" };
            format!("app {sign}{}{primary} of {}", change.transport_number, change.transports)
        }
        AppOutput::Rejoined { event, rejoin, .. } => {
            let gap = if rejoin.complete { "" } else { " incomplete" };
            format!("app event {event}: rejoined {} from {}{gap}", rejoin.generation, rejoin.from)
        }
        AppOutput::Ended { event, end, .. } => {
            let level = u8::from(end.reset.application_level);
            format!("app event {event}: ended {}|{level} by {:?}", end.reset.reason, end.by)
        }
        AppOutput::SendState { state, .. } => {
            let paused = if state.paused { " paused" } else { "" };
            format!(
                "app send {} room {}/{}{paused}",
                state.next_send, state.bytes_left, state.messages_left
            )
        }
        AppOutput::SendRefused { first, reason, next_send, .. } => {
            format!("app refused {first} {reason:?} next {next_send}")
        }
        AppOutput::Released { .. } => "app released".to_owned(),
        AppOutput::Lost { .. } => "app lost".to_owned(),
        AppOutput::PartitionOwned { .. } | AppOutput::PartitionLeft { .. } => {
            panic!("not an output of a stream: {output:?}")
        }
        AppOutput::GroupRefused { group, .. } => format!("app not in {group}"),
        AppOutput::Renewed { identity, .. } => format!("app renewed {}", identity.expires_at),
        AppOutput::Synced { token, .. } => format!("app synced {token}"),
        AppOutput::CommandRefused { detail, .. } => format!("app refused command {detail}"),
    }
}

fn sack_text(sack: &Option<Sack>, letter: char) -> String {
    sack.as_ref().map_or_else(String::new, |sack| format!(" {sack}{letter}"))
}

fn join(messages: &[Payload]) -> String {
    let texts: Vec<_> = messages.iter().map(|message| String::from_utf8_lossy(message)).collect();
    texts.join(",")
}
