//! Damaged blobs: each is decoded to the written content, or reported with all streams of lost records; never a panic.

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::state::record::entry::{encode_with_header, slot_length};
use crate::state::record::index::EntryIndex;
use crate::state::record::seal::{Position, read_front, read_varint, seal};
use crate::state::restore::MAX_OUTBOX_SPAN;

/// Records of some streams; a push to several streams, and streams with several records.
fn records() -> Vec<(StreamNumber, Record)> {
    let mut records = every_record();
    let again = records[3..6].to_vec();
    records.extend(again);
    let many = StreamNumber::new(PARTITION as u16, 1000).0;
    records.extend(pushes(many..many + 5, &"push".into()));
    records.extend(pushes(many + 2..many + 4, &"other".into()));
    records
}

/// Streams and byte range of a record.
type Slot = (BTreeSet<StreamNumber>, Range<usize>);

/// The streams and the byte ranges of the records of an intact entry, and the end of the seal.
fn layout(blob: &[u8]) -> (Vec<Slot>, usize) {
    let mut rest = &blob[2..];
    let content = read_varint(&mut rest).unwrap() as usize;
    let seal_end = blob.len() - rest.len() + content;
    let (_, _, front) = read_front(rest).unwrap();
    let index = EntryIndex::decode(PARTITION, &mut &rest[front..]).unwrap();
    let mut end = seal_end + index.header_length;
    let slots = index.records.iter().map(|record| {
        end += slot_length(record.length);
        (record.streams().collect(), end - record.length..end)
    });
    (slots.collect(), seal_end)
}

/// Checks that the result for a damaged entry contains no other content, and names all streams of lost records.
fn check(original: &DecodedEntry, damaged: &DecodedEntry) -> Result<(), String> {
    let fail = |reason: &str| Err(format!("{reason}: {damaged:?}"));
    if damaged.tag != original.tag && (damaged.tag.is_known() || !damaged.is_header_damaged) {
        return fail("another tag");
    }
    if damaged.epoch.is_some() && damaged.epoch != original.epoch {
        return fail("another epoch");
    }
    let none = BTreeSet::new();
    let named = match &damaged.damaged {
        DamagedStreams::None => &none,
        DamagedStreams::Known(streams) => streams,
        DamagedStreams::Unknown if damaged.records.is_empty() => return Ok(()),
        DamagedStreams::Unknown => return fail("records of uncertain content"),
    };
    let kept = |entry: &DecodedEntry| -> Vec<_> {
        let records = entry.records.iter();
        records.filter(|(stream, _)| !named.contains(stream)).cloned().collect()
    };
    if kept(original) != kept(damaged) {
        return fail("a stream that is not named has other records");
    }
    let mut written = original.records.iter();
    if !damaged.records.iter().all(|record| written.any(|other| other == record)) {
        return fail("records that were not written");
    }
    Ok(())
}

fn decode_damaged(blob: Vec<u8>) -> DecodedEntry {
    decode_entry(PARTITION, INDEX, blob.into()).expect("damage is never taken for a newer version")
}

/// Two streams are not in the same record; the empty set has no stream.
fn named(entry: &DecodedEntry) -> BTreeSet<StreamNumber> {
    match &entry.damaged {
        DamagedStreams::None => BTreeSet::new(),
        DamagedStreams::Known(streams) => streams.clone(),
        DamagedStreams::Unknown => panic!("streams are unknown"),
    }
}

#[test]
fn a_flipped_bit_costs_only_the_streams_of_its_record() {
    for version in [1, 2] {
        let blob = encoded(version, &records());
        let (original, (slots, _)) = (decoded(blob.clone()), layout(&blob));
        for bit in 0..8 * blob.len() {
            let mut damaged = blob.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = decode_damaged(damaged);
            check(&original, &found).unwrap_or_else(|reason| panic!("bit {bit}: {reason}"));
            let hit = slots.iter().find(|(_, range)| range.contains(&(bit / 8)));
            let streams = hit.map_or_else(BTreeSet::new, |(streams, _)| streams.clone());
            assert_eq!(named(&found), streams, "bit {bit} of {}", 8 * blob.len());
        }
    }
}

#[test]
fn a_missing_end_costs_the_streams_whose_records_are_cut() {
    let blob = encoded(2, &records());
    let (original, (slots, seal_end)) = (decoded(blob.clone()), layout(&blob));
    for length in 0..blob.len() {
        // Cut off, or never written: the end is missing or zero.
        let mut torn = blob.to_vec();
        torn[length..].fill(0);
        for (damaged, is_cut) in [(blob[..length].to_vec(), true), (torn, false)] {
            let found = decode_damaged(damaged);
            check(&original, &found).unwrap_or_else(|reason| panic!("{length}: {reason}"));
            if length < seal_end {
                continue;
            }
            let cut = slots.iter().filter(|(_, range)| range.end > length);
            let cut: BTreeSet<_> = cut.flat_map(|(streams, _)| streams.clone()).collect();
            let named = named(&found);
            assert!(named == cut || (!is_cut && named.is_subset(&cut)), "{length}: {found:?}");
        }
    }
}

