//! Takeovers of a stream by transports at different edges.

use std::sync::atomic::Ordering;

use minerva_proto::link::{Attach, CloseCause, CoreFrame, CoreMessage};

use super::harness::{Harness, hello, is_opened, options, run_until_idle, transport_of};
use super::store::TestStore;
use crate::limits::Limits;
use crate::partition::{LinkHandle, LinkId, Mail, OutputReceiver, output_channel};

/// A second edge.
struct OtherEdge {
    link: LinkHandle,
    frames: OutputReceiver<CoreFrame>,
}

impl OtherEdge {
    fn new() -> Self {
        let (outputs, frames) = output_channel();
        Self { link: LinkHandle { id: LinkId(2), claim_tags: true, outputs }, frames }
    }

    fn attach(&self, harness: &Harness, attach: Attach) {
        let transport = transport_of(&attach);
        harness.send(Mail::Attach { link: self.link.clone(), transport, attach: Box::new(attach) });
    }

    fn outputs(&mut self) -> Vec<CoreFrame> {
        std::iter::from_fn(|| self.frames.try_next()).collect()
    }
}

/// Reason and wait, in milliseconds, of a refusal.
fn refusal(frame: &CoreFrame) -> Option<(&str, u128)> {
    let Some(CoreMessage::Close(close)) = frame.message() else { return None };
    let CloseCause::Unavailable { reason, retry_after } = &close.cause else { return None };
    Some((reason, retry_after.as_millis()))
}

#[tokio::test]
async fn a_client_that_alternates_between_two_edges_is_limited() {
    let limits = Limits { max_stream_takeovers: 2, ..Limits::default() };
    let mut harness = Harness::start_with(&TestStore::free(), limits, options(), false).await;
    let mut other = OtherEdge::new();
    let next = |number| Attach { create: number == 0, ..hello(number, "alternating") };
    for number in 0..=20 {
        match number % 2 {
            0 => harness.attach(next(number)),
            _ => other.attach(&harness, next(number)),
        }
        run_until_idle().await;
        let frames = if number % 2 == 0 { harness.edge_outputs() } else { other.outputs() };
        assert!(frames.iter().any(is_opened), "{number}: {frames:?}");
        // The close of the replaced transport.
        harness.edge_outputs();
        other.outputs();
    }
    other.attach(&harness, next(21));
    harness.attach(next(22));
    // Another stream of the client is not affected.
    other.attach(&harness, hello(23, "another stream"));
    run_until_idle().await;
    let refused = |frames: &[CoreFrame]| frames.iter().filter_map(refusal).count();
    let frames = other.outputs();
    assert_eq!(frames.iter().find_map(refusal), Some(("busy", 500)));
    assert_eq!((refused(&frames), refused(&harness.edge_outputs())), (1, 1));
    assert!(frames.iter().any(is_opened), "{frames:?}");
    assert_eq!(harness.counters.takeovers.load(Ordering::Relaxed), 20);
    assert_eq!(harness.counters.refused[0].load(Ordering::Relaxed), 2);
    harness.wait(500).await;
    harness.attach(next(24));
    run_until_idle().await;
    assert!(harness.edge_outputs().iter().any(is_opened));
}
