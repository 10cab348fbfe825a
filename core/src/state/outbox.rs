//! What a stream holds for the client: strings with consecutive numbers, kept until SACKed.

use bytes::Bytes;
use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{Sack, SendQueue};

use super::facts::SendState;

/// The outbox of one stream.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    queue: SendQueue,
}

impl Outbox {
    /// An outbox from a checkpoint: the numbers from `base` to `next` that are not in `messages` were
    /// SACKed selectively. `None` if it contradicts itself.
    pub(super) fn restore(base: u64, next: u64, messages: Vec<(u64, Bytes)>) -> Option<Self> {
        let shift = u64::from(base > 0 && mutation::is(Mutation::RenumberAtRestore));
        let (base, next) = (base - shift, next - shift);
        let mut queue = SendQueue::starting_at(base);
        let mut gaps = Vec::new();
        for (number, string) in messages.into_iter().map(|(n, string)| (n - shift, string)) {
            if number < queue.next() || number >= next {
                return None;
            }
            push_gaps(&mut queue, number, &mut gaps);
            queue.push(string);
        }
        push_gaps(&mut queue, next, &mut gaps);
        queue.apply(&Sack { acked: None, beyond: gaps }).ok()?;
        Some(Self { queue })
    }

    /// Number that the next string gets.
    pub fn next(&self) -> u64 {
        self.queue.next()
    }

    /// First number that is not cumulatively acknowledged.
    pub fn base(&self) -> u64 {
        self.queue.base()
    }

    /// Bytes of the strings that are not SACKed.
    pub fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Nothing waits for a SACK.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The strings from `first` on that are not SACKed.
    pub fn iter_from(&self, first: u64) -> impl Iterator<Item = (u64, &Bytes)> {
        self.queue.iter_from(first)
    }

    /// A SACK that says what is known to have arrived.
    pub fn sack(&self) -> Sack {
        let mut held = self.queue.iter_from(self.base()).map(|(number, _)| number).peekable();
        let gaps = (self.base()..self.next()).filter(|number| held.next_if_eq(number).is_none());
        Sack { beyond: gaps.collect(), acked: self.base().checked_sub(1) }
    }

    /// The part of a SACK that frees something; it names only strings that were queued.
    pub(crate) fn news(&self, sack: &Sack) -> Option<Sack> {
        let acked = sack.acked.filter(|&number| number >= self.base());
        let first = acked.map_or(self.base(), |number| number + 1);
        let mut beyond: Vec<u64> = sack.beyond.clone();
        beyond.retain(|&number| number >= first);
        beyond.sort_unstable();
        beyond.dedup();
        // One walk over both: a client may repeat a list of thousands that frees nothing.
        let mut held = self.iter_from(first).map(|(number, _)| number).peekable();
        beyond.retain(|&number| {
            while held.next_if(|&held| held < number).is_some() {}
            held.next_if_eq(&number).is_some()
        });
        (acked.is_some() || !beyond.is_empty()).then_some(Sack { acked, beyond })
    }

    /// How much more it takes, of so many bytes and strings. Numbers that were SACKed behind a gap still count as strings,
    /// so that a client that never closes a gap is bounded too.
    pub fn room(&self, (most_bytes, most_strings): (usize, usize)) -> SendState {
        let span = usize::try_from(self.next() - self.base()).unwrap_or(usize::MAX);
        let bytes_left = most_bytes.saturating_sub(self.queue.bytes());
        let messages_left = most_strings.saturating_sub(span);
        SendState {
            next_send: self.next(),
            bytes_left: u32::try_from(bytes_left).unwrap_or(u32::MAX),
            messages_left: u32::try_from(messages_left).unwrap_or(u32::MAX),
            paused: self.queue.bytes() >= most_bytes.div_ceil(2)
                || span >= most_strings.div_ceil(2),
        }
    }

    pub(super) fn push(&mut self, string: Bytes) {
        self.queue.push(string);
    }

    /// Frees what a SACK names; `false` if it names strings that were not queued.
    pub(super) fn apply(&mut self, sack: &Sack) -> bool {
        self.queue.apply(sack).is_ok()
    }

    /// Drops all strings; the numbers go on.
    pub(super) fn clear(&mut self) {
        self.queue = SendQueue::starting_at(self.queue.next());
    }
}

/// Queues empty strings up to the number `to`, and notes their numbers.
fn push_gaps(queue: &mut SendQueue, to: u64, gaps: &mut Vec<u64>) {
    while queue.next() < to {
        gaps.push(queue.push(Bytes::new()));
    }
}
