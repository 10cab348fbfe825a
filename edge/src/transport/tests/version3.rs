//! Tests of version 3: negotiation, frames of both directions, refusals and limits.

mod compression;
mod limits;
mod refusals;
mod renewal;
mod welcome;

use bytes::{BufMut, BytesMut};
use minerva_proto::link::Positions;
use minerva_proto::v3::{self, Frame, Refusal, RefusalCode};
use minerva_proto::{ClientProtocol, Generation, MessageTag, Rewind, Sack};

use super::*;

const KEY: &str = "Zk1uQ0pXc3VqV2h5dEJtRQ";
const TAG: ClaimTag = ClaimTag(0x7_b0d8_8862);

/// A machine with the frames that it has written.
struct Rig3 {
    machine: Transport,
    now: Instant,
    protocol: TransportProtocol,
    written: Vec<Frame>,
    to_core: Vec<EdgeMessage>,
    ending: Option<Ending>,
    chunks: usize,
}

/// The versions that a driver permits for a client of version 3.
fn versions(protocol: TransportProtocol) -> WireVersions {
    match protocol {
        TransportProtocol::WebSocket => WireVersions::Three,
        TransportProtocol::Tcp | TransportProtocol::Http => WireVersions::TwoOrThree,
    }
}

const PROTOCOLS: [TransportProtocol; 3] =
    [TransportProtocol::Tcp, TransportProtocol::WebSocket, TransportProtocol::Http];

impl Rig3 {
    fn new(protocol: TransportProtocol) -> Self {
        Self::with(protocol, Limits { versions: versions(protocol), ..Limits::default() })
    }

    #[expect(clippy::disallowed_methods, reason = "a beginning for the tests' clock")]
    fn with(protocol: TransportProtocol, limits: Limits) -> Self {
        let now = Instant::now();
        let mut machine = Transport::new(now, protocol, Arc::new(Caller::default()), limits);
        machine.handle_input(now, Input::OwnerFound);
        let (written, to_core) = (Vec::new(), Vec::new());
        Self { machine, now, protocol, written, to_core, ending: None, chunks: 0 }
    }

    /// A rig whose transport is attached and has written its welcome.
    fn attached(protocol: TransportProtocol) -> Self {
        let mut rig = Self::new(protocol);
        rig.hello(r#","maxia":0,"eeds":null"#);
        rig.opened(None);
        rig.to_core.clear();
        rig.written.clear();
        rig
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    fn core(&mut self, core: CoreMessage) {
        self.input(Input::Core(core));
    }

    fn opened(&mut self, sack: Option<Sack>) {
        self.opened_with(sack, None);
    }

    fn opened_at(&mut self, positions: Option<Positions>) {
        self.opened_with(None, positions);
    }

    fn opened_with(&mut self, sack: Option<Sack>, positions: Option<Positions>) {
        let (stream, created_tag) = (StreamNumber(9), TAG);
        self.core(CoreMessage::Opened {
            created: false,
            sack,
            stream,
            created_tag,
            heartbeat_after: MessageNumber(0),
            positions,
        });
    }

    fn close(&mut self, cause: CloseCause) {
        self.core(CoreMessage::Close(Box::new(Close { cause, ..Close::default() })));
    }

    fn receive(&mut self, bytes: impl Into<Bytes>) {
        self.input(Input::Received { bytes: bytes.into(), last: false });
    }

    fn frames(&mut self, frames: &[Frame]) {
        self.receive(encoded(frames));
    }

    fn hello(&mut self, keys: &str) {
        self.hello_and(keys, &[]);
    }

    fn hello_and(&mut self, keys: &str, frames: &[Frame]) {
        let mut bytes = BytesMut::from(&*hello(self.protocol, keys));
        bytes.extend_from_slice(&encoded(frames));
        self.receive(bytes.freeze());
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        while self.machine.poll_timeout().is_some_and(|due| due <= self.now) {
            self.machine.handle_timeout(self.now);
            self.drain();
        }
    }

    fn written_all(&mut self) {
        while self.chunks > 0 {
            self.chunks -= 1;
            self.input(Input::Written);
        }
    }

    fn take_written(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.written)
    }

    fn take_attach(&mut self) -> Attach {
        let attach = self.to_core.drain(..).find_map(|message| match message {
            EdgeMessage::Attach(attach) => Some(*attach),
            EdgeMessage::Batch(_) | EdgeMessage::Grant(_) | EdgeMessage::Detach => None,
        });
        attach.expect("an Attach")
    }

    fn take_batches(&mut self) -> Vec<Batch> {
        let batch = |message| match message {
            EdgeMessage::Batch(batch) => Some(batch),
            EdgeMessage::Attach(attach) => attach.batch,
            EdgeMessage::Grant(_) | EdgeMessage::Detach => None,
        };
        std::mem::take(&mut self.to_core).into_iter().filter_map(batch).collect()
    }

    /// The code of the refusal as the client receives it: a frame, or an HTTP error.
    fn refused(&mut self) -> Option<RefusalCode> {
        let of_frame = |frame: &Frame| {
            if let Frame::Refusal(refusal) = frame { refusal.code() } else { None }
        };
        if let Some(Ending::Refused(refusal)) = &self.ending {
            return refusal.code();
        }
        self.written.iter().find_map(of_frame)
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Write(chunk) => {
                    self.chunks += 1;
                    self.written.extend(decoded(&chunk));
                }
                Output::ToCore(message) => self.to_core.push(message),
                Output::End(ending) => self.ending = Some(ending),
            }
        }
    }
}

fn encoded(frames: &[Frame]) -> Bytes {
    let mut bytes = BytesMut::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes.freeze()
}

/// All frames of a chunk, which ends with a whole frame.
fn decoded(chunk: &[u8]) -> Vec<Frame> {
    let mut bytes = BytesMut::from(chunk);
    let mut frames = Vec::new();
    while let Some(raw) = v3::cut(&mut bytes, v3::MAX_MESSAGE).unwrap() {
        frames.push(Frame::decode(raw).unwrap());
    }
    assert!(bytes.is_empty(), "a chunk holds whole frames");
    frames
}

/// A hello in the framing of version 2.
fn hello(protocol: TransportProtocol, keys: &str) -> Bytes {
    let json = format!(
        r#"{{"ver":3,"tnum":0,"id":"abcdefghijklmnopqrstuvwxyz","key":"{KEY}","ming":true,"seenack":"|-1"{keys}}}H"#
    );
    let mut bytes = BytesMut::new();
    if protocol == TransportProtocol::Tcp {
        bytes.put_u32(u32::try_from(json.len()).unwrap());
    }
    bytes.put_slice(json.as_bytes());
    if protocol != TransportProtocol::Tcp {
        bytes.put_u8(b'\n');
    }
    bytes.freeze()
}

fn text(text: &str) -> Frame {
    Frame::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn tag(first: u64, tag: u64) -> Frame {
    Frame::ClaimTag(MessageTag { first: MessageNumber(first), tag: ClaimTag(tag) })
}

fn sack(text: &str) -> Sack {
    Sack::parse(text.as_bytes()).unwrap()
}
