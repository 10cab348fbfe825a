//! Merges the runs of messages for one transport when the edge is behind: messages of several turns become one run,
//! which the edge writes to the socket at once. Called by `encode.rs`.

use std::collections::{HashMap, VecDeque};

use minerva_proto::link::{CoreFrame, CoreMessage, Run, TransportId};
use minerva_proto::{MessageNumber, Payload};

/// Bytes at which a run grows no more: far below the edge's limit for one transport.
const FULL: usize = 64 << 10;

/// The last run of a transport.
struct LastRun {
    /// Position in the merged frames.
    position: usize,
    /// Number behind the last message.
    end: MessageNumber,
    bytes: usize,
}

/// Appends each run of messages to the last run of the same transport if the numbers continue. The order of all other
/// frames of a transport stays; between transports there is none.
pub(super) fn coalesce(frames: Vec<CoreFrame>) -> VecDeque<CoreFrame> {
    let mut coalesced = VecDeque::with_capacity(frames.len());
    let mut last_runs: HashMap<TransportId, LastRun> = HashMap::new();
    for frame in frames {
        if let CoreFrame::Transport {
            transport,
            message: CoreMessage::Tag(_) | CoreMessage::Compress(_),
        } = &frame
        {
            // The tag or the permission holds for the messages behind it only.
            last_runs.remove(transport);
        }
        let CoreFrame::Transport { transport, message: CoreMessage::Messages(run) } = frame else {
            coalesced.push_back(frame);
            continue;
        };
        let (end, bytes) = (run.end(), length(&run.messages));
        let last = last_runs.get_mut(&transport);
        if let Some(last) = last.filter(|last| last.end == run.first && last.bytes < FULL)
            && let Some(before) = coalesced.get_mut(last.position).and_then(messages_mut)
        {
            before.extend(run.messages);
            last.end = end;
            last.bytes += bytes;
            continue;
        }
        last_runs.insert(transport, LastRun { position: coalesced.len(), end, bytes });
        coalesced.push_back(messages(transport, run));
    }
    coalesced
}

fn messages(transport: TransportId, run: Run) -> CoreFrame {
    CoreFrame::Transport { transport, message: CoreMessage::Messages(run) }
}

fn messages_mut(frame: &mut CoreFrame) -> Option<&mut Vec<Payload>> {
    match frame {
        CoreFrame::Transport { message: CoreMessage::Messages(run), .. } => Some(&mut run.messages),
        CoreFrame::Transport { .. } | CoreFrame::Owned(_) | CoreFrame::Released(_) => None,
    }
}

fn length(messages: &[Payload]) -> usize {
    messages.iter().map(Payload::len).sum()
}

#[cfg(test)]
mod tests {
    use minerva_proto::BatchNumber;
    use proptest::prelude::*;

    use super::*;

    fn run_of(transport: u64, first: u64, contents: Vec<Payload>) -> CoreFrame {
        let run = Run { first: MessageNumber(first), messages: contents };
        messages(TransportId(transport), run)
    }

    fn run(transport: u64, numbers: std::ops::Range<u64>) -> CoreFrame {
        let content = |number: u64| Payload::from(format!("{transport}: {number}"));
        run_of(transport, numbers.start, numbers.map(content).collect())
    }

    fn taken(transport: u64, batch: u64) -> CoreFrame {
        let message = CoreMessage::Taken(BatchNumber(batch));
        CoreFrame::Transport { transport: TransportId(transport), message }
    }

    #[test]
    fn runs_of_several_turns_become_one() {
        let frames = vec![run(1, 0..2), run(2, 7..8), run(1, 2..3), run(2, 8..10), run(1, 3..4)];
        assert_eq!(coalesce(frames), [run(1, 0..4), run(2, 7..10)]);
    }

    #[test]
    fn a_gap_in_the_numbers_begins_a_new_run() {
        let frames = vec![run(1, 4..5), run(1, 0..2), run(1, 2..3), run(1, 5..6)];
        assert_eq!(coalesce(frames), [run(1, 4..5), run(1, 0..3), run(1, 5..6)]);
    }

    #[test]
    fn other_frames_keep_their_order() {
        let frames = vec![taken(1, 0), run(1, 0..1), taken(2, 4), run(1, 1..2), taken(1, 1)];
        assert_eq!(coalesce(frames), [taken(1, 0), run(1, 0..2), taken(2, 4), taken(1, 1)]);
    }

    #[test]
    fn a_full_run_takes_no_more() {
        for (length, runs) in [(FULL - 1, 1), (FULL, 2), (FULL + 1, 2)] {
            let frames = vec![
                run_of(1, 0, vec![Payload::ascii_text(vec![b'x'; length - 1])]),
                run_of(1, 1, vec!["y".into()]),
                run_of(1, 2, vec!["z".into()]),
            ];
            assert_eq!(coalesce(frames).len(), runs, "{length}");
        }
    }

    type Received = (Vec<(u64, Payload)>, Vec<BatchNumber>);

    /// The messages with their numbers, and the acknowledged batches, that one transport receives.
    fn received(frames: impl IntoIterator<Item = CoreFrame>, of: u64) -> Received {
        let (mut messages, mut batches) = (Vec::new(), Vec::new());
        for frame in frames {
            let CoreFrame::Transport { transport: TransportId(transport), message } = frame else {
                continue;
            };
            match message {
                _ if transport != of => {}
                CoreMessage::Messages(run) => messages.extend((run.first.0..).zip(run.messages)),
                CoreMessage::Taken(batch) => batches.push(batch),
                CoreMessage::Opened { .. }
                | CoreMessage::Sack(_)
                | CoreMessage::Tag(_)
                | CoreMessage::Compress(_)
                | CoreMessage::Renew(_)
                | CoreMessage::Close(_) => {}
            }
        }
        (messages, batches)
    }

    proptest! {
        #[test]
        fn every_transport_receives_the_same_in_the_same_order(
            steps in prop::collection::vec((0..4_u64, 0..4_u64, 0..12_u64), 0..200),
        ) {
            let mut next = [0; 4];
            let mut frames = Vec::new();
            for (transport, count, kind) in steps {
                let next = &mut next[transport as usize];
                match kind {
                    0 => frames.push(taken(transport, *next)),
                    // As after a rewrite.
                    1 => *next = next.saturating_sub(count),
                    _ => {
                        frames.push(run(transport, *next..*next + count));
                        *next += count;
                    }
                }
            }
            let coalesced = coalesce(frames.clone());
            prop_assert!(coalesced.len() <= frames.len());
            for transport in 0..4 {
                let (before, after) = (frames.clone(), coalesced.clone());
                prop_assert_eq!(received(before, transport), received(after, transport));
            }
        }
    }
}
