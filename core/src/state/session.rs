//! The session of a stream of version 3: the generation of the client, its key, and the skipped c2s numbers.
//!
//! A session exists from the first adoption on. [`super::StreamState`] changes the session by records only.

use std::sync::Arc;

use minerva_proto::{KeyHash, MessageNumber, Rewind, TransportKind};

/// Most messages of [`Retention`].
pub(crate) const MAX_RETAINED_MESSAGES: u32 = 10_000;
/// Most bytes of [`Retention`].
pub(crate) const MAX_RETAINED_BYTES: u32 = 2 << 20;
/// Longest time of [`Retention`] in milliseconds: a week.
pub(crate) const MAX_RETAINED_AGE_MS: u64 = 7 * 24 * 3_600_000;

/// Limits of the acknowledged s2c messages that a stream retains for later generations. Any limit of 0 retains none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Number of messages, at most 10,000.
    pub messages: u32,
    /// Bytes of messages, at most 2 MiB.
    pub bytes: u32,
    /// Time since the acknowledgement in milliseconds, at most 7 days.
    pub age_ms: u64,
    /// Nothing is written to a new generation before its Rejoined event is acknowledged.
    pub hold: bool,
}

/// Changes of [`Retention`]; `None` keeps a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionChange {
    /// Number of messages.
    pub messages: Option<u32>,
    /// Bytes of messages.
    pub bytes: Option<u32>,
    /// Milliseconds since the acknowledgement.
    pub age_ms: Option<u64>,
    /// See [`Retention::hold`].
    pub hold: Option<bool>,
}

impl Retention {
    /// These limits with changes.
    pub(crate) fn with(self, changes: RetentionChange) -> Self {
        Self {
            messages: changes.messages.unwrap_or(self.messages),
            bytes: changes.bytes.unwrap_or(self.bytes),
            age_ms: changes.age_ms.unwrap_or(self.age_ms),
            hold: changes.hold.unwrap_or(self.hold),
        }
    }

    /// The effective limits in messages and bytes.
    pub(super) fn limits(&self) -> (usize, usize) {
        if self.age_ms == 0 { (0, 0) } else { (self.messages as usize, self.bytes as usize) }
    }
}

/// Numbers that the client can never send: from the first number up to, not including, the second.
pub(super) type SkippedRange = (MessageNumber, MessageNumber);

/// The generation of the client and the numbers of its adoption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Number of the generation, from 1.
    pub generation: u32,
    /// Hash of the key of the generation.
    pub key: KeyHash,
    /// Hash of the key of the generation before, whose transports get the refusal `superseded`.
    pub previous_key: KeyHash,
    /// First c2s number that the generation may assign to a new message.
    pub own: MessageNumber,
    /// Number of Rejoined events.
    pub(super) rejoins: u64,
    /// Number of skipped c2s numbers below the next expected one, which are no events.
    pub(super) skipped: u64,
    /// Skipped numbers beyond a gap, in ascending order.
    pub(super) pending: Vec<SkippedRange>,
}

impl Session {
    /// A session before the first adoption.
    pub(super) fn new(key: KeyHash) -> Self {
        Self {
            generation: 0,
            key,
            previous_key: key,
            own: MessageNumber(0),
            rejoins: 0,
            skipped: 0,
            pending: Vec::new(),
        }
    }

    /// Whether a number beyond a gap is skipped.
    pub(super) fn is_skipped(&self, number: MessageNumber) -> bool {
        self.pending.iter().any(|(from, to)| *from <= number && number < *to)
    }

    /// Skips the numbers from `from` up to the highest received one, except the received ones.
    pub(super) fn skip(&mut self, from: MessageNumber, received: &[MessageNumber]) {
        let single = received.iter().map(|number| (*number, number.next()));
        let mut taken: Vec<_> = single.chain(self.pending.iter().copied()).collect();
        taken.sort_unstable();
        let mut next = from;
        let mut ranges = std::mem::take(&mut self.pending);
        for (first, end) in taken {
            if first > next {
                ranges.push((next, first));
            }
            next = next.max(end);
        }
        ranges.sort_unstable();
        for (first, end) in ranges {
            match self.pending.last_mut() {
                Some((_, last)) if *last == first => *last = end,
                _ => self.pending.push((first, end)),
            }
        }
    }

    /// Removes the skipped range that begins at the next expected number; returns its end.
    pub(super) fn pass(&mut self, next: MessageNumber) -> Option<MessageNumber> {
        let (from, to) = *self.pending.first()?;
        if from > next {
            return None;
        }
        self.pending.remove(0);
        self.skipped += to.saturating_sub(next);
        Some(to)
    }
}

/// The content of a Rejoined event: the adoption of a stream by a new generation, with the facts of its hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejoin {
    /// Number of the generation.
    pub generation: u32,
    /// The requested messages.
    pub asked: Rewind,
    /// First s2c message for the generation.
    pub from: MessageNumber,
    /// Whether no requested message is missing.
    pub complete: bool,
    /// Field `cred` of the hello.
    pub credentials: String,
    /// Request headers: name and value.
    pub headers: Vec<(String, String)>,
    /// Network address of the client, as reported by the edge.
    pub peer_address: String,
    /// Kind of the transport that carried the hello, if reported.
    pub kind: Option<TransportKind>,
}

impl Rejoin {
    /// Upper bound of the stored size in bytes.
    pub(crate) fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 8);
        self.credentials.len() + self.peer_address.len() + headers.sum::<usize>() + 64
    }
}

/// A Rejoined event with its number.
pub(super) type NumberedRejoin = (minerva_proto::EventNumber, Arc<Rejoin>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_skipped_ranges_become_one() {
        let number = MessageNumber;
        let mut session = Session::new(KeyHash([7; 16]));
        session.skip(number(3), &[number(4), number(6)]);
        assert_eq!(session.pending, [(number(3), number(4)), (number(5), number(6))]);
        // A page whose storage has lost more numbers.
        session.skip(number(1), &[number(4), number(6)]);
        assert_eq!(session.pending, [(number(1), number(4)), (number(5), number(6))]);
    }
}
