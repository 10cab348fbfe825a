//! Golden files: blobs of each stored version as a program wrote them (`core/src/state/record/golden/VERSION`).
//!
//! Each blob has its decoded text beside it. Set 1 was written by the programs of release 0.1. With
//! `MINERVA_GOLDEN=write` the tests write the set of the newest version and all texts; a released set is never written.
//! `docs/releasing.md` describes the steps of a release.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use minerva_proto::TransportKind;

use super::identities::{identified, identity};
use super::kinds::{records_of_version_3, snapshot_of_version_3};
use super::sessions::{records_of_sessions, snapshot_of_session};
use super::*;
use crate::state::CheckpointSummary;
use crate::state::record::seal::read_varint;

/// Number of record kinds; see [`kind_of`].
const RECORD_KINDS: usize = 17;

/// The complete sets, each with the CRC-32C of its files. They never change.
const RELEASED: &[(u32, u32)] = &[
    (1, 0xedbb_0e88),
    (2, 0x01dc_871c),
    (3, 0xb81a_10e0),
    (4, 0xe992_4259),
    (5, 0xe77b_266e),
    (6, 0xaa91_2633),
];

/// A number for each kind of record. A new kind gets the next number; the set of the newest version must contain it.
fn kind_of(record: &Record) -> usize {
    match record {
        Record::Opened { .. } => 0,
        Record::Assigned { .. } => 1,
        Record::Received { .. } => 2,
        Record::ServiceSelected { .. } => 3,
        Record::Sacked(_) => 4,
        Record::Sent { .. } => 5,
        Record::Pushed(_) => 6,
        Record::Acknowledged { .. } => 7,
        Record::Ended(_) => 8,
        Record::LimitsSet { .. } => 9,
        Record::Labelled { .. } => 10,
        Record::JoinedGroup { .. } => 11,
        Record::LeftGroup { .. } => 12,
        Record::Finishing { .. } => 13,
        Record::Adopted { .. } => 14,
        Record::Trimmed { .. } => 15,
        Record::Identified { .. } => 16,
    }
}

/// A golden file: `KIND-PARTITION-NUMBER[-LABEL].bin`.
struct Golden {
    path: PathBuf,
    kind: String,
    partition: u32,
    number: u64,
    is_labelled: bool,
    blob: Bytes,
}

/// The decoded content of a golden file.
enum Content {
    Entry(DecodedEntry),
    Snapshot(Box<Snapshot>, LogIndex),
    Meta(Meta),
}

fn directory(set: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/state/record/golden").join(set.to_string())
}

fn must_write() -> bool {
    std::env::var_os("MINERVA_GOLDEN").is_some_and(|value| value == "write")
}

/// The files of a set in the order of their names.
fn set(version: u32) -> Vec<Golden> {
    let files = fs::read_dir(directory(version)).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "bin")).collect();
    files.sort();
    files.into_iter().map(Golden::read).collect()
}

impl Golden {
    fn read(path: PathBuf) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut parts = name.split('-');
        let kind = parts.next().unwrap().to_owned();
        let mut number = || parts.next().unwrap().parse::<u64>().unwrap();
        let (partition, number) = (number() as u32, number());
        let is_labelled = parts.next().is_some();
        let blob = fs::read(&path).unwrap().into();
        Self { path, kind, partition, number, is_labelled, blob }
    }

    fn decode(&self) -> Content {
        let (partition, blob) = (self.partition, self.blob.clone());
        match self.kind.as_str() {
            "entry" => {
                Content::Entry(decode_entry(partition, LogIndex(self.number), blob).unwrap())
            }
            "snapshot" => {
                let stream = StreamNumber(self.number);
                let (snapshot, as_of) = Snapshot::decode(partition, stream, blob).unwrap();
                Content::Snapshot(snapshot.into(), as_of)
            }
            "meta" => Content::Meta(Meta::decode(partition, blob).unwrap()),
            kind => panic!("{kind}"),
        }
    }

    /// The content encoded again by a writer of `version`.
    fn encode(&self, content: &Content, version: u32) -> Bytes {
        let context = BlobContext { partition: self.partition, ..context(version) };
        let number = self.number;
        match content {
            Content::Entry(entry) => encode_entry(&context, LogIndex(number), &entry.records),
            Content::Snapshot(snapshot, as_of) => {
                snapshot.encode(&context, StreamNumber(number), *as_of)
            }
            Content::Meta(meta) => meta.encode(&context),
        }
    }
}

