//! The outbox of a stream: numbered messages for the client, kept until SACKed, and in version 3 for later generations.

use minerva_proto::mutation::{self, Mutation};
use minerva_proto::{MessageNumber, Payload, Sack, SendQueue};

use super::facts::SendState;
use super::retained::Retained;
use super::session::Retention;

/// The outbox of one stream.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    queue: SendQueue<Payload>,
    /// Whether a new generation may request acknowledged messages, in version 3. A message that is acknowledged beyond a
    /// gap is then kept until the gap is closed.
    has_generations: bool,
    /// Acknowledged messages; `None` if there are none.
    retained: Option<Box<Retained>>,
}

impl Outbox {
    /// An outbox from a checkpoint. Numbers from `base` to `next` that are missing in `messages` are already SACKed.
    ///
    /// `None` if the numbers are inconsistent.
    pub(super) fn restore(
        base: MessageNumber,
        next: MessageNumber,
        messages: Vec<(MessageNumber, Payload)>,
    ) -> Option<Self> {
        let shift = u64::from(base > MessageNumber(0) && mutation::is(Mutation::RenumberAtRestore));
        let shifted = |number: MessageNumber| MessageNumber(number.0 - shift);
        let next = shifted(next);
        let mut queue = SendQueue::starting_at(shifted(base));
        let mut gaps = Vec::new();
        for (number, message) in messages.into_iter().map(|(n, message)| (shifted(n), message)) {
            if number < queue.next() || number >= next {
                return None;
            }
            push_gaps(&mut queue, number, &mut gaps);
            queue.push(message);
        }
        push_gaps(&mut queue, next, &mut gaps);
        queue.apply(&Sack { acked: None, beyond: gaps }).ok()?;
        Some(Self { queue, has_generations: false, retained: None })
    }

    /// Sets whether a new generation may request acknowledged messages.
    pub(super) fn with_generations(self, has_generations: bool) -> Self {
        Self { has_generations, ..self }
    }

    /// Adds acknowledged messages from a checkpoint; `None` if the numbers are inconsistent.
    pub(super) fn with_retained(
        mut self,
        messages: Vec<Payload>,
        beyond: &[MessageNumber],
    ) -> Option<Self> {
        if messages.is_empty() && beyond.is_empty() {
            return Some(self);
        }
        let is_queued = |number: &MessageNumber| (self.base()..self.next()).contains(number);
        if !self.has_generations
            || messages.len() as u64 > self.base().0
            || !beyond.iter().all(is_queued)
        {
            return None;
        }
        let mut retained = Retained::default();
        retained.beyond.extend(beyond);
        messages.into_iter().for_each(|message| retained.push(message));
        self.retained = Some(retained.into());
        Some(self)
    }

    /// Number of the next message.
    pub fn next(&self) -> MessageNumber {
        self.queue.next()
    }

    /// First number that is not acknowledged cumulatively.
    pub fn base(&self) -> MessageNumber {
        self.queue.base()
    }

    /// Bytes of the messages that are not SACKed.
    pub fn bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Whether all messages are SACKed.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// First held number: that of the oldest retained message, or else the base.
    pub fn first_held(&self) -> MessageNumber {
        let retained = self.retained.as_ref().map_or(0, |retained| retained.len());
        MessageNumber(self.base().0.saturating_sub(retained as u64))
    }

    /// Number of retained messages.
    pub fn retained_messages(&self) -> usize {
        self.retained.as_ref().map_or(0, |retained| retained.len())
    }

    /// Bytes of the retained messages.
    pub fn retained_bytes(&self) -> usize {
        self.retained.as_ref().map_or(0, |retained| retained.bytes())
    }

    /// The retained messages from `first` on, then those that are not SACKed.
    pub fn iter_from(
        &self,
        first: MessageNumber,
    ) -> impl Iterator<Item = (MessageNumber, &Payload)> {
        let retained = self.retained.as_deref().into_iter().flat_map(move |retained| {
            let skip = usize::try_from(first.saturating_sub(self.first_held()));
            let skip = skip.unwrap_or(usize::MAX).min(retained.len());
            let numbers = (self.first_held().0 + skip as u64..).map(MessageNumber);
            numbers.zip(retained.range(skip))
        });
        let beyond = self.retained.as_deref().map(|retained| &retained.beyond);
        let is_missing = move |(number, _): &(MessageNumber, &Payload)| {
            beyond.is_none_or(|beyond| !beyond.contains(number))
        };
        retained.chain(self.queue.iter_from(first).filter(is_missing))
    }

    /// The queued messages, also those SACKed beyond a gap as far as they are kept.
    pub(super) fn queued(&self) -> impl Iterator<Item = (MessageNumber, &Payload)> {
        self.queue.iter_from(self.base())
    }

    /// The retained messages; the last one precedes the base.
    pub(super) fn retained(&self) -> impl Iterator<Item = &Payload> {
        self.retained.as_deref().into_iter().flat_map(|retained| retained.range(0))
    }

    /// The kept messages that are SACKed beyond a gap.
    pub(super) fn beyond(&self) -> Vec<MessageNumber> {
        self.retained.as_ref().map_or_else(Vec::new, |kept| kept.beyond.iter().copied().collect())
    }

