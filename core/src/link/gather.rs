//! Puts together what waits for one transport: when more is ready than an edge takes at a time, strings that
//! were written in several turns go as one run, so that the edge writes them to the socket at once. Called by
//! `encode.rs`.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::stream::{EdgeOutput, TransportId};

/// A run takes no more strings at so many bytes: far below what an edge takes for one transport.
const FULL: usize = 64 << 10;

/// Where a transport's last run is, while another one may be put behind it.
struct Open {
    position: usize,
    /// Number of the string that would follow.
    next: u64,
    bytes: usize,
}

/// Puts each run of strings behind the one before it of the same transport, if the numbers go on. The order of what
/// a transport is told beside its strings stays as it is; between transports there is none.
pub(super) fn gather(outputs: Vec<EdgeOutput>) -> VecDeque<EdgeOutput> {
    let mut gathered = VecDeque::with_capacity(outputs.len());
    let mut runs: HashMap<TransportId, Open> = HashMap::new();
    for output in outputs {
        let EdgeOutput::Messages { transport, first, messages } = output else {
            gathered.push_back(output);
            continue;
        };
        let next = first + messages.len() as u64;
        let bytes = length(&messages);
        let open = runs.get_mut(&transport).filter(|open| open.next == first && open.bytes < FULL);
        if let Some(open) = open
            && let Some(EdgeOutput::Messages { messages: before, .. }) =
                gathered.get_mut(open.position)
        {
            before.extend(messages);
            open.next = next;
            open.bytes += bytes;
            continue;
        }
        runs.insert(transport, Open { position: gathered.len(), next, bytes });
        gathered.push_back(EdgeOutput::Messages { transport, first, messages });
    }
    gathered
}

fn length(messages: &[Bytes]) -> usize {
    messages.iter().map(Bytes::len).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(transport: u64, first: u64, messages: Vec<Bytes>) -> EdgeOutput {
        EdgeOutput::Messages { transport: TransportId(transport), first, messages }
    }

    fn run(transport: u64, numbers: std::ops::Range<u64>) -> EdgeOutput {
        let named = |number: u64| Bytes::from(format!("{transport}: {number}"));
        messages(transport, numbers.start, numbers.map(named).collect())
    }

    fn taken(transport: u64, batch: u64) -> EdgeOutput {
        EdgeOutput::Taken { transport: TransportId(transport), batch }
    }

    #[test]
    fn runs_of_several_turns_become_one() {
        let outputs = vec![run(1, 0..2), run(2, 7..8), run(1, 2..3), run(2, 8..10), run(1, 3..4)];
        assert_eq!(gather(outputs), [run(1, 0..4), run(2, 7..10)]);
    }

    #[test]
    fn numbers_that_do_not_go_on_begin_anew() {
        let outputs = vec![run(1, 4..5), run(1, 0..2), run(1, 2..3), run(1, 5..6)];
        assert_eq!(gather(outputs), [run(1, 4..5), run(1, 0..3), run(1, 5..6)]);
    }

    #[test]
    fn what_is_said_beside_them_stays() {
        let outputs = vec![taken(1, 0), run(1, 0..1), taken(2, 4), run(1, 1..2), taken(1, 1)];
        assert_eq!(gather(outputs), [taken(1, 0), run(1, 0..2), taken(2, 4), taken(1, 1)]);
    }

    #[test]
    fn a_full_run_takes_no_more() {
        for (length, runs) in [(FULL - 1, 1), (FULL, 2), (FULL + 1, 2)] {
            let outputs = vec![
                messages(1, 0, vec![Bytes::from(vec![b'x'; length - 1])]),
                messages(1, 1, vec!["y".into()]),
                messages(1, 2, vec!["z".into()]),
            ];
            assert_eq!(gather(outputs).len(), runs, "{length}");
        }
    }

    /// What each transport is told: strings one by one, and the rest.
    fn told(
        outputs: impl IntoIterator<Item = EdgeOutput>,
        of: u64,
    ) -> (Vec<(u64, Bytes)>, Vec<u64>) {
        let (mut said, mut batches) = (Vec::new(), Vec::new());
        for output in outputs {
            if let EdgeOutput::Messages { transport, first, messages } = output {
                said.extend((first..).zip(messages).filter(|_| transport.0 == of));
            } else if let EdgeOutput::Taken { transport, batch } = output {
                batches.extend((transport.0 == of).then_some(batch));
            }
        }
        (said, batches)
    }

    proptest! {
        #[test]
        fn every_transport_is_told_the_same_in_the_same_order(
            steps in prop::collection::vec((0..4_u64, 0..4_u64, 0..12_u64), 0..200),
        ) {
            let mut next = [0; 4];
            let mut outputs = Vec::new();
            for (transport, count, what) in steps {
                let next = &mut next[transport as usize];
                match what {
                    0 => outputs.push(taken(transport, *next)),
                    // As after a rewrite.
                    1 => *next = next.saturating_sub(count),
                    _ => {
                        outputs.push(run(transport, *next..*next + count));
                        *next += count;
                    }
                }
            }
            let gathered = gather(outputs.clone());
            prop_assert!(gathered.len() <= outputs.len());
            for transport in 0..4 {
                let (before, after) = (outputs.clone(), gathered.clone());
                prop_assert_eq!(told(before, transport), told(after, transport));
            }
        }
    }
}
