//! Tests of the transport machine: protocol rules, limits and random inputs.

mod credit;
mod first_frames;
mod frames;
mod random;
mod relink;
mod timers;
mod version3;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use minerva_proto::link::{Batch, Close, CloseCause, CoreMessage, Resume, Run};
use minerva_proto::{BatchNumber, MessageNumber, Payload, Sack, TransportKind, TransportNumber};

use super::*;

pub(super) const HELLO: &str = "\"tnum\":0,\"ver\":2,\"id\":\"abcdefghijklmnopqrstuvwxyz\",\
    \"ming\":true,\"seenack\":\"|-1\"";

/// A machine, its clock and its outputs.
pub(super) struct Rig {
    pub(super) machine: Transport,
    pub(super) now: Instant,
    pub(super) kind: TransportProtocol,
    /// Written frames as text; a message frame ends with a space.
    pub(super) written: Vec<String>,
    pub(super) to_core: Vec<EdgeMessage>,
    pub(super) ending: Option<Ending>,
    /// Chunks that are not reported as written.
    pub(super) chunks: usize,
}

/// The answer of the core to the hello: stream 9, perhaps created.
pub(super) fn stream_opened(created: bool) -> CoreMessage {
    opened_with(created, None, MessageNumber(0))
}

/// As [`stream_opened`], with a SACK and the place of the initial heartbeat.
pub(super) fn opened_with(
    created: bool,
    sack: Option<Sack>,
    heartbeat_after: MessageNumber,
) -> CoreMessage {
    let (stream, created_tag) = (StreamNumber(9), ClaimTag::UNKNOWN);
    CoreMessage::Opened { created, sack, stream, created_tag, heartbeat_after, positions: None }
}

impl Rig {
    /// A rig with an owner.
    pub(super) fn new(kind: TransportProtocol) -> Self {
        let mut rig = Self::without_link(kind, Limits::default());
        rig.input(Input::OwnerFound);
        rig
    }

    #[expect(clippy::disallowed_methods, reason = "a beginning for the tests' clock")]
    pub(super) fn without_link(kind: TransportProtocol, limits: Limits) -> Self {
        let now = Instant::now();
        let machine = Transport::new(now, kind, Arc::new(Caller::default()), limits);
        let (written, to_core) = (Vec::new(), Vec::new());
        Self { machine, now, kind, written, to_core, ending: None, chunks: 0 }
    }

    pub(super) fn input(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    pub(super) fn core(&mut self, core: CoreMessage) {
        self.input(Input::Core(core));
    }

    /// Receives frames in one read, in the framing of the kind.
    pub(super) fn frames(&mut self, frames: &[&str], last: bool) {
        let bytes = self.encoded(frames);
        self.input(Input::Received { bytes, last });
    }

    pub(super) fn encoded(&self, frames: &[&str]) -> Bytes {
        let mut bytes = Vec::new();
        for frame in frames {
            if self.kind == TransportProtocol::Tcp {
                bytes.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
                bytes.extend_from_slice(frame.as_bytes());
            } else {
                bytes.extend_from_slice(frame.as_bytes());
                bytes.push(b'\n');
            }
        }
        bytes.into()
    }

    /// Receives a hello with additional keys, such as `,"maxia":0`.
    pub(super) fn hello(&mut self, keys: &str) {
        self.hello_and(keys, &[], false);
    }

    pub(super) fn hello_and(&mut self, keys: &str, frames: &[&str], last: bool) {
        let hello = format!("{{{HELLO}{keys}}}H");
        let mut all = vec![hello.as_str()];
        all.extend_from_slice(frames);
        self.frames(&all, last);
    }

    /// A rig with an attached TCP transport.
    pub(super) fn attached() -> Self {
        Self::attached_within(Limits::default())
    }

    /// As [`Rig::attached`], with other limits.
    pub(super) fn attached_within(limits: Limits) -> Self {
        let mut rig = Self::without_link(TransportProtocol::Tcp, limits);
        rig.input(Input::OwnerFound);
        rig.hello(",\"maxia\":0,\"eeds\":null");
        rig.core(stream_opened(false));
        rig.to_core.clear();
        rig
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        while self.machine.poll_timeout().is_some_and(|due| due <= self.now) {
            self.machine.handle_timeout(self.now);
            self.drain();
        }
    }

    pub(super) fn written_all(&mut self) {
        while self.chunks > 0 {
            self.chunks -= 1;
            self.input(Input::Written);
        }
    }

    pub(super) fn take_written(&mut self) -> Vec<String> {
        std::mem::take(&mut self.written)
    }

    pub(super) fn take_to_core(&mut self) -> Vec<EdgeMessage> {
        std::mem::take(&mut self.to_core)
    }

    pub(super) fn take_batches(&mut self) -> Vec<Batch> {
        let batch = |message| match message {
            EdgeMessage::Batch(batch) => Some(batch),
            EdgeMessage::Attach(attach) => attach.batch,
            EdgeMessage::Grant(_) | EdgeMessage::Detach => None,
        };
        self.take_to_core().into_iter().filter_map(batch).collect()
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            assert!(
                self.ending.is_none() || output == Output::ToCore(EdgeMessage::Detach),
                "{output:?} after the end"
            );
            match output {
                Output::Write(chunk) => {
                    self.chunks += 1;
                    self.written.extend(cut(self.kind, chunk));
                }
                Output::ToCore(message) => self.to_core.push(message),
                Output::End(ending) => self.ending = Some(ending),
            }
        }
    }
}

fn cut(kind: TransportProtocol, mut chunk: Bytes) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut frames = Vec::new();
    if kind == TransportProtocol::Tcp {
        while !chunk.is_empty() {
            let length = chunk.get_u32() as usize;
            frames.push(text(&chunk.split_to(length)));
        }
    } else {
        assert!(chunk.ends_with(b"\n"), "a chunk holds whole frames");
        frames.extend(chunk[..chunk.len() - 1].split(|&byte| byte == b'\n').map(text));
    }
    frames
}

pub(super) fn messages(first: u64, messages: &[&'static str]) -> CoreMessage {
    let messages = messages.iter().map(|message| Payload::from(*message)).collect();
    CoreMessage::Messages(Run { first: MessageNumber(first), messages })
}

pub(super) fn runs(batch: &Batch) -> Vec<(u64, Vec<String>)> {
    let text = |message: &Payload| String::from_utf8(message.to_vec()).unwrap();
    let run = |run: &Run| (run.first.0, run.messages.iter().map(text).collect());
    batch.runs.iter().map(run).collect()
}
