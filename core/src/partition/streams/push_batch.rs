//! Consecutive pushes to the same streams in one turn, carried out as one.
//!
//! Each stream is then looked up once, and all pushes share one record. The result is the same as without a batch:
//! the order within each stream is kept, and a turn is durable as a whole.

use std::sync::Arc;

use super::super::mailbox::Mail;
use super::super::stream_call::{StreamRequest, StreamSelector};
use crate::state::Push;
use crate::stream::StreamCallId;

/// Pushes in a batch; at most as many as a stream remembers idempotency keys.
const MAX_PUSHES: usize = 32;
/// Bytes of messages at which a batch is full, so that a turn does not exceed the bound of a turn by much.
const MAX_BYTES: usize = 16 << 10;

/// Pending pushes to the same streams.
#[derive(Default)]
pub(super) struct PushBatch {
    pub(super) to: Option<StreamSelector>,
    pub(super) pushes: Vec<(StreamCallId, Arc<Push>)>,
    bytes: usize,
}

impl PushBatch {
    /// Returns true if the batch may stay pending while this mail is handled.
    ///
    /// Frames of edges may overtake the batch: links and callers are unordered relative to each other.
    pub(super) fn may_wait(&self, mail: &Mail) -> bool {
        let Some(to) = &self.to else { return true };
        match mail {
            Mail::Attach { .. }
            | Mail::Batch { .. }
            | Mail::Detach { .. }
            | Mail::Grant { .. }
            | Mail::LinkLost(_) => true,
            Mail::StreamCall(call) => {
                let is_full = self.pushes.len() >= MAX_PUSHES || self.bytes >= MAX_BYTES;
                !is_full && self.fits(to, &call.request)
            }
            Mail::InstanceJoined { .. }
            | Mail::InstanceLeft(..)
            | Mail::KnownServices(_)
            | Mail::Acknowledge { .. }
            | Mail::Send { .. }
            | Mail::Reset { .. }
            | Mail::Finish { .. }
            | Mail::SetLimits { .. }
            | Mail::ChangeAttributes { .. }
            | Mail::InvalidCommand { .. }
            | Mail::Stop { .. } => false,
        }
    }

    /// Adds a push for which [`PushBatch::may_wait`] returned true.
    pub(super) fn add(&mut self, to: StreamSelector, call: StreamCallId, push: Arc<Push>) {
        self.bytes += push.bytes();
        self.to = Some(to);
        self.pushes.push((call, push));
    }

    /// Returns true for a push to the same streams that repeats no idempotency key of the batch.
    fn fits(&self, to: &StreamSelector, request: &StreamRequest) -> bool {
        let StreamRequest::Push { to: other, key, .. } = request else { return false };
        let mut keys = self.pushes.iter().flat_map(|(_, push)| &push.keys);
        other == to && keys.all(|pending| Some(pending) != key.as_ref())
    }

    /// All pushes as one.
    pub(super) fn merged(&self) -> Arc<Push> {
        if let [(_, push)] = &self.pushes[..] {
            return Arc::clone(push);
        }
        let messages = self.pushes.iter().flat_map(|(_, push)| &push.messages);
        let keys = self.pushes.iter().flat_map(|(_, push)| &push.keys);
        Push { messages: messages.cloned().collect(), keys: keys.cloned().collect() }.into()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use minerva_proto::{Payload, StreamNumber};
    use tokio::sync::oneshot;

    use super::*;
    use crate::partition::{LinkId, SessionId, StreamCall};

    fn group(name: &str) -> StreamSelector {
        StreamSelector::Group("default".into(), name.into(), StreamNumber(0))
    }

    fn mail(to: StreamSelector, key: Option<&'static str>) -> Mail {
        let request = StreamRequest::Push { to, messages: Vec::new(), key: key.map(Bytes::from) };
        let (id, reply) = (StreamCallId(0), oneshot::channel().0);
        Mail::StreamCall(Box::new(StreamCall { id, request, reply }))
    }

    fn batch(pushes: impl IntoIterator<Item = (usize, Option<&'static str>)>) -> PushBatch {
        let mut batch = PushBatch::default();
        for (bytes, key) in pushes {
            let messages = vec![Payload::ascii_text(vec![b'x'; bytes])];
            let push = Push { messages, keys: key.map(Bytes::from).into_iter().collect() };
            batch.add(group("a"), StreamCallId(0), push.into());
        }
        batch
    }

    #[test]
    fn pushes_to_the_same_streams_are_batched() {
        for key in [None, Some("key")] {
            let one = batch([(1, key)]);
            assert!(one.may_wait(&mail(group("a"), None)));
            assert!(!one.may_wait(&mail(group("b"), None)));
            assert!(one.may_wait(&mail(group("a"), Some("other"))));
            assert_eq!(one.may_wait(&mail(group("a"), Some("key"))), key.is_none());
            assert!(one.may_wait(&Mail::LinkLost(LinkId(1))));
            assert!(
                !one.may_wait(&Mail::InstanceLeft(
                    SessionId(1),
                    crate::partition::SessionEnd::Left
                ))
            );
        }
        assert!(batch([]).may_wait(&mail(group("b"), Some("key"))));
    }

    #[test]
    fn a_batch_is_bounded_by_number_and_by_bytes() {
        for (count, has_room) in
            [(MAX_PUSHES - 1, true), (MAX_PUSHES, false), (MAX_PUSHES + 1, false)]
        {
            let pushes = batch(std::iter::repeat_n((1, None), count));
            assert_eq!(pushes.may_wait(&mail(group("a"), None)), has_room, "{count}");
        }
        for (bytes, has_room) in [(MAX_BYTES - 1, true), (MAX_BYTES, false), (MAX_BYTES + 1, false)]
        {
            let pushes = batch([(bytes, None)]);
            assert_eq!(pushes.may_wait(&mail(group("a"), None)), has_room, "{bytes}");
        }
    }
}
