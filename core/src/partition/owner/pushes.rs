//! Sends from outside that mean the same streams and come with nothing in between but what edges say: held for a moment
//! within their turn, then carried out as one. Each stream is looked up once, and all of them have one record in common.
//! Nobody can tell the difference: the order in each stream is that of the sends, and a turn is stored as a whole.

use std::sync::Arc;

use super::super::call::{Answer, Ask, CallId, Target};
use super::super::mailbox::Mail;
use super::Owner;
use crate::state::Push;
use crate::stream::{Effects, Millis, Output, Pushed};

/// Sends that are held at most: no more than a stream remembers keys.
const MAX_HELD: usize = 32;
/// Bytes of strings at which no more are held, so that a turn does not get much longer than it should.
const MAX_BYTES: usize = 16 << 10;

/// Sends to the same streams.
#[derive(Default)]
pub(super) struct Pushes {
    to: Option<Target>,
    held: Vec<(CallId, Arc<Push>)>,
    bytes: usize,
}

impl Pushes {
    /// Whether those that are held may stay so while this mail is taken; if not, they must be carried out before it.
    /// What edges say goes ahead of them: it came by another way, so there is no order between the two.
    pub(super) fn may_wait(&self, mail: &Mail) -> bool {
        let Some(to) = &self.to else { return true };
        match mail {
            Mail::Attach { .. }
            | Mail::Batch { .. }
            | Mail::Detach { .. }
            | Mail::Grant { .. }
            | Mail::LinkLost(_) => true,
            Mail::Call(call) => {
                let is_full = self.held.len() >= MAX_HELD || self.bytes >= MAX_BYTES;
                !is_full && self.is_alike(to, &call.ask)
            }
            Mail::Joined { .. }
            | Mail::Left(_)
            | Mail::Acknowledge { .. }
            | Mail::Send { .. }
            | Mail::Reset { .. }
            | Mail::SetLimits { .. }
            | Mail::Mark { .. }
            | Mail::Stop { .. } => false,
        }
    }

    /// Holds one more, for which those that are held may wait.
    pub(super) fn hold(&mut self, to: Target, call: CallId, push: Arc<Push>) {
        self.bytes += push.bytes();
        self.to = Some(to);
        self.held.push((call, push));
    }

    /// Whether it is a send to the same streams, and none that is held, said again.
    fn is_alike(&self, to: &Target, ask: &Ask) -> bool {
        let Ask::Push { to: too, key, .. } = ask else { return false };
        let mut held = self.held.iter().flat_map(|(_, push)| &push.keys);
        too == to && held.all(|held| Some(held) != key.as_ref())
    }

    /// All as one.
    fn together(&self) -> Arc<Push> {
        if let [(_, push)] = &self.held[..] {
            return Arc::clone(push);
        }
        let messages = self.held.iter().flat_map(|(_, push)| &push.messages);
        let keys = self.held.iter().flat_map(|(_, push)| &push.keys);
        Push { messages: messages.cloned().collect(), keys: keys.cloned().collect() }.into()
    }
}

impl Owner {
    /// Carries out what is held.
    pub(super) fn push_all(&mut self, now: Millis, effects: &mut Effects) {
        let pushes = std::mem::take(&mut self.pushes);
        let Some(to) = &pushes.to else { return };
        let together = pushes.together();
        let said = self.each(to, |owner, number| owner.push(number, &together, now, effects));
        if let [(call, _)] = pushes.held[..] {
            effects.outputs.push(Output::Answer(call, Answer::Pushed(said)));
            return;
        }
        // The others may take some of them.
        let (took, others): (Vec<_>, Vec<_>) =
            said.into_iter().partition(|(_, pushed)| *pushed == Pushed::Taken);
        for (call, push) in pushes.held {
            let mut said = took.clone();
            for &(number, _) in &others {
                let pushed = self.push(number, &push, now, effects);
                said.extend(pushed.map(|pushed| (number, pushed)));
            }
            said.sort_unstable_by_key(|(number, _)| *number);
            effects.outputs.push(Output::Answer(call, Answer::Pushed(said)));
        }
    }

    fn push(
        &mut self,
        number: u64,
        push: &Arc<Push>,
        now: Millis,
        effects: &mut Effects,
    ) -> Option<Pushed> {
        self.with_stream(number, now, effects, |stream, turn| stream.on_push(push, turn))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::oneshot;

    use super::super::super::call::Call;
    use super::*;
    use crate::partition::{LinkId, SessionId};

    fn group(name: &str) -> Target {
        Target::Group("default".into(), name.into())
    }

    fn mail(to: Target, key: Option<&'static str>) -> Mail {
        let ask = Ask::Push { to, messages: Vec::new(), key: key.map(Bytes::from) };
        let answer = oneshot::channel().0;
        Mail::Call(Box::new(Call { id: CallId(0), ask, answer }))
    }

    fn held(pushes: impl IntoIterator<Item = (usize, Option<&'static str>)>) -> Pushes {
        let mut held = Pushes::default();
        for (bytes, key) in pushes {
            let messages = vec![Bytes::from(vec![b'x'; bytes])];
            let push = Push { messages, keys: key.map(Bytes::from).into_iter().collect() };
            held.hold(group("a"), CallId(0), push.into());
        }
        held
    }

    #[test]
    fn sends_to_the_same_streams_wait_for_each_other() {
        for key in [None, Some("key")] {
            let one = held([(1, key)]);
            assert!(one.may_wait(&mail(group("a"), None)));
            assert!(!one.may_wait(&mail(group("b"), None)));
            assert!(one.may_wait(&mail(group("a"), Some("other"))));
            assert_eq!(one.may_wait(&mail(group("a"), Some("key"))), key.is_none());
            assert!(one.may_wait(&Mail::LinkLost(LinkId(1))));
            assert!(!one.may_wait(&Mail::Left(SessionId(1))));
        }
        assert!(held([]).may_wait(&mail(group("b"), Some("key"))));
    }

    #[test]
    fn so_many_are_held_and_so_many_bytes() {
        for (count, has_room) in [(MAX_HELD - 1, true), (MAX_HELD, false), (MAX_HELD + 1, false)] {
            let pushes = held(std::iter::repeat_n((1, None), count));
            assert_eq!(pushes.may_wait(&mail(group("a"), None)), has_room, "{count}");
        }
        for (bytes, has_room) in [(MAX_BYTES - 1, true), (MAX_BYTES, false), (MAX_BYTES + 1, false)]
        {
            let pushes = held([(bytes, None)]);
            assert_eq!(pushes.may_wait(&mail(group("a"), None)), has_room, "{bytes}");
        }
    }
}