#[test]
fn a_damaged_snapshot_or_meta_blob_is_an_error() {
    let rollback = StoreRollback {
        streams_made: 2,
        remaining_ms: 1000,
        tombstones: vec![tombstone(None)],
        unwritten: None,
    };
    for version in [1, 2] {
        let (stored, meta) = blobs(version, &rollback);
        for bit in 0..8 * stored.len().max(meta.len()) {
            let flipped = |blob: &Bytes| {
                let mut damaged = blob.to_vec();
                damaged[bit / 8 % blob.len()] ^= 1 << (bit % 8);
                Bytes::from(damaged)
            };
            check_plain(version, &rollback, flipped(&stored), flipped(&meta));
        }
        for length in 0..stored.len() {
            let cut = |blob: &Bytes| blob.slice(..length.min(blob.len() - 1));
            check_plain(version, &rollback, cut(&stored), cut(&meta));
        }
    }
}

fn written_meta(version: u32, rollback: &StoreRollback) -> Meta {
    let mut created_tags = CreatedTags::default();
    created_tags.note(2, context(version).tag);
    Meta { streams_made: 3, rollback: Some(rollback.clone()), created_tags, checkpoint: None }
}

/// A snapshot and a meta blob.
fn blobs(version: u32, rollback: &StoreRollback) -> (Bytes, Bytes) {
    let context = context(version);
    let meta = written_meta(version, rollback).encode(&context);
    (snapshot().encode(&context, STREAM, INDEX), meta)
}

/// Checks that a damaged snapshot and a damaged meta blob have the written content or are errors.
fn check_plain(version: u32, rollback: &StoreRollback, stored: Bytes, meta: Bytes) {
    let tags = if version == 1 { TagHistory::default() } else { tags() };
    match Snapshot::decode(PARTITION, STREAM, stored) {
        Ok(found) => assert_eq!(found, (Snapshot { tags, ..snapshot() }, INDEX)),
        Err(error) => assert!(!matches!(error, DecodeError::Version { .. }), "{error}"),
    }
    match Meta::decode(PARTITION, meta) {
        Ok(found) => assert_eq!(found, written_meta(version, rollback)),
        Err(error) => assert!(!matches!(error, DecodeError::Version { .. }), "{error}"),
    }
}

#[test]
fn a_blob_of_another_position_is_damaged() {
    let entry = encoded(2, &records());
    for (partition, index) in [(PARTITION + 1, INDEX), (PARTITION, INDEX.next())] {
        let found = decode_entry(partition, index, entry.clone()).unwrap();
        assert_eq!(found, DecodedEntry::unreadable());
    }
    let stored = snapshot().encode(&context(2), STREAM, INDEX);
    let meta = Meta::default().encode(&context(2));
    for (partition, stream) in [(PARTITION + 1, STREAM), (PARTITION, STREAM.next())] {
        let found = Snapshot::decode(partition, stream, stored.clone());
        assert_eq!(found, Err(DecodeError::Checksum));
    }
    assert_eq!(Meta::decode(PARTITION + 1, meta), Err(DecodeError::Checksum));
    assert!(Meta::decode(PARTITION, stored).is_err(), "a snapshot is no meta blob");
}

#[test]
fn an_intact_blob_of_a_newer_version_is_refused_with_both_versions() {
    const NEWER: u8 = STORED_VERSION as u8 + 1;
    let error = DecodeError::Version { needs: NEWER.into(), reads: STORED_VERSION };
    assert_eq!(
        error.to_string(),
        "needs a program that reads version 8 of the stored form; this one reads versions 1 to 7"
    );
    // A header with a field that this program does not know.
    let entry =
        encode_with_header(&context(2), INDEX, &records(), &[8, NEWER, 0x22, 2, 0xff, 0xff]);
    assert_eq!(decode_entry(PARTITION, INDEX, entry.clone()), Err(error.clone()));
    let mut damaged = entry.to_vec();
    damaged[0] ^= 1;
    assert_eq!(decode_entry(PARTITION, INDEX, damaged.into()), Err(error.clone()));
    // Content behind the version that this program cannot decode.
    let newer =
        |position| seal(&context(2), position, 4, |blob| blob.extend([8, NEWER, 0xff, 0xff]));
    let stored = newer(Position::Snapshot(STREAM));
    assert_eq!(Snapshot::decode(PARTITION, STREAM, stored), Err(error.clone()));
    assert_eq!(Meta::decode(PARTITION, newer(Position::Meta)), Err(error));
}

