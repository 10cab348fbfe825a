//! What calls from outside do to the streams: each is answered with what became of every stream that it meant.

use std::sync::Arc;

use bytes::Bytes;

use super::super::call::{Answer, Ask, Call, Target};
use super::Owner;
use crate::record::Push;
use crate::stream::{Effects, Info, Millis, Output, Stream, Turn, owned};

impl Owner {
    /// Carries a call out, or holds it; it is answered when the turn is durable.
    pub(super) fn on_call(&mut self, call: Call, now: Millis, effects: &mut Effects) {
        let Call { id, ask, answer } = call;
        self.callers.insert(id, answer);
        let said = match ask {
            Ask::Push { to, strings, key } => {
                // One copy, however many streams have it.
                let all = |texts: &[Bytes]| texts.iter().map(owned).collect();
                let push = Push { strings: all(&strings), keys: all(key.as_slice()) };
                self.pushes.hold(to, id, push.into());
                return;
            }
            Ask::Join(to, group) => Answer::Joined(self.each(&to, |owner, number| {
                owner.mark(number, now, effects, |stream, turn| stream.on_join(&group, turn))
            })),
            Ask::Reset(to, reset) => self.done(&to, |owner, number| {
                let reset = reset.clone();
                owner.with_stream(number, now, effects, |s, turn| s.on_outside_reset(reset, turn))
            }),
            Ask::Leave(to, group) => self.done(&to, |owner, number| {
                owner.mark(number, now, effects, |stream, turn| stream.on_leave(&group, turn))
            }),
            Ask::Label(to, label) => self.done(&to, |owner, number| {
                let label = label.clone();
                owner.mark(number, now, effects, |stream, turn| stream.on_label(label, turn))
            }),
            Ask::Get(to) => {
                let infos = self.each(&to, |owner, number| {
                    owner.with_stream(number, now, effects, |stream, turn| stream.info(turn))
                });
                Answer::Infos(infos.into_iter().map(|(_, info)| info).collect())
            }
            Ask::List { service, after, most } => {
                Answer::Infos(self.list(&service, after, most, now, effects))
            }
        };
        effects.outputs.push(Output::Answer(id, said));
    }

    /// Runs what is to be done for each stream that is meant, in the order of their numbers.
    pub(super) fn each<R>(
        &mut self,
        target: &Target,
        mut run: impl FnMut(&mut Self, u64) -> Option<R>,
    ) -> Vec<(u64, R)> {
        let numbers = self.pick(target).into_iter();
        numbers.filter_map(|number| Some((number, run(self, number)?))).collect()
    }

    fn done(&mut self, target: &Target, run: impl FnMut(&mut Self, u64) -> Option<()>) -> Answer {
        Answer::Done(self.each(target, run).into_iter().map(|(number, ())| number).collect())
    }

    /// Runs a stream's machine where its marks may change.
    pub(super) fn mark<R>(
        &mut self,
        number: u64,
        now: Millis,
        effects: &mut Effects,
        run: impl FnOnce(&mut Stream, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        self.index.remove(number, self.streams.get(&number)?.state());
        let result = self.with_stream(number, now, effects, run);
        self.index.add(number, self.streams.get(&number)?.state());
        result
    }

    /// Streams that are meant and have not ended; one that is named by its number may have.
    fn pick(&self, target: &Target) -> Vec<u64> {
        let numbers = match target {
            Target::Numbers(numbers) => return numbers.clone(),
            Target::Id(service, id) => {
                let key = (service.clone(), id.clone());
                self.by_id.get(&key).copied().into_iter().collect()
            }
            Target::Label(service, label) => self.index.labelled(service, label),
            Target::Group(service, group) => self.index.members(service, group),
        };
        let lives = |number: &u64| self.streams.get(number).is_some_and(|s| !s.state().is_ended());
        numbers.into_iter().filter(lives).collect()
    }

    fn list(
        &self,
        service: &Arc<str>,
        after: u64,
        most: usize,
        now: Millis,
        effects: &mut Effects,
    ) -> Vec<Info> {
        let turn = Turn { now, limits: &self.limits, effects };
        let behind = self.streams.range(after.saturating_add(1)..).map(|(_, stream)| stream);
        let of_service = behind.filter(|stream| stream.state().service() == service);
        of_service.take(most).map(|stream| stream.info(&turn)).collect()
    }
}
