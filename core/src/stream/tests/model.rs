//! Property test: random valid and invalid inputs against a model of a client and an application.
//!
//! Every message arrives once and in order, no output concerns an unrecorded message, and the records rebuild the
//! state.

mod deliveries;
mod world;

use minerva_proto::link::{Batch, End};
use minerva_proto::{EventNumber, KillReason, Payload, Reset, StreamNumber};
use proptest::prelude::*;

use super::harness::{TAG, bytes};
use crate::limits::Limits;
use crate::stream::AppOutput;
use world::World;

#[derive(Clone, Debug)]
enum Step {
    /// Attaches a transport; `succeeds` names the last one as predecessor, `sack` selects a kind of SACK.
    Attach {
        kind: u8,
        succeeds: bool,
        sack: u8,
        credit: u16,
        resume: bool,
    },
    /// Messages from `back` before the next unsent one, on one of the last transports.
    Messages {
        transport: u8,
        back: u8,
        skip: u8,
        count: u8,
    },
    Sack {
        transport: u8,
        how: u8,
    },
    EndBatch {
        transport: u8,
        how: u8,
    },
    Detach {
        transport: u8,
    },
    Grant {
        transport: u8,
        bytes: u16,
    },
    LinkLost,
    Assign {
        window: u8,
    },
    Unassign {
        has_died: bool,
    },
    Acknowledge {
        behind: u8,
        beyond: bool,
    },
    Send {
        back: u8,
        skip: u8,
        count: u8,
        acknowledge: bool,
    },
    SetLimits {
        max_idle_ms: u16,
    },
    /// A push; `again` repeats the key of the previous one.
    Push {
        count: u8,
        again: bool,
    },
    Wait {
        ms: u16,
    },
    Crash,
}

fn c2s(number: u64) -> Payload {
    format!("c{number}").into()
}

fn s2c(number: u64) -> Payload {
    format!("s{number}").into()
}

fn limits() -> Limits {
    Limits {
        inbox_messages: 6,
        outbox_messages: 8,
        outbox_bytes: 20,
        rwin_messages: 4,
        transports_per_stream: 3,
        ..Limits::default()
    }
}

fn ending(batch: Batch, how: u8) -> Batch {
    match how {
        0 => Batch { reset: Some(Reset::new("bye", true)), ..batch },
        1 => Batch { end: Some(End { kill: None }), ..batch },
        _ => Batch { end: Some(End { kill: Some(KillReason::FrameCorruption) }), ..batch },
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..4, any::<bool>(), 0u8..4, any::<u16>(), any::<bool>()).prop_map(
            |(kind, succeeds, sack, credit, resume)| Step::Attach { kind, succeeds, sack, credit, resume }
        ),
        8 => (0u8..3, 0u8..4, 0u8..3, 0u8..5).prop_map(
            |(transport, back, skip, count)| Step::Messages { transport, back, skip, count }
        ),
        5 => (0u8..3, 0u8..8).prop_map(|(transport, how)| Step::Sack { transport, how }),
        1 => (0u8..3, 0u8..3).prop_map(|(transport, how)| Step::EndBatch { transport, how }),
        2 => (0u8..3).prop_map(|transport| Step::Detach { transport }),
        3 => (0u8..3, any::<u16>()).prop_map(|(transport, bytes)| Step::Grant { transport, bytes }),
        1 => Just(Step::LinkLost),
        3 => (1u8..40).prop_map(|window| Step::Assign { window }),
        2 => any::<bool>().prop_map(|has_died| Step::Unassign { has_died }),
        6 => (0u8..3, prop::bool::weighted(0.05))
            .prop_map(|(behind, beyond)| Step::Acknowledge { behind, beyond }),
        8 => (0u8..3, prop_oneof![9 => Just(0u8), 1 => Just(1)], 0u8..4, any::<bool>()).prop_map(
            |(back, skip, count, acknowledge)| Step::Send { back, skip, count, acknowledge }
        ),
        1 => (1u16..5000).prop_map(|max_idle_ms| Step::SetLimits { max_idle_ms }),
        4 => (0u8..4, any::<bool>()).prop_map(|(count, again)| Step::Push { count, again }),
        1 => (0u16..3000).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_message_arrives_once_and_in_order(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}

#[test]
fn the_model_detects_a_duplicate_delivery() {
    let mut world = World::new();
    world.step(&Step::Assign { window: 30 });
    world.step(&Step::Messages { transport: 0, back: 0, skip: 0, count: 2 });
    let again = AppOutput::Messages {
        stream: StreamNumber(7),
        first_event: EventNumber(1),
        messages: bytes(&["c0"]),
        tag: TAG,
        attempts: 1,
    };
    let session = world.session.unwrap();
    let doubled = std::panic::AssertUnwindSafe(|| world.on_app(session, again));
    assert!(std::panic::catch_unwind(doubled).is_err());
}
