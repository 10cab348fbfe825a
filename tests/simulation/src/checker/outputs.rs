//! Checks of released outputs of cores against the durable state.

use minerva_proto::link::{CloseCause, CoreMessage};
use minerva_proto::{EventNumber, KillReason, Sack, StreamNumber};

use super::{Checker, TransportWatch};
use crate::clock::Time;
use crate::durable::{StreamModel, partition_of};
use crate::messages::{Body, c2s_message, client_of, is_for_client, stream_id};
use crate::observation::{Assigned, InstanceOutput};

impl Checker {
    /// A core releases a message about a transport.
    pub(crate) fn on_core_message(
        &mut self,
        watch: &mut TransportWatch,
        message: &CoreMessage,
        now: Time,
    ) {
        let client = watch.client;
        if watch.is_foreign {
            return self.check_foreign(client, message);
        }
        let holds = match message {
            CoreMessage::Opened { sack, .. } => {
                // A loss that a hello of the same turn proves has ended the stream.
                self.durable.has_existed(&stream_id(client))
                    && self.holds_sack(client, sack.as_ref())
            }
            CoreMessage::Sack(sack) => self.holds_sack(client, Some(sack)),
            CoreMessage::Tag(_) | CoreMessage::Compress(_) | CoreMessage::Renew(_) => true,
            CoreMessage::Messages(run) => {
                let messages: Vec<Body> = run.messages.iter().map(Body::from).collect();
                let contents = self.versions.contents(client);
                messages.iter().all(|message| is_for_client(contents, client, message))
                    && self.holds(client, |state| state.has_sent(run.first, &messages))
            }
            CoreMessage::Close(close) => {
                self.holds_sack(client, close.sack.as_ref())
                    && self.holds_close(client, &close.cause)
            }
            CoreMessage::Taken(batch) => {
                let runs = watch.take_up_to(*batch);
                let all = |state: &StreamModel| {
                    let mut numbers =
                        runs.iter().flat_map(|(first, n)| (0..*n).map(|index| *first + index));
                    numbers.all(|number| state.has_received(number)) || state.is_ended()
                };
                self.holds(client, all)
            }
        };
        if !holds {
            self.violation(format!("client {client} at {now}: not durable, or wrong: {message:?}"));
        }
    }

    /// A hello without the key of the stream gets the answer of an unknown stream.
    fn check_foreign(&mut self, client: usize, message: &CoreMessage) {
        let is_refused = match message {
            CoreMessage::Close(close) => match &close.cause {
                CloseCause::Gentle | CloseCause::Unavailable { .. } | CloseCause::Moved => true,
                CloseCause::Kill(reason) => *reason == KillReason::StreamAttachFailure,
                // The answer for every unknown stream after a rollback.
                CloseCause::Reset(_) => self.durable.has_rolled_back(),
                CloseCause::Refused { .. } | CloseCause::WrongVersion | CloseCause::Superseded => {
                    false
                }
            },
            CoreMessage::Opened { .. }
            | CoreMessage::Sack(_)
            | CoreMessage::Tag(_)
            | CoreMessage::Compress(_)
            | CoreMessage::Renew(_)
            | CoreMessage::Messages(_)
            | CoreMessage::Taken(_) => false,
        };
        if !is_refused {
            let text = format!("client {client}: a stranger without the key gets {message:?}");
            self.violation(text);
        }
    }

    /// A core releases an output to an instance.
    pub(crate) fn on_instance_output(
        &mut self,
        instance: &str,
        output: &InstanceOutput,
        now: Time,
    ) {
        let holds = match output {
            InstanceOutput::Started { assigned, assignment, attempt } => {
                let Assigned { number, next_event, next_send } = *assigned;
                self.check_assignment(number, instance, *assignment);
                self.check_attempts(instance, *assigned, *attempt);
                self.durable.implies(number, |state| {
                    state.first_event() >= next_event && state.sent_by_app() >= next_send
                })
            }
            InstanceOutput::Messages { stream, first_event, messages } => {
                let end = *first_event + messages.len() as u64;
                self.on_delivered(*stream, end);
                self.durable.implies(*stream, |state| state.next_event() >= end)
                    && self.are_c2s_messages(*stream, *first_event, messages)
            }
            InstanceOutput::Ended { stream, event, end } => {
                self.durable.implies(*stream, |state| state.end() == Some((*event, end)))
            }
            InstanceOutput::Sent { stream, next_send } => {
                self.durable.implies(*stream, |state| state.sent_by_app() >= *next_send)
            }
            InstanceOutput::Lost { stream } => self.durable.can_be_lost(*stream),
            InstanceOutput::Refused(detail) => {
                self.violation(format!("an invalid command of an instance: {detail}"));
                true
            }
            InstanceOutput::Released { stream } => {
                self.on_taken_back(*stream);
                true
            }
            InstanceOutput::Other => true,
        };
        if !holds {
            self.violation(format!("at {now}: not durable, or wrong: {output:?}"));
        }
    }

    /// Checks that the assignments of a stream to different instances have different numbers. An instance detects by
    /// the number that another one had the stream. A rollback may take numbers back.
    fn check_assignment(&mut self, stream: StreamNumber, instance: &str, assignment: u64) {
        let is_lossless = !self.durable.is_rolled_back(partition_of(stream));
        if assignment == 0 || !is_lossless || self.durable.is_damaged() {
            return;
        }
        let key = (stream, assignment);
        let other = self.assignments.entry(key).or_insert_with(|| instance.to_owned());
        if other != instance {
            let text = format!("{other} and {instance} have stream {stream} under {assignment}");
            self.violation(text);
        }
    }

    fn are_c2s_messages(
        &self,
        number: StreamNumber,
        first: EventNumber,
        messages: &[Body],
    ) -> bool {
        let Some(state) = self.durable.stream(number) else { return true };
        let Some(client) = client_of(&state.id) else { return false };
        let contents = self.versions.contents(client);
        let expected = |event| c2s_message(contents, client, event - 1);
        (first.0..).zip(messages).all(|(event, message)| expected(event) == *message)
    }

    /// Whether the predicate is durable for the live stream or the last stream of a client. An ended stream implies
    /// every predicate.
    fn holds(&self, client: usize, holds: impl Fn(&StreamModel) -> bool) -> bool {
        let live = self.durable.live_stream(&stream_id(client));
        let numbers = live.into_iter().chain(self.clients[client].stream);
        numbers.into_iter().any(|number| self.durable.implies(number, &holds))
            || self.durable.has_ended(&stream_id(client))
    }

    fn holds_sack(&self, client: usize, sack: Option<&Sack>) -> bool {
        let Some(sack) = sack.filter(|sack| **sack != Sack::NONE) else { return true };
        let all = |state: &StreamModel| {
            sack.acked.iter().chain(&sack.beyond).all(|number| state.has_received(*number))
        };
        self.holds(client, all)
    }

    fn holds_close(&self, client: usize, cause: &CloseCause) -> bool {
        match cause {
            CloseCause::Gentle | CloseCause::Unavailable { .. } | CloseCause::Moved => true,
            CloseCause::WrongVersion => self.versions.has_old_apps,
            CloseCause::Refused { .. } | CloseCause::Superseded => false,
            CloseCause::Kill(KillReason::StreamAttachFailure) => {
                self.durable.live_stream(&stream_id(client)).is_none()
            }
            CloseCause::Kill(reason) => *reason == KillReason::RwinOverflow,
            CloseCause::Reset(_) => {
                self.durable.has_ended(&stream_id(client)) || self.durable.has_lost(client)
            }
        }
    }
}