#[test]
fn bytes_without_a_seal_are_accepted_only_as_release_0_1_wrote_them() {
    for (bytes, reason) in [
        (&[][..], "empty"),
        (&[8, 1], "no records"),
        (&[8, 2], "a version that has seals"),
        (&[8, 1, 0x12, 4, 8, 7, 0x38], "cut"),
        (&[8, 1, 0x12, 4, 8, 7, 0x38, 0, 0x20, 0], "a field that release 0.1 does not write"),
        (&[8, 0x81, 0, 0x12, 4, 8, 7, 0x38, 0], "a number in another encoding"),
        (&[8, 1, 0x12, 7, 8, 7, 0x38, 0, 0x72, 1, 1], "copies of a record that is no push"),
        (&[0x12, 4, 8, 7, 0x38, 0], "no version"),
    ] {
        let found = decode_entry(PARTITION, INDEX, Bytes::from_static(bytes)).unwrap();
        assert_eq!(found, DecodedEntry::unreadable(), "{reason}");
    }
    let intact = Bytes::from_static(&[8, 1, 0x12, 4, 8, 7, 0x38, 0]);
    let records = vec![(StreamNumber(7), Record::Acknowledged { event: EventNumber(0) })];
    assert_eq!(decoded(intact).records, records);
    assert_eq!(
        Snapshot::decode(PARTITION, STREAM, Bytes::from_static(&[8, 2])),
        Err(DecodeError::Checksum)
    );
    assert_eq!(Meta::decode(PARTITION, Bytes::from_static(&[8, 2])), Err(DecodeError::Checksum));
    assert_eq!(Meta::decode(PARTITION, Bytes::from_static(&[8, 1])), Ok(Meta::default()));
}

/// The span of an outbox bounds the memory of a restored state.
#[test]
fn a_snapshot_with_an_impossible_outbox_is_refused() {
    let restored = |span: u64| {
        let next = MessageNumber(1 + span);
        let tags = TagHistory::default();
        let message = vec![(MessageNumber(1), "s".into())];
        let wide = Snapshot { outbox_next: next, outbox: message, tags, ..snapshot() };
        StreamState::restore(Snapshot { waiting: Vec::new(), inbox: vec!["c".into()], ..wide })
    };
    for (span, is_ok) in
        [(MAX_OUTBOX_SPAN - 1, true), (MAX_OUTBOX_SPAN, true), (MAX_OUTBOX_SPAN + 1, false)]
    {
        assert_eq!(restored(span).is_ok(), is_ok, "{span}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_never_yield_other_content(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        version in 1u32..3,
    ) {
        let changed = |blob: &Bytes| {
            let mut blob = blob.to_vec();
            for (at, byte) in &changes {
                let at = at.index(blob.len());
                blob[at] = *byte;
            }
            blob
        };
        let blob = encoded(version, &records());
        let found = decode_damaged(changed(&blob));
        prop_assert_eq!(check(&decoded(blob), &found), Ok(()));
        let rollback = StoreRollback {
            streams_made: 2,
            remaining_ms: 1000,
            tombstones: Vec::new(),
            unwritten: None,
        };
        let (stored, meta) = blobs(version, &rollback);
        check_plain(version, &rollback, changed(&stored).into(), changed(&meta).into());
    }

    /// Blobs of release 0.1 have no checksum: a damaged one may have other content, but is never a panic.
    #[test]
    fn damaged_blobs_without_a_seal_never_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let entry = encoded(1, &records());
        let (_, seal_end) = layout(&entry);
        let stored = snapshot().encode(&context(1), STREAM, INDEX);
        let meta = Meta { streams_made: 3, ..Meta::default() }.encode(&context(1));
        let length = |blob: &Bytes| 3 + usize::from(blob[2]);
        let unsealed = [
            entry.slice(seal_end..),
            stored.slice(length(&stored)..),
            meta.slice(length(&meta)..),
        ];
        for blob in unsealed {
            let mut damaged = blob.to_vec();
            let at = at.index(damaged.len());
            damaged[at] = byte;
            let damaged = Bytes::from(damaged);
            let entry = decode_damaged(damaged.to_vec());
            for (_, record) in entry.records {
                let mut state = StreamState::new(origin().into(), 1, entry.tag);
                let _ = state.apply(&record, entry.tag);
            }
            if let Ok((snapshot, _)) = Snapshot::decode(PARTITION, STREAM, damaged.clone()) {
                let _ = StreamState::restore(snapshot);
            }
            let _ = Meta::decode(PARTITION, damaged);
        }
    }
}
