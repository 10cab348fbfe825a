//! Content of streams of version 3: origins with keys, and messages that version 2 has not.

use minerva_proto::mutation::{Mutation, activate};
use prost::Message;

use super::super::seal::{SEAL_KEY, read_varint, read_version};
use super::super::stored_origin::StoredOrigin;
use super::*;

/// A text of other bytes than version 2 has, a binary message, and an empty one of each kind.
fn messages_of_version_3() -> Vec<Payload> {
    vec!["\u{e9}\0\n".into(), Payload::binary(&[0, 0xff][..]), "".into(), Payload::binary("")]
}

pub(super) fn records_of_version_3() -> [Record; 4] {
    let protocol = StreamProtocol::V3 { key: KEY };
    let messages = messages_of_version_3();
    let push = Push { messages: messages.clone(), keys: Vec::new() };
    [
        Record::Opened { origin: Origin { protocol, ..origin() }.into(), max_idle_ms: 7 },
        Record::Received { first: MessageNumber(0), messages: messages.clone() },
        Record::Sent { messages },
        Record::Pushed(push.into()),
    ]
}

pub(super) fn snapshot_of_version_3() -> Snapshot {
    let [opened, records @ ..] = records_of_version_3();
    let Record::Opened { origin, max_idle_ms } = opened else { panic!("{opened:?}") };
    let mut state = StreamState::new(origin, max_idle_ms, ClaimTag(1));
    let first = MessageNumber(6);
    let waiting = Record::Received { first, messages: messages_of_version_3() };
    for record in records.iter().chain([&waiting]) {
        state.apply(record, ClaimTag(2)).unwrap();
    }
    state.snapshot()
}

/// The version in front of the message: behind the seal of an entry with a claim tag, of another blob, and without tag.
pub(super) fn needed_version(blob: &Bytes) -> u32 {
    let mut rest = &blob[SEAL_KEY.len()..];
    let length = read_varint(&mut rest).unwrap() as usize;
    read_version(&rest[length..]).unwrap()
}

#[test]
fn content_of_version_3_needs_a_reader_of_stored_version_5() {
    for writer in [1, 2, 4, 5] {
        for record in records_of_version_3() {
            let blob = encoded(writer, &[(STREAM, record.clone())]);
            assert_eq!(needed_version(&blob), 5, "writer {writer}: {record:?}");
            assert_eq!(decoded(blob).records, [(STREAM, record)]);
        }
        let blob = encoded(writer, &every_record());
        assert!(needed_version(&blob) < 5, "writer {writer}: no content of version 3");
        let tagged = snapshot_of_version_3();
        let origin_only = Snapshot { origin: tagged.origin.clone(), ..snapshot() };
        let mut messages: Vec<Snapshot> = Vec::new();
        for message in messages_of_version_3().into_iter().filter(|m| !m.is_ascii_text()) {
            let numbered = |number| vec![(MessageNumber(number), message.clone())];
            messages.push(Snapshot { inbox: vec![message.clone()], ..snapshot() });
            messages.push(Snapshot { waiting: numbered(4), ..snapshot() });
            messages.push(Snapshot { outbox: numbered(2), ..snapshot() });
        }
        for written in messages.into_iter().chain([tagged, origin_only]) {
            let blob = written.encode(&context(writer), STREAM, LogIndex(9));
            assert_eq!(needed_version(&blob), 5, "writer {writer}: {written:?}");
            let (read, _) = Snapshot::decode(PARTITION, STREAM, blob).unwrap();
            let Snapshot { origin, inbox, waiting, outbox, .. } = read;
            let expected = (written.origin, written.inbox, written.waiting, written.outbox);
            assert_eq!((origin, inbox, waiting, outbox), expected);
        }
        let blob = snapshot().encode(&context(writer), STREAM, LogIndex(9));
        assert!(needed_version(&blob) < 5, "writer {writer}: a stream of version 2");
        for key in [None, Some(KEY)] {
            let tombstones = vec![tombstone(key)];
            let rollback =
                StoreRollback { streams_made: 2, remaining_ms: 1, tombstones, unwritten: None };
            let meta = Meta { rollback: Some(rollback), ..Meta::default() };
            let blob = meta.encode(&context(writer));
            assert_eq!(needed_version(&blob) == 5, key.is_some(), "writer {writer}");
            assert_eq!(Meta::decode(PARTITION, blob), Ok(meta));
        }
    }
}

#[test]
fn an_origin_of_version_3_has_a_key_of_16_bytes() {
    let key = |length: usize| vec![7; length];
    for (protocol, key, is_valid) in [
        (0, key(0), true),
        (0, key(16), false),
        (3, key(16), true),
        (3, key(15), false),
        (3, key(17), false),
        (3, key(0), false),
        (4, key(16), false),
    ] {
        let mut bytes = StoredOrigin::from(&origin()).encode_to_vec();
        prost::encoding::uint32::encode(8, &protocol, &mut bytes);
        prost::encoding::bytes::encode(9, &key, &mut bytes);
        let read = Origin::try_from(StoredOrigin::decode(&*bytes).unwrap());
        assert_eq!(read.is_ok(), is_valid, "{protocol} {}: {read:?}", key.len());
    }
}

#[test]
fn a_restored_kind_is_that_of_the_message() {
    let kept = || StreamState::restore(snapshot_of_version_3()).unwrap().snapshot();
    assert_eq!(kept(), snapshot_of_version_3());
    activate(Some(Mutation::FlipKind));
    let flipped = kept();
    activate(None);
    assert_ne!(flipped, snapshot_of_version_3());
}