impl Content {
    /// The content as a text for a reader.
    fn text(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Entry(entry) => {
                let DecodedEntry { tag, epoch, records, damaged, is_header_damaged } = entry;
                assert_eq!((damaged, is_header_damaged), (&DamagedStreams::None, &false));
                writeln!(text, "claim tag {tag}, epoch {epoch:?}").unwrap();
                for (stream, record) in records {
                    writeln!(text, "stream {stream}: {record:#?}").unwrap();
                }
            }
            Self::Snapshot(snapshot, as_of) => {
                writeln!(text, "as of {as_of}: {snapshot:#?}").unwrap();
            }
            Self::Meta(meta) => writeln!(text, "{meta:#?}").unwrap(),
        }
        text
    }
}

/// Writes the set of the newest version: an entry with all kinds of records, and the snapshots and meta blobs of
/// set 1 with claim tags, redeliveries and a finish.
fn write_newest_set() {
    let is_released = RELEASED.iter().any(|(version, _)| *version == STORED_VERSION);
    if !must_write() || is_released {
        return;
    }
    let directory = directory(STORED_VERSION);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let write = |name: String, blob: Bytes| fs::write(directory.join(name), blob).unwrap();
    let first = StreamNumber::new(PARTITION as u16, 100).0;
    let mut every = every_record();
    let redelivered = Record::Assigned { instance: "i-2".into(), redeliveries: 3 };
    every.push((StreamNumber(first), redelivered));
    every.push((StreamNumber(first), Record::Finishing { reason: "finished".into() }));
    every.extend(records_of_version_3().map(|record| (StreamNumber(first + 1), record)));
    every.extend(records_of_sessions().map(|record| (StreamNumber(first + 1), record)));
    every.push((StreamNumber(first + 1), identified()));
    for (index, records) in [every, pushes(first..first + 5, &"push".into())].iter().enumerate() {
        let blob = encode_entry(&context(STORED_VERSION), LogIndex(index as u64), records);
        write(format!("entry-{PARTITION}-{index}.bin"), blob);
    }
    for golden in set(1) {
        let content = match golden.decode() {
            Content::Entry(_) => continue,
            Content::Snapshot(..) if golden.is_labelled => continue,
            Content::Snapshot(snapshot, as_of) => {
                let tags = tags_of(&snapshot);
                let mut snapshot = Snapshot { tags, redeliveries: 2, ..*snapshot };
                snapshot.attributes.finish = snapshot.ended.is_none().then(|| "finished".into());
                Content::Snapshot(snapshot.into(), as_of)
            }
            Content::Meta(mut meta) => {
                meta.created_tags.note(1, ClaimTag(1));
                meta.created_tags.note(3, ClaimTag(2));
                let stored = [(StreamNumber(first), LogIndex(4))].into();
                meta.checkpoint = Some(CheckpointSummary::new(LogIndex(7), &stored));
                let rollback = meta.rollback.iter_mut();
                rollback.for_each(|rollback| rollback.tombstones.push(tombstone(Some(KEY))));
                Content::Meta(meta)
            }
        };
        let name = golden.path.file_name().unwrap().to_str().unwrap();
        write(name.to_owned(), golden.encode(&content, STORED_VERSION));
    }
    let stream = StreamNumber(first + 1);
    let blob = snapshot_of_version_3().encode(&context(STORED_VERSION), stream, LogIndex(9));
    write(format!("snapshot-{PARTITION}-{stream}.bin"), blob);
    let stream = StreamNumber(first + 2);
    let blob = snapshot_of_session().encode(&context(STORED_VERSION), stream, LogIndex(9));
    write(format!("snapshot-{PARTITION}-{stream}.bin"), blob);
    let stream = StreamNumber(first + 3);
    let identity = Some(identity().into());
    let snapshot = Snapshot { identity, ..snapshot_of_version_3() };
    let blob = snapshot.encode(&context(STORED_VERSION), stream, LogIndex(9));
    write(format!("snapshot-{PARTITION}-{stream}.bin"), blob);
}