    /// The SACK of all messages that the client has acknowledged.
    pub fn sack(&self) -> Sack {
        let mut held = self.iter_from(self.base()).map(|(number, _)| number).peekable();
        let numbers = (self.base().0..self.next().0).map(MessageNumber);
        let gaps = numbers.filter(|number| held.next_if_eq(number).is_none());
        Sack { acked: self.base().previous(), beyond: gaps.collect() }
    }

    /// The part of a SACK that frees messages, restricted to messages in the outbox.
    pub(crate) fn newly_acked(&self, sack: &Sack) -> Option<Sack> {
        let acked = sack.acked.filter(|&number| number >= self.queue.base());
        let first = acked.map_or(self.queue.base(), MessageNumber::next);
        let mut beyond = sack.beyond.clone();
        beyond.retain(|&number| number >= first);
        beyond.sort_unstable();
        beyond.dedup();
        // One pass over both lists, because a client may repeat thousands of numbers that free nothing.
        let mut held = self.iter_from(first).map(|(number, _)| number).peekable();
        beyond.retain(|&number| {
            while held.next_if(|&held| held < number).is_some() {}
            held.next_if_eq(&number).is_some()
        });
        (acked.is_some() || !beyond.is_empty()).then_some(Sack { acked, beyond })
    }

    /// The room within limits of bytes and messages.
    ///
    /// Messages SACKed beyond a gap count against the message limit, which bounds a client that never closes a gap.
    pub fn send_state(&self, (max_bytes, max_messages): (usize, usize)) -> SendState {
        let span = usize::try_from(self.next() - self.base()).unwrap_or(usize::MAX);
        let bytes_left = max_bytes.saturating_sub(self.queue.bytes());
        let messages_left = max_messages.saturating_sub(span);
        SendState {
            next_send: self.next(),
            bytes_left: u32::try_from(bytes_left).unwrap_or(u32::MAX),
            messages_left: u32::try_from(messages_left).unwrap_or(u32::MAX),
            paused: self.queue.bytes() >= max_bytes.div_ceil(2) || span >= max_messages.div_ceil(2),
        }
    }

    pub(super) fn push(&mut self, message: Payload) {
        self.queue.push(message);
    }

    /// Removes the messages of a SACK, or retains them; `false` if the SACK contains a number that was never sent.
    pub(super) fn apply(&mut self, sack: &Sack, retention: &Retention) -> bool {
        if !self.has_generations {
            return self.queue.apply(sack).is_ok();
        }
        let (base, next) = (self.base(), self.next());
        if sack.acked.iter().chain(&sack.beyond).any(|&number| number >= next) {
            return false;
        }
        let mut kept = self.retained.take().unwrap_or_default();
        kept.beyond.extend(sack.beyond.iter().filter(|&&number| number >= base));
        let mut end = sack.acked.map_or(base, MessageNumber::next).max(base);
        kept.beyond = kept.beyond.split_off(&end);
        while kept.beyond.remove(&end) {
            end += 1;
        }
        self.retain(&mut kept, end, retention.limits());
        let is_valid =
            self.queue.apply(&Sack { acked: end.previous(), beyond: Vec::new() }).is_ok();
        if self.base() != end {
            // An older program has freed a message beyond the gap.
            kept.clear();
        }
        self.retained = Some(kept).filter(|kept| !kept.is_empty());
        is_valid
    }

    /// Retains the queued messages below `end`, within the limits.
    fn retain(&self, kept: &mut Retained, end: MessageNumber, limits: (usize, usize)) {
        if limits.0 == 0 || limits.1 == 0 {
            return kept.clear();
        }
        let mut next = self.base();
        for (number, message) in self.queued().take_while(|(number, _)| *number < end) {
            if number != next {
                kept.clear();
            }
            next = number.next();
            kept.push(message.clone());
            kept.trim(limits);
        }
        if next != end {
            kept.clear();
        }
    }

    /// Drops the retained messages beyond the limits.
    pub(super) fn trim(&mut self, retention: &Retention) {
        if let Some(kept) = &mut self.retained {
            kept.trim(retention.limits());
        }
        self.retained.take_if(|kept| kept.is_empty());
    }

    /// Drops the retained messages below a number.
    pub(super) fn trim_below(&mut self, number: MessageNumber) {
        while self.first_held() < number
            && let Some(kept) = self.retained.as_mut().filter(|kept| !kept.has_no_messages())
        {
            kept.pop();
        }
        self.retained.take_if(|kept| kept.is_empty());
    }

    /// Forgets which messages were SACKed beyond a gap: a new generation may not have them.
    pub(super) fn forget_beyond(&mut self) {
        if let Some(kept) = &mut self.retained {
            kept.beyond.clear();
        }
        self.retained.take_if(|kept| kept.is_empty());
    }

    /// Removes all messages; the numbering continues.
    pub(super) fn clear(&mut self) {
        self.queue = SendQueue::starting_at(self.queue.next());
        self.retained = None;
    }
}

/// Queues empty messages below number `to`, and collects their numbers.
fn push_gaps(queue: &mut SendQueue<Payload>, to: MessageNumber, gaps: &mut Vec<MessageNumber>) {
    while queue.next() < to {
        gaps.push(queue.push(Payload::default()));
    }
}
