//! A stranger that knows the id of a client's stream, but not the key.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use minerva_client::simulation::{Frame, WireVersion, decode, encode};
use minerva_proto::v3::{Hello, RefusalCode, ResumeKey};
use minerva_proto::{Eeds, Framing, ReceivedTags, Rewind, Sack, StreamId, TransportNumber};

use crate::checker::Checker;
use crate::event::Content;
use crate::messages::stream_id;
use crate::random::Random;

/// Transports of strangers have this number or a higher one.
pub(crate) const FIRST_TRANSPORT: TransportNumber = TransportNumber(1 << 52);

/// The hello with a random key: for an attached stream, or for a new generation of the session.
pub(crate) fn hello(client: usize, random: &mut Random) -> Bytes {
    let id = match StreamId::parse(&stream_id(client)) {
        Ok(id) => id,
        Err(error) => unreachable!("{error}"),
    };
    let adopts = random.percent(50);
    let (key, next) = (key(random), key(random));
    let hello = Hello {
        common: minerva_proto::Hello {
            tnum: FIRST_TRANSPORT,
            id,
            new: false,
            ming: true,
            maxia: Duration::from_secs(5),
            beat: Duration::ZERO,
            seenack: Sack::NONE,
            sack: None,
            eeds: Eeds::Null,
            maxt: None,
            cred: None,
            why: None,
        },
        key,
        next: adopts.then_some(next),
        generation: if adopts { 1 << 20 } else { 0 },
        rewind: adopts.then_some(Rewind::All),
        own: None,
        born: None,
        tags: ReceivedTags::default(),
        inflates: true,
    };
    let mut bytes = BytesMut::new();
    let frames = vec![Frame::Hello(hello.to_json().into())];
    encode(WireVersion::V3, Framing::Lines, frames, &mut bytes);
    bytes.freeze()
}

/// The stranger receives content: nothing of the stream.
pub(crate) fn on_content(client: usize, content: &Content, checker: &mut Checker) {
    let Content::ToClient { bytes } = content else { return };
    let frames = decode(WireVersion::V3, Framing::Lines, &mut BytesMut::from(&bytes[..]));
    let is_harmless = |frame: &Frame| {
        if let Frame::Refusal(refusal) = frame {
            let code = refusal.code();
            return code == Some(RefusalCode::Gone)
                || code == Some(RefusalCode::Unavailable)
                || code == Some(RefusalCode::Draining);
        }
        // The answer for every unknown stream after a rollback.
        let is_lost = matches!(frame, Frame::Reset(_)) && checker.durable.has_rolled_back();
        is_lost || *frame == Frame::YouCloseIt
    };
    let strange = frames.iter().flatten().find(|frame| !is_harmless(frame)).cloned();
    if strange.is_some() || frames.is_err() {
        checker.violation(format!("client {client}: a stranger receives {strange:?}"));
    }
}

fn key(random: &mut Random) -> ResumeKey {
    let digits = format!("{:016x}{:06x}", random.bits(), random.bits() >> 40);
    match ResumeKey::parse(&digits) {
        Some(key) => key,
        None => unreachable!("22 characters"),
    }
}
