//! Version 3 in the model: hellos, welcomes, claim tags and both kinds of messages. The owner of the partition changes with
//! every fifth message of the server.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use minerva_proto::v3::{StreamCreation, Welcome};
use minerva_proto::{
    ClaimTag, Framing, Hello, Message, MessageNumber, MessageTag, ReceivedTags, Sack, StreamNumber,
    TransportNumber, v3,
};

use super::World;
use super::pipe::Pipe;
use crate::config::Version;
use crate::stream::tests::key;
use crate::wire::{self, Frame, WireVersion};

/// Messages of each owner.
const TAG_LENGTH: u64 = 5;

fn tag_of(number: MessageNumber) -> ClaimTag {
    ClaimTag(1 + number.0 / TAG_LENGTH)
}

fn creation() -> StreamCreation {
    StreamCreation { stream: StreamNumber(7), tag: tag_of(MessageNumber(0)) }
}

/// The heartbeat of a server.
pub(super) fn heartbeat(version: Version) -> Frame {
    Frame::Comment(if version == Version::V2 { "beat".into() } else { Bytes::new() })
}

/// Whether a poll ends behind a frame of the server.
pub(super) fn completes_poll(frame: &Frame) -> bool {
    !matches!(frame, Frame::Welcome(welcome) if welcome.born.is_none())
}

/// The frames of a client as the server decodes them.
pub(super) fn transmitted(version: Version, frames: Vec<Frame>) -> Vec<Frame> {
    let version = if version == Version::V2 { WireVersion::V2 } else { WireVersion::V3 };
    let is_hello = |frame: &Frame| matches!(frame, Frame::Hello(_));
    assert!(!frames.iter().skip(1).any(is_hello), "{frames:?}");
    let hello = frames.first().filter(|frame| is_hello(frame)).cloned();
    let behind = frames[usize::from(hello.is_some())..].to_vec();
    let mut bytes = BytesMut::new();
    wire::encode(version, Framing::Lines, behind.clone(), &mut bytes);
    assert_eq!(wire::decode(version, Framing::Lines, &mut bytes).unwrap(), behind);
    frames
}

impl World {
    /// The content of a message: in version 3 every second one is binary.
    pub(super) fn content(&self, side: &str, number: u64) -> Message {
        match self.version {
            Version::V2 => format!("{side}{number}").into(),
            _ if number % 2 == 1 => format!("{side}{number}").into_bytes().into(),
            Version::Auto | Version::V3 => format!("{side}é{number}").into(),
        }
    }

    /// Parses a hello and takes the claim tags.
    pub(super) fn read_hello(&mut self, number: TransportNumber, json: &[u8]) -> Hello {
        if self.version == Version::V2 {
            return Hello::parse(json).unwrap();
        }
        let v3::AnyHello::V3(hello) = v3::AnyHello::parse(json, 3).unwrap() else {
            panic!("version 2")
        };
        assert_eq!(hello.key, key());
        assert!(hello.born.is_none_or(|born| born == creation()));
        let pipe = self.pipe(number);
        let last = hello.tags.pairs().last().map(|pair| pair.tag);
        pipe.tag = last.or(hello.born.map(|born| born.tag)).unwrap_or_default();
        pipe.tags = hello.tags.pairs().to_vec();
        pipe.knows_creation = hello.born.is_some();
        hello.common.sack.iter().for_each(|sack| pipe.check_tags(sack));
        hello.common
    }

    /// The first frames of an attached transport.
    pub(super) fn welcome(&mut self, number: TransportNumber, hello: &Hello) {
        if self.version != Version::V2 {
            let mut welcome = Welcome::default();
            if !self.pipe(number).knows_creation {
                welcome.born = Some(creation());
                self.pipe(number).tag = creation().tag;
            }
            return self.send(number, Frame::Welcome(welcome));
        }
        if hello.new {
            self.send(number, Frame::Created);
        }
        if hello.maxia > Duration::ZERO {
            self.send(number, heartbeat(Version::V2));
        }
    }
}

impl Pipe {
    /// Writes the claim tag in front of a message, if the tag has changed.
    pub(super) fn put_tag(&mut self, first: MessageNumber) {
        let tag = tag_of(first);
        if self.tag.is_known() && self.tag != tag {
            self.tag = tag;
            self.down.push_back(Frame::ClaimTag(MessageTag { first, tag }));
        }
    }

    /// Takes a report of the client.
    pub(super) fn report(&mut self, tag: MessageTag) {
        self.tags.retain(|pair| pair.first < tag.first);
        self.tags.push(tag);
        let excess = self.tags.len().saturating_sub(minerva_proto::MAX_TAG_PAIRS);
        self.tags.drain(..excess);
    }

    /// Checks that the tags behind a SACK are those of the messages.
    pub(super) fn check_tags(&self, sack: &Sack) {
        let tags = ReceivedTags::new(self.tags.clone()).unwrap();
        let named = sack.acked.iter().chain(&sack.beyond).map(|n| (*n, tags.tag_of(*n)));
        let last = tags.last_messages().map(|(number, tag)| (number, Some(tag)));
        for (number, tag) in named.chain(last) {
            assert!(tag.is_none_or(|tag| tag == tag_of(number)), "{number} of {tags:?}");
        }
        // Version 3 reports the tag of the highest number.
        let highest = sack.acked.iter().chain(&sack.beyond).max();
        let is_reported = highest.is_none_or(|number| tags.tag_of(*number).is_some());
        assert!(is_reported || !self.tag.is_known(), "{sack} of {tags:?}");
    }
}
