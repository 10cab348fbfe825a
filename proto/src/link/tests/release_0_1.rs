//! Random frames of this build, read with the descriptors of release 0.1: the listed additions are the only unknown
//! fields there.

use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value};

use super::values::{core_frame, edge_frame};
use crate::link::encode;

const CONTRACT: &[u8] = include_bytes!("../../../golden/0.1/contract.binpb");

/// Fields that 0.1 does not have and skips: message by its name in 0.1, and number. Each addition is harmless without
/// its effect. `Close.refused`: 0.1 closes the transport gracefully. Claim tags: 0.1 writes nothing for messages
/// without content, and compares no tag. The key of an address: 0.1 has no limits by address. Version 3 of the client
/// protocol, with keys, kinds of messages and `Close.wrong_version`: no edge attaches such a transport to 0.1. The
/// place of the first heartbeat: 0.1 writes the heartbeat first.
const ADDED: &[(&str, u32)] = &[
    ("Close", 8),
    ("Close", 9),
    ("Close", 10),
    ("Resume", 3),
    ("Strings", 4),
    ("Strings", 5),
    ("Run", 3),
    ("Attach", 20),
    ("Attach", 21),
    ("Attach", 22),
    ("Attach", 23),
    ("Attach", 24),
    ("Attach", 25),
    ("Attach", 26),
    ("Attach", 27),
    ("Attach", 28),
    ("Attach", 29),
    ("Batch", 7),
    ("Opened", 5),
    ("Opened", 6),
    ("Strings", 6),
    ("Opened", 7),
    ("Batch", 8),
    ("Strings", 7),
];

/// The unknown fields of a message and its parts.
fn unknown_fields(message: &DynamicMessage) -> Vec<(String, u32)> {
    fn in_value(value: &Value) -> Vec<(String, u32)> {
        if let Value::Message(message) = value {
            return unknown_fields(message);
        }
        value.as_list().unwrap_or_default().iter().flat_map(in_value).collect()
    }
    let name = message.descriptor().name().to_owned();
    let own = message.unknown_fields().map(|field| (name.clone(), field.number()));
    own.chain(message.fields().flat_map(|(_, value)| in_value(value))).collect()
}

/// The unknown fields of a frame that are not listed.
fn unlisted(kind: &str, frame: &impl Message) -> Vec<(String, u32)> {
    let pool = DescriptorPool::decode(CONTRACT).unwrap();
    let descriptor = pool.get_message_by_name(kind).unwrap();
    let message = DynamicMessage::decode(descriptor, &frame.encode_to_vec()[..]).unwrap();
    let is_listed = |(name, number): &(String, u32)| ADDED.contains(&(name.as_str(), *number));
    unknown_fields(&message).into_iter().filter(|field| !is_listed(field)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn release_0_1_has_all_fields_of_an_edge_frame_but_additions(frame in edge_frame()) {
        let unlisted = unlisted("minerva.link.v1.EdgeFrame", &encode::edge_frame(frame));
        prop_assert!(unlisted.is_empty(), "not listed in ADDED: {unlisted:?}");
    }

    #[test]
    fn release_0_1_has_all_fields_of_a_core_frame_but_additions(frame in core_frame()) {
        let unlisted = unlisted("minerva.link.v1.CoreFrame", &encode::core_frame(frame));
        prop_assert!(unlisted.is_empty(), "not listed in ADDED: {unlisted:?}");
    }
}
