//! Stream calls: one reply per call, with the outcome for every selected stream.

use std::sync::Arc;

use minerva_proto::StreamNumber;

use super::super::stream_call::{StreamCall, StreamRequest, StreamSelector};
use super::PartitionStreams;
use crate::state::Push;
use crate::stream::{
    Connection, Effects, GroupMember, Intake, Millis, Output, PushOutcome, StreamInfo, StreamReply,
    Turn,
};

impl PartitionStreams {
    /// Carries out a call, or adds it to the push batch. The reply is released when the turn is durable.
    pub(super) fn on_stream_call(&mut self, call: StreamCall, now: Millis, effects: &mut Effects) {
        let StreamCall { id, request, reply } = call;
        self.callers.insert(id, reply);
        let reply = match request {
            StreamRequest::Push { to, messages, key } => {
                // One copy in memory for all streams.
                let push = Push::unshared(&messages, key.as_slice());
                self.pushes.add(to, id, push.into());
                return;
            }
            StreamRequest::Join(to, group) => {
                StreamReply::Joined(self.for_each(&to, |streams, number| {
                    streams.with_indexed_stream(number, now, effects, |stream, turn| {
                        stream.on_join(&group, turn)
                    })
                }))
            }
            StreamRequest::Reset(to, reset) => self.done(&to, |streams, number| {
                let reset = reset.clone();
                streams.with_stream(number, now, effects, |s, turn| s.on_api_reset(reset, turn))
            }),
            StreamRequest::Leave(to, group) => self.done(&to, |streams, number| {
                streams.with_indexed_stream(number, now, effects, |stream, turn| {
                    stream.on_leave(&group, turn);
                })
            }),
            StreamRequest::SetLabel(to, label) => self.done(&to, |streams, number| {
                let label = label.clone();
                streams.with_indexed_stream(number, now, effects, |stream, turn| {
                    stream.on_label(label, turn);
                })
            }),
            StreamRequest::Get(to) => {
                let infos = self.for_each(&to, |streams, number| {
                    streams.with_stream(number, now, effects, |stream, turn| stream.info(turn))
                });
                StreamReply::Infos(infos.into_iter().map(|(_, info)| info).collect())
            }
            StreamRequest::List { service, after, limit } => {
                StreamReply::Infos(self.list(&service, after, limit, now, effects))
            }
            StreamRequest::ListGroup { service, group, after, limit, with_absent } => {
                let members = self.members(&service, &group, after, now);
                let is_listed =
                    |member: &GroupMember| with_absent || member.connection != Connection::Absent;
                StreamReply::Members(members.filter(is_listed).take(limit).collect())
            }
        };
        effects.outputs.push(Output::Reply(id, reply));
    }

    /// Carries out the push batch.
    pub(super) fn flush_pushes(&mut self, now: Millis, effects: &mut Effects) {
        let batch = std::mem::take(&mut self.pushes);
        let Some(to) = &batch.to else { return };
        let merged = batch.merged();
        let outcomes =
            self.for_each(to, |streams, number| streams.push(number, &merged, now, effects));
        if let [(call, _)] = batch.pushes[..] {
            effects.outputs.push(Output::Reply(call, StreamReply::Pushed(outcomes)));
            return;
        }
        // A stream that refused the merged push may take some of the single ones.
        let (taken, refused): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(_, outcome)| *outcome == PushOutcome::Taken);
        for (call, push) in batch.pushes {
            let mut outcomes = taken.clone();
            for &(number, _) in &refused {
                let outcome = self.push(number, &push, now, effects);
                outcomes.extend(outcome.map(|outcome| (number, outcome)));
            }
            outcomes.sort_unstable_by_key(|(number, _)| *number);
            effects.outputs.push(Output::Reply(call, StreamReply::Pushed(outcomes)));
        }
    }

    fn push(
        &mut self,
        number: StreamNumber,
        push: &Arc<Push>,
        now: Millis,
        effects: &mut Effects,
    ) -> Option<PushOutcome> {
        self.with_stream(number, now, effects, |stream, turn| stream.on_push(push, turn))
    }

    /// Runs an operation for each selected stream, in the order of their numbers.
    fn for_each<R>(
        &mut self,
        to: &StreamSelector,
        mut run: impl FnMut(&mut Self, StreamNumber) -> Option<R>,
    ) -> Vec<(StreamNumber, R)> {
        let numbers = self.select(to).into_iter();
        numbers.filter_map(|number| Some((number, run(self, number)?))).collect()
    }

    fn done(
        &mut self,
        to: &StreamSelector,
        run: impl FnMut(&mut Self, StreamNumber) -> Option<()>,
    ) -> StreamReply {
        let done = self.for_each(to, run);
        StreamReply::Done(done.into_iter().map(|(number, ())| number).collect())
    }

    /// Numbers of the selected streams. Ended streams are selected by number only.
    fn select(&self, to: &StreamSelector) -> Vec<StreamNumber> {
        let numbers = match to {
            StreamSelector::Numbers(numbers) => return numbers.clone(),
            StreamSelector::NumbersOf(service, numbers) => {
                let is_own = |number: &&StreamNumber| {
                    self.streams.get(*number).is_some_and(|s| s.state().service() == service)
                };
                return numbers.iter().filter(is_own).copied().collect();
            }
            StreamSelector::Id(service, id) => {
                let key = (service.clone(), id.clone());
                self.by_id.get(&key).copied().into_iter().collect()
            }
            StreamSelector::Label(service, label) => self.index.labelled(service, label),
            StreamSelector::Group(service, group, after) => {
                self.index.members(service, group, *after).collect()
            }
        };
        let is_live =
            |number: &StreamNumber| self.streams.get(number).is_some_and(|s| !s.state().is_ended());
        numbers.into_iter().filter(is_live).collect()
    }

    /// The live members of a group with numbers above `after`.
    fn members(
        &self,
        service: &Arc<str>,
        group: &Arc<str>,
        after: StreamNumber,
        now: Millis,
    ) -> impl Iterator<Item = GroupMember> {
        let numbers = self.index.members(service, group, after);
        let streams = numbers.filter_map(|number| self.streams.get(&number));
        streams.filter(|stream| !stream.state().is_ended()).map(move |stream| {
            let state = stream.connection(now);
            GroupMember {
                stream: stream.number(),
                label: stream.state().attributes().label.clone(),
                connection: state.connection,
                since_ms: self.wall_ms(state.since),
            }
        })
    }

    fn list(
        &self,
        service: &Arc<str>,
        after: StreamNumber,
        limit: usize,
        now: Millis,
        effects: &mut Effects,
    ) -> Vec<StreamInfo> {
        let turn = Turn {
            now,
            wall_ms: self.wall_offset.wrapping_add(now.0),
            tag: self.tag,
            stores_finish: self.stores_finish,
            limits: &self.limits,
            intake: Intake::All,
            effects,
        };
        let behind = self.streams.range(after.saturating_add(1)..).map(|(_, stream)| stream);
        let of_service = behind.filter(|stream| stream.state().service() == service);
        of_service.take(limit).map(|stream| stream.info(&turn)).collect()
    }
}
