//! The transport machine of the edge: the core receives the messages of the frames, numbered, once and in order, for any
//! size of the reads.
//!
//! The first input byte selects the protocol and a valid hello in front, the second the size of the reads.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use minerva_edge::transport::{Input, Limits, Output, Transport, TransportProtocol};
use minerva_proto::link::{Batch, Caller, CoreMessage, EdgeMessage};
use minerva_proto::{
    BatchNumber, ClaimTag, Frame, Framing, Hello, MAX_NUMBER, MessageNumber, StreamNumber,
};

/// Short, so that inputs reach the limit.
const MAX_FRAME: usize = 512;

type Messages = Vec<(MessageNumber, Bytes)>;

pub fn run(input: &[u8]) {
    let [selector, piece, stream @ ..] = input else { return };
    let (protocol, framing) = match selector % 3 {
        0 => (TransportProtocol::Tcp, Framing::Int32),
        1 => (TransportProtocol::Http, Framing::Lines),
        _ => (TransportProtocol::WebSocket, Framing::Lines),
    };
    let mut bytes = BytesMut::new();
    if selector & 0x80 != 0 {
        framing.put(&hello(), &mut bytes);
    }
    bytes.extend_from_slice(stream);
    let expected = expected(framing, &bytes);
    let received = Run::new(protocol).feed(&bytes, usize::from(*piece) + 1);
    assert!(received.len() <= expected.messages.len(), "messages that no frame has");
    assert_eq!(
        received,
        expected.messages[..received.len()],
        "other messages than those of the frames"
    );
    if protocol == TransportProtocol::Tcp && !expected.corrupt {
        assert_eq!(received.len(), expected.messages.len(), "messages are lost");
    }
}

/// Reference: the messages of a byte sequence up to the first offence or the end.
struct Expected {
    messages: Messages,
    /// The sequence cannot be cut into frames. Whole frames of the same read are lost then.
    corrupt: bool,
}

fn expected(framing: Framing, bytes: &[u8]) -> Expected {
    let mut rest = BytesMut::from(bytes);
    let mut messages = Vec::new();
    let mut next = MessageNumber(0);
    let mut is_first = true;
    loop {
        let raw = match framing.cut(&mut rest, MAX_FRAME) {
            Ok(Some(raw)) => raw,
            Ok(None) => return Expected { messages, corrupt: false },
            Err(_) => return Expected { messages, corrupt: true },
        };
        match Frame::decode(raw) {
            Ok(Frame::Hello(json)) if is_first && Hello::parse(&json).is_ok() => is_first = false,
            Ok(Frame::String(message)) if !is_first && next.0 <= MAX_NUMBER => {
                messages.push((next, message));
                next = next.next();
            }
            Ok(Frame::SeqNum(number)) if !is_first => next = number,
            Ok(Frame::Sack(_)) if !is_first => {}
            _ => return Expected { messages, corrupt: false },
        }
    }
}

/// A machine with a core that takes every batch at once, and a socket that takes every byte.
struct Run {
    machine: Transport,
    now: Instant,
    messages: Messages,
    next_batch: BatchNumber,
    attached: bool,
}

impl Run {
    fn new(protocol: TransportProtocol) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the machine needs any instant")]
        let now = Instant::now();
        let limits = Limits { max_frame: MAX_FRAME, ..Limits::default() };
        let machine = Transport::new(now, protocol, Arc::new(Caller::default()), limits);
        Self { machine, now, messages: Vec::new(), next_batch: BatchNumber(0), attached: false }
    }

    fn feed(mut self, bytes: &[u8], piece: usize) -> Messages {
        self.input(Input::OwnerFound);
        for piece in bytes.chunks(piece) {
            assert!(
                self.machine.wants_input() || self.machine.is_over() || self.is_http_done(),
                "no input is wanted"
            );
            self.input(Input::Received { bytes: Bytes::copy_from_slice(piece), last: false });
        }
        self.messages
    }

    /// A response that is complete ends an HTTP transport before the end of the upload.
    fn is_http_done(&self) -> bool {
        self.machine.poll_timeout().is_none()
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Write(chunk) => {
                    assert!(!chunk.is_empty(), "an empty write");
                    self.machine.handle_input(self.now, Input::Written);
                }
                Output::ToCore(message) => self.on_core_input(message),
                Output::End(_) => assert!(self.machine.is_over(), "an end that is none"),
            }
        }
    }

    fn on_core_input(&mut self, message: EdgeMessage) {
        match message {
            EdgeMessage::Attach(attach) => {
                assert!(!std::mem::replace(&mut self.attached, true), "attached twice");
                let opened = CoreMessage::Opened {
                    created: false,
                    sack: None,
                    stream: StreamNumber(1),
                    created_tag: ClaimTag::UNKNOWN,
                    heartbeat_after: MessageNumber(0),
                    positions: None,
                };
                self.machine.handle_input(self.now, Input::Core(opened));
                attach.batch.into_iter().for_each(|batch| self.on_batch(batch));
            }
            EdgeMessage::Batch(batch) => self.on_batch(batch),
            EdgeMessage::Grant(_) | EdgeMessage::Detach => {}
        }
        assert!(self.attached, "a message before the attach");
    }

    fn on_batch(&mut self, batch: Batch) {
        assert_eq!(batch.number, self.next_batch, "batches are numbered");
        self.next_batch = batch.number.next();
        for run in batch.runs {
            self.messages.extend(
                (run.first.0..)
                    .map(MessageNumber)
                    .zip(run.messages.into_iter().map(minerva_proto::Payload::into_bytes)),
            );
        }
        self.machine.handle_input(self.now, Input::Core(CoreMessage::Taken(batch.number)));
    }
}

fn hello() -> Frame {
    Frame::Hello(Bytes::from(crate::hello::example().to_json()))
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (mut int32, mut lines) = (BytesMut::new(), BytesMut::new());
    for frame in crate::frame::examples() {
        let is_answerable = frame.is_from_client();
        if is_answerable {
            Framing::Int32.put(&frame, &mut int32);
            Framing::Lines.put(&frame, &mut lines);
        }
    }
    let start = |selector: u8, piece: u8, stream: &[u8]| [&[selector, piece], stream].concat();
    vec![
        start(0, 255, &int32),
        start(1, 3, &lines),
        start(2, 255, &lines),
        start(0x81, 40, b"\0\0\0\x06hello \0\0\0\x035N\0\0\0\x06world "),
        start(0x82, 15, b"hello \n5N\n|3A\nworld \nagain \n1,2|0A\nbye|1!\n"),
        start(0x80, 255, b"hello \n5N\nworld \n"),
    ]
}
