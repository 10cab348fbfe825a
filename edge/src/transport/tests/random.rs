//! Property tests: invariants under random bytes, frames and core messages in random order.

use minerva_proto::{KillReason, Reset, Sack};
use proptest::prelude::*;

use super::*;

/// Small, so that random sequences reach the limit.
const UNTAKEN: usize = 2_000;
const LONGEST: usize = 1_100;

#[derive(Debug, Clone)]
enum Step {
    Bytes(Vec<u8>, bool),
    Frames(Vec<String>, bool),
    Input(Input),
    /// Takes a batch, counted from the last one sent.
    Taken(u64),
    Pass(u64),
    /// Cuts the next read at this point.
    Written,
}

fn steps() -> impl Strategy<Value = Step> {
    let frame = prop_oneof![
        6 => "[ -~]{0,40} ".prop_map(|message| message),
        1 => "[x]{900,1010} ",
        2 => (0..100_u64).prop_map(|number| format!("{number}N")),
        2 => (0..9_u64).prop_map(|number| format!("{number}|{number}A")),
        1 => Just(format!("{{{HELLO},\"maxia\":1,\"eeds\":null}}H")),
        1 => "[a-z|01]{0,9}[!HYCTK^ZNA]",
        1 => Just("bye|1!".to_owned()),
    ];
    let core = prop_oneof![
        3 => any::<bool>().prop_map(|created| opened_with(created, Some(Sack::NONE), MessageNumber(0))),
        3 => Just(CoreMessage::Sack(Sack::up_to(4))),
        6 => (0..9_u64, prop::collection::vec("[a-z]{0,300}", 0..4)).prop_map(|(first, messages)| {
            CoreMessage::Messages(Run { first: MessageNumber(first), messages: messages.into_iter().map(Payload::from).collect() })
        }),
        1 => closes().prop_map(|close| CoreMessage::Close(Box::new(close))),
    ];
    let other = prop_oneof![
        Just(Input::Garbled),
        Just(Input::Gone),
        Just(Input::Drain),
        Just(Input::OwnerLost),
        Just(Input::OwnerFound),
        Just(Input::OwnerFound),
    ];
    prop_oneof![
        1 => (prop::collection::vec(any::<u8>(), 0..60), any::<bool>())
            .prop_map(|(bytes, last)| Step::Bytes(bytes, last)),
        8 => (prop::collection::vec(frame, 0..6), prop::bool::weighted(0.1))
            .prop_map(|(frames, last)| Step::Frames(frames, last)),
        6 => core.prop_map(|core| Step::Input(Input::Core(core))),
        2 => other.prop_map(Step::Input),
        6 => (0..4_u64).prop_map(Step::Taken),
        2 => (0..9_000_u64).prop_map(Step::Pass),
        6 => Just(Step::Written),
    ]
}

fn closes() -> impl Strategy<Value = Close> {
    let cause = prop_oneof![
        Just(CloseCause::Gentle),
        Just(CloseCause::Kill(KillReason::RwinOverflow)),
        Just(CloseCause::Reset(Reset::new("over", false))),
        Just(CloseCause::Unavailable { reason: String::new(), retry_after: Duration::ZERO }),
    ];
    (any::<bool>(), cause).prop_map(|(sack, cause)| Close {
        sack: sack.then_some(Sack::NONE),
        status: None,
        cause,
    })
}

fn kinds() -> impl Strategy<Value = TransportProtocol> {
    prop_oneof![
        Just(TransportProtocol::Tcp),
        Just(TransportProtocol::WebSocket),
        Just(TransportProtocol::Http)
    ]
}

/// Invariants after every step.
#[derive(Default)]
struct Watch {
    /// Number of the next new batch; smaller ones may only come again.
    next_batch: u64,
    attached: bool,
    closed: bool,
}

impl Watch {
    fn look(&mut self, rig: &mut Rig) {
        let outstanding = rig.machine.inbound.outstanding();
        assert!(outstanding < UNTAKEN + LONGEST, "{outstanding} bytes are outstanding");
        for message in rig.take_to_core() {
            match message {
                EdgeMessage::Attach(attach) => {
                    self.attached = true;
                    assert!(attach.resume.is_none() || attach.batch.is_none());
                    attach.batch.into_iter().for_each(|batch| self.batch(&batch));
                }
                EdgeMessage::Batch(batch) => {
                    assert!(self.attached);
                    self.batch(&batch);
                }
                EdgeMessage::Grant(bytes) => assert!(self.attached && bytes > 0),
                EdgeMessage::Detach => assert!(std::mem::take(&mut self.attached)),
            }
        }
        for frame in rig.take_written() {
            assert!(!self.closed, "{frame:?} after the end");
            self.closed = frame == "Y";
        }
        if rig.ending.is_some() {
            assert!(rig.machine.is_over());
            assert_eq!(rig.machine.poll_timeout(), None);
        }
    }

    fn batch(&mut self, batch: &Batch) {
        assert!(batch.number.0 <= self.next_batch, "{} is no next batch", batch.number);
        self.next_batch = self.next_batch.max(batch.number.0 + 1);
        assert!(batch.runs.iter().all(|run| !run.messages.is_empty()));
        assert!(*batch != Batch { number: batch.number, ..Batch::default() }, "an empty batch");
    }
}

fn play(kind: TransportProtocol, steps: Vec<Step>, hello: bool) {
    let limits = Limits { max_frame: LONGEST - 30, untaken: UNTAKEN, ..Limits::default() };
    let mut rig = Rig::without_link(kind, limits);
    let mut watch = Watch::default();
    if hello {
        rig.input(Input::OwnerFound);
        rig.hello(",\"maxia\":1,\"eeds\":null");
    }
    let mut link_up = hello;
    for step in steps {
        match step {
            Step::Bytes(bytes, last) => {
                rig.input(Input::Received { bytes: bytes.into(), last });
            }
            Step::Frames(frames, last) => {
                let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
                rig.frames(&frames, last);
            }
            Step::Input(Input::OwnerFound) if link_up => {}
            Step::Input(Input::OwnerLost) => {
                link_up = false;
                watch.attached = false;
                rig.input(Input::OwnerLost);
            }
            Step::Input(input) => {
                link_up |= input == Input::OwnerFound;
                rig.input(input);
            }
            Step::Taken(back) => {
                rig.core(CoreMessage::Taken(BatchNumber(watch.next_batch.saturating_sub(back))));
            }
            Step::Pass(millis) => rig.pass(Duration::from_millis(millis)),
            Step::Written => rig.written_all(),
        }
        watch.look(&mut rig);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_keeps_its_invariants(
        kind in kinds(),
        steps in prop::collection::vec(steps(), 0..60),
        hello in prop::bool::weighted(0.9),
    ) {
        play(kind, steps, hello);
    }

    #[test]
    fn the_cut_of_the_bytes_does_not_matter(
        messages in prop::collection::vec("[ -~]{0,60}", 0..20),
        cuts in prop::collection::vec(1..40_usize, 1..20),
    ) {
        let mut rig = Rig::attached();
        let frames: Vec<String> = messages.iter().map(|message| format!("{message} ")).collect();
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        let mut bytes = rig.encoded(&frames);
        for cut in cuts.iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            let bytes = bytes.split_to((*cut).min(bytes.len()));
            rig.input(Input::Received { bytes, last: false });
        }
        let got: Vec<String> =
            rig.take_batches().iter().flat_map(runs).flat_map(|(_, messages)| messages).collect();
        prop_assert_eq!(got, messages);
    }
}