/// Claim tags of a stream whose owner has changed.
fn tags_of(snapshot: &Snapshot) -> TagHistory {
    let mut tags = TagHistory::new(ClaimTag(1));
    tags.note(
        ClaimTag(2),
        NextNumbers {
            c2s: snapshot.received_next,
            event: snapshot.inbox_base,
            s2c: snapshot.outbox_base,
        },
    );
    tags
}

/// CRC-32C of the names and blobs of a set.
fn digest(version: u32) -> u32 {
    set(version).iter().fold(0, |crc, golden| {
        let name = golden.path.file_name().unwrap().to_str().unwrap();
        crc32c::crc32c_append(crc32c::crc32c_append(crc, name.as_bytes()), &golden.blob)
    })
}

#[test]
fn released_sets_are_unchanged() {
    for (version, crc) in RELEASED {
        assert_eq!(digest(*version), *crc, "golden files of version {version}");
    }
}

/// The part of a blob behind the seal.
fn without_seal(blob: &Bytes) -> Bytes {
    let mut rest = &blob[2..];
    let length = read_varint(&mut rest).unwrap() as usize;
    blob.slice_ref(&rest[length..])
}

#[test]
fn golden_files_of_all_versions_are_decoded_and_encoded_without_a_change() {
    write_newest_set();
    for version in 1..=STORED_VERSION {
        let files = set(version);
        assert!(!files.is_empty(), "no golden files of version {version}");
        for golden in files {
            let (path, content) = (golden.path.display(), golden.decode());
            let text = golden.path.with_extension("txt");
            if must_write() {
                fs::write(&text, content.text()).unwrap();
            }
            let expected = fs::read_to_string(&text).unwrap();
            assert_eq!(content.text(), expected, "{path}: other content than the text");
            let again = golden.encode(&content, version);
            // The programs of release 0.1 wrote no seal.
            let again = if version == 1 { without_seal(&again) } else { again };
            assert_eq!(again, golden.blob, "{path}: encoded with other bytes");
        }
    }
}

#[test]
fn golden_states_are_restored() {
    for version in 1..=STORED_VERSION {
        for golden in set(version) {
            if let Content::Snapshot(snapshot, _) = golden.decode() {
                let state = StreamState::restore(Snapshot::clone(&snapshot)).unwrap();
                assert_eq!(state.snapshot(), *snapshot, "{}", golden.path.display());
            }
        }
    }
}

#[test]
fn each_set_has_all_kinds_of_content_of_its_version() {
    for version in 1..=STORED_VERSION {
        let (mut kinds, mut covered) = (BTreeSet::new(), BTreeSet::new());
        for golden in set(version) {
            match golden.decode() {
                Content::Entry(entry) => {
                    kinds.extend(entry.records.iter().map(|(_, record)| kind_of(record)));
                    for (_, record) in &entry.records {
                        if let Record::Ended(ended) = record {
                            covered.insert(format!("ended by {:?}", ended.by));
                        }
                    }
                }
                Content::Snapshot(snapshot, _) => covered.extend(parts_of(&snapshot)),
                Content::Meta(meta) => covered.extend(parts_of_meta(&meta)),
            }
        }
        // Release 0.1 had all kinds of records but the finish and those of sessions.
        let expected = match version {
            7.. => RECORD_KINDS,
            6 => 16,
            4.. => 14,
            _ => 13,
        };
        assert_eq!(kinds, (0..expected).collect(), "records of version {version}");
        let mut parts = PARTS.to_vec();
        parts.extend(if version >= 2 {
            &["claim tags", "created tags", "checkpoint"][..]
        } else {
            &[]
        });
        parts.extend((version >= 3).then_some("redeliveries"));
        parts.extend((version >= 4).then_some("finish"));
        let kinds = ["version 3", "text", "binary", "keys of tombstones"];
        parts.extend(kinds.into_iter().filter(|_| version >= 5));
        let sessions = ["session", "retained", "acknowledged beyond a gap"];
        parts.extend(sessions.into_iter().filter(|_| version >= 6));
        parts.extend((version >= 7).then_some("identity"));
        let covered: BTreeSet<&str> = covered.iter().map(String::as_str).collect();
        assert_eq!(covered, parts.into_iter().collect(), "content of version {version}");
    }
}

