//! Messages and descriptors of every release, in `proto/golden`: this build reads the messages without a loss, and has
//! every field, value and call of the descriptors under the same number and type.
#![cfg(feature = "grpc")]
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "these are tests, too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use minerva_proto::link::{decode, encode, greeting, pb};
use minerva_proto::{PartitionHash, app};
use prost::Message;
use prost_reflect::text_format::FormatOptions;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};

#[path = "golden/compare.rs"]
mod compare;

/// The sets by release.
fn sets() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let entries = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path());
    let sets: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    assert!(!sets.is_empty());
    sets
}

/// The messages of a set: type, path of the text, and bytes.
fn messages(set: &Path) -> Vec<(String, PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(set).unwrap().map(|entry| entry.unwrap().path());
    let texts = entries.filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.ends_with(".txt") && name != "partitions.txt"
    });
    let message = |text: PathBuf| {
        let name = text.file_name().unwrap().to_str().unwrap();
        let kind = name.split('.').next().unwrap().to_owned();
        let bytes = fs::read(text.with_extension("bin")).unwrap();
        (kind, text, bytes)
    };
    texts.map(message).collect()
}

/// The contracts of a release.
fn contract(set: &Path) -> DescriptorPool {
    DescriptorPool::decode(&fs::read(set.join("contract.binpb")).unwrap()[..]).unwrap()
}

fn of_this_build() -> DescriptorPool {
    DescriptorPool::decode(app::DESCRIPTORS).unwrap()
}

fn descriptor(pool: &DescriptorPool, kind: &str) -> MessageDescriptor {
    let package = if kind.ends_with("Frame") { "link" } else { "app" };
    pool.get_message_by_name(&format!("minerva.{package}.v1.{kind}")).unwrap()
}

/// Whether a message or one of its parts has a field that the descriptor does not have.
fn has_unknown_fields(message: &DynamicMessage) -> bool {
    fn in_value(value: &Value) -> bool {
        match value {
            Value::Message(message) => has_unknown_fields(message),
            Value::List(values) => values.iter().any(in_value),
            _ => false,
        }
    }
    message.unknown_fields().next().is_some() || message.fields().any(|(_, value)| in_value(value))
}

/// Decodes and encodes with the generated types.
fn generated(kind: &str, bytes: &[u8]) -> Vec<u8> {
    fn again<M: Message + Default>(bytes: &[u8]) -> Vec<u8> {
        M::decode(bytes).unwrap().encode_to_vec()
    }
    match kind {
        "EdgeFrame" => again::<pb::EdgeFrame>(bytes),
        "CoreFrame" => again::<pb::CoreFrame>(bytes),
        "Command" => again::<app::Command>(bytes),
        "Event" => again::<app::Event>(bytes),
        _ => panic!("{kind}"),
    }
}

#[test]
fn messages_of_every_release_have_the_text_beside_them() {
    for set in sets() {
        let pool = contract(&set);
        for (kind, path, bytes) in messages(&set) {
            let message = DynamicMessage::decode(descriptor(&pool, &kind), &bytes[..]).unwrap();
            let text = message.to_text_format_with_options(&FormatOptions::new().pretty(true));
            assert_eq!(text.trim(), fs::read_to_string(&path).unwrap().trim(), "{path:?}");
        }
    }
}

#[test]
fn messages_of_every_release_are_read_without_a_loss() {
    let pool = of_this_build();
    for set in sets() {
        for (kind, path, bytes) in messages(&set) {
            assert_eq!(generated(&kind, &bytes), bytes, "{path:?}");
            let message = DynamicMessage::decode(descriptor(&pool, &kind), &bytes[..]).unwrap();
            assert!(!has_unknown_fields(&message), "{path:?}");
        }
    }
}

#[test]
fn frames_of_every_release_pass_the_checked_codec() {
    for set in sets() {
        for (kind, path, bytes) in messages(&set) {
            let again = match kind.as_str() {
                "EdgeFrame" => edge_again(&bytes),
                "CoreFrame" => core_again(&bytes),
                _ => continue,
            };
            assert_eq!(again, bytes, "{path:?}");
        }
    }
}

/// Decodes and encodes a frame; accepts a hello.
fn edge_again(bytes: &[u8]) -> Vec<u8> {
    let frame = pb::EdgeFrame::decode(bytes).unwrap();
    if let Some(pb::edge_frame::Frame::Hello(hello)) = frame.frame {
        greeting::accept_edge(hello, PartitionHash::UNKEYED).unwrap();
        return bytes.to_vec();
    }
    encode::edge_frame(decode::edge_frame(frame).unwrap()).encode_to_vec()
}

fn core_again(bytes: &[u8]) -> Vec<u8> {
    let frame = pb::CoreFrame::decode(bytes).unwrap();
    if let Some(pb::core_frame::Frame::Hello(hello)) = frame.frame {
        greeting::accept_core(hello).unwrap();
        return bytes.to_vec();
    }
    encode::core_frame(decode::core_frame(frame).unwrap()).encode_to_vec()
}

#[test]
fn a_set_has_every_kind_of_frame_command_and_event() {
    for set in sets() {
        let pool = contract(&set);
        for kind in ["EdgeFrame", "CoreFrame", "Command", "Event"] {
            let of_set = messages(&set).into_iter().filter(|(of, ..)| of == kind);
            let covered: BTreeSet<u32> = of_set
                .flat_map(|(_, _, bytes)| {
                    let message = DynamicMessage::decode(descriptor(&pool, kind), &bytes[..]);
                    message.unwrap().fields().map(|(field, _)| field.number()).collect::<Vec<_>>()
                })
                .collect();
            let all: BTreeSet<u32> =
                descriptor(&pool, kind).fields().map(|field| field.number()).collect();
            assert_eq!(covered, all, "{kind} in {set:?}");
        }
    }
}

#[test]
fn the_contracts_of_every_release_are_a_part_of_the_present_ones() {
    for set in sets() {
        assert_eq!(compare::differences(&contract(&set), &of_this_build()), [""; 0], "{set:?}");
    }
}

/// Run at a release, after the texts of new messages have been added to the set of the release; see proto/golden/README.md.
#[test]
#[ignore = "writes the missing files of the newest set"]
fn write_missing_files() {
    let set = sets().into_iter().max().unwrap();
    let contract = set.join("contract.binpb");
    if !contract.exists() {
        let mut files = of_this_build().encode_to_vec();
        let pool = DescriptorPool::decode(&files[..]).unwrap();
        let mut stripped = pool.file_descriptor_protos().cloned().collect::<Vec<_>>();
        stripped.iter_mut().for_each(|file| file.source_code_info = None);
        files = prost_reflect::prost_types::FileDescriptorSet { file: stripped }.encode_to_vec();
        fs::write(contract, files).unwrap();
    }
    for entry in fs::read_dir(&set).unwrap() {
        let text = entry.unwrap().path();
        let name = text.file_name().unwrap().to_str().unwrap();
        let bytes = text.with_extension("bin");
        if !name.ends_with(".txt") || name == "partitions.txt" || bytes.exists() {
            continue;
        }
        let kind = descriptor(&of_this_build(), name.split('.').next().unwrap());
        let message = DynamicMessage::parse_text_format(kind, &fs::read_to_string(&text).unwrap());
        fs::write(bytes, message.unwrap().encode_to_vec()).unwrap();
    }
}
