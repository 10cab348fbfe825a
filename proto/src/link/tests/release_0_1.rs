//! Random frames of this build, read with the descriptors of release 0.1: no field is unknown there.

use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};

use super::values::{core_frame, edge_frame};
use crate::link::{CloseCause, encode};

const CONTRACT: &[u8] = include_bytes!("../../../golden/0.1/contract.binpb");

/// Numbers of the fields that the descriptors do not have, in the message and its parts.
fn unknown_fields(message: &DynamicMessage) -> Vec<u32> {
    fn in_value(value: &Value) -> Vec<u32> {
        if let Value::Message(message) = value {
            return unknown_fields(message);
        }
        value.as_list().unwrap_or_default().iter().flat_map(in_value).collect()
    }
    let own = message.unknown_fields().map(|field| field.number());
    own.chain(message.fields().flat_map(|(_, value)| in_value(value))).collect()
}

fn read(kind: &str, frame: &impl Message) -> DynamicMessage {
    let pool = DescriptorPool::decode(CONTRACT).unwrap();
    let descriptor = pool.get_message_by_name(kind).unwrap();
    DynamicMessage::decode(descriptor, &frame.encode_to_vec()[..]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn release_0_1_has_all_fields_of_an_edge_frame(frame in edge_frame()) {
        let message = read("minerva.link.v1.EdgeFrame", &encode::edge_frame(frame));
        prop_assert_eq!(unknown_fields(&message), [0_u32; 0]);
    }

    /// Release 0.1 reads `Close.refused`, field 8, as a graceful close.
    #[test]
    fn release_0_1_has_all_fields_of_a_core_frame_but_refused(frame in core_frame()) {
        let refused = matches!(frame.close_cause(), Some(CloseCause::Refused { .. }));
        let message = read("minerva.link.v1.CoreFrame", &encode::core_frame(frame));
        prop_assert_eq!(unknown_fields(&message), if refused { vec![8] } else { vec![] });
    }
}