/// Content that a set must have besides records.
const PARTS: [&str; 22] = [
    "TCP",
    "WebSocket",
    "HTTP stream",
    "long poll",
    "no transport kind",
    "credentials",
    "headers",
    "selected service",
    "no instance",
    "inbox",
    "gap in the inbox",
    "outbox",
    "gap in the outbox",
    "label",
    "groups",
    "keys",
    "limits",
    "ended by Client",
    "ended by App",
    "ended by Core",
    "tombstones",
    "unwritten messages",
];

fn parts_of(snapshot: &Snapshot) -> Vec<String> {
    let Attributes { label, groups, keys, outbox, .. } = &snapshot.attributes;
    let kind = match snapshot.origin.kind {
        None => "no transport kind",
        Some(TransportKind::Tcp) => "TCP",
        Some(TransportKind::WebSocket) => "WebSocket",
        Some(TransportKind::HttpStream) => "HTTP stream",
        Some(TransportKind::LongPoll) => "long poll",
    };
    let sent = snapshot.outbox.len() as u64;
    let parts = [
        (true, kind),
        (!snapshot.origin.credentials.is_empty(), "credentials"),
        (!snapshot.origin.headers.is_empty(), "headers"),
        (snapshot.selected_service.is_some(), "selected service"),
        (snapshot.instance.is_none(), "no instance"),
        (!snapshot.inbox.is_empty(), "inbox"),
        (!snapshot.waiting.is_empty(), "gap in the inbox"),
        (sent > 0, "outbox"),
        (sent < snapshot.outbox_next - snapshot.outbox_base, "gap in the outbox"),
        (label.is_some(), "label"),
        (!groups.is_empty(), "groups"),
        (!keys.is_empty(), "keys"),
        (*outbox != OutboxLimits::default(), "limits"),
        (!snapshot.tags.is_empty(), "claim tags"),
        (snapshot.redeliveries > 0, "redeliveries"),
        (snapshot.attributes.finish.is_some(), "finish"),
        (snapshot.origin.protocol.has_kinds(), "version 3"),
        (
            snapshot.inbox.iter().any(|message| !message.is_binary() && !message.is_ascii_text()),
            "text",
        ),
        (snapshot.outbox.iter().any(|(_, message)| message.is_binary()), "binary"),
        (snapshot.session.is_some(), "session"),
        (!snapshot.retained.is_empty(), "retained"),
        (!snapshot.beyond.is_empty(), "acknowledged beyond a gap"),
        (snapshot.identity.is_some(), "identity"),
    ];
    let ended = snapshot.ended.iter().map(|ended| format!("ended by {:?}", ended.by));
    let parts = parts.into_iter().filter(|(is_there, _)| *is_there);
    parts.map(|(_, part)| part.to_owned()).chain(ended).collect()
}

fn parts_of_meta(meta: &Meta) -> Vec<String> {
    let rollback = meta.rollback.as_ref();
    let parts = [
        (rollback.is_some_and(|rollback| !rollback.tombstones.is_empty()), "tombstones"),
        (rollback.is_some_and(|rollback| rollback.unwritten.is_some()), "unwritten messages"),
        (
            rollback
                .is_some_and(|rollback| rollback.tombstones.iter().any(|end| end.key.is_some())),
            "keys of tombstones",
        ),
        (meta.created_tags.lines().len() > 0, "created tags"),
        (meta.checkpoint.is_some(), "checkpoint"),
    ];
    parts.into_iter().filter(|(is_there, _)| *is_there).map(|(_, part)| part.to_owned()).collect()
}
