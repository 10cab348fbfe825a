//! What cores let out, compared with what is durable at that moment.

use bytes::Bytes;
use minerva_core::state::StreamState;
use minerva_core::stream::AppOutput;
use minerva_proto::link::{CloseCause, CoreMessage};
use minerva_proto::{KillReason, Sack, StreamNumber};

use super::outside::parse_out;
use super::{Checker, c2s_string, s2c_string, stream_id};
use crate::core::TransportWatch;
use crate::network::Network;

impl Checker {
    /// A core says something about a transport.
    pub(crate) fn on_edge_output(
        &mut self,
        watch: &mut TransportWatch,
        output: &CoreMessage,
        net: &Network,
    ) {
        let client = watch.client;
        let holds = match output {
            CoreMessage::Opened { sack, .. } => {
                self.holds_sack(client, sack.as_ref()) && self.number(client).is_some()
            }
            CoreMessage::Sack(sack) => self.holds_sack(client, Some(sack)),
            CoreMessage::Messages(run) => {
                run.messages.iter().all(|string| is_for(client, string))
                    && self.holds(client, |state| has_messages(state, run.first.0, &run.messages))
            }
            CoreMessage::Close(close) => {
                self.holds_sack(client, close.sack.as_ref())
                    && self.holds_close(client, &close.cause)
            }
            CoreMessage::Taken(batch) => {
                let later = watch.batches.split_off(&(batch.0 + 1));
                let taken = std::mem::replace(&mut watch.batches, later);
                let runs: Vec<(u64, u64)> = taken.into_values().flatten().collect();
                let all = |state: &StreamState| {
                    let mut numbers = runs.iter().flat_map(|(first, n)| *first..first + n);
                    numbers.all(|number| state.has_received(number)) || state.is_ended()
                };
                self.holds(client, all)
            }
        };
        if !holds {
            let now = net.now;
            self.violation(format!("client {client} at {now}: not durable, or wrong: {output:?}"));
        }
    }

    /// A core says something to an instance.
    pub(crate) fn on_app_output(&mut self, output: &AppOutput, net: &Network) {
        let holds = match output {
            AppOutput::Started(started) => {
                let (next_event, send) = (started.next_event, started.send_state.next_send);
                self.durable.implies(started.stream, |state| {
                    state.inbox().base() >= next_event && sent_by_app(state) >= send
                })
            }
            AppOutput::Messages { stream, first_event, messages } => {
                let end = first_event + messages.len() as u64;
                self.durable.implies(*stream, |state| state.inbox().next() >= end)
                    && self.are_strings(*stream, *first_event, messages)
            }
            AppOutput::Ended { stream, event, end } => {
                self.durable.implies(*stream, |state| state.inbox().ended() == Some((*event, end)))
            }
            AppOutput::SendState { stream, state } => {
                let next = state.next_send;
                self.durable.implies(*stream, |state| sent_by_app(state) >= next)
            }
            AppOutput::SendRefused { stream, next_send, .. } => {
                self.durable.implies(*stream, |state| sent_by_app(state) >= *next_send)
            }
            AppOutput::Released { .. }
            | AppOutput::TransportChanged { .. }
            | AppOutput::PartitionOwned { .. }
            | AppOutput::PartitionLeft { .. }
            | AppOutput::GroupRefused { .. } => true,
            AppOutput::ContractViolation(text) => {
                self.violation(format!("an instance broke the contract: {text}"));
                true
            }
        };
        if !holds {
            self.violation(format!("at {}: not durable, or wrong: {output:?}", net.now));
        }
    }

    fn are_strings(&self, number: StreamNumber, first: u64, messages: &[Bytes]) -> bool {
        let Some(state) = self.durable.stream(number) else { return true };
        let Some(client) = super::client_of(state.origin().id.as_str()) else { return false };
        (first..).zip(messages).all(|(event, string)| c2s_string(client, event - 1) == *string)
    }

    /// The number of a client's living stream, or of its last one.
    pub(crate) fn number(&self, client: usize) -> Option<StreamNumber> {
        self.durable.living(&stream_id(client)).or(self.clients[client].stream)
    }

    fn holds(&self, client: usize, holds: impl Fn(&StreamState) -> bool) -> bool {
        let living = self.durable.living(&stream_id(client));
        let numbers = living.into_iter().chain(self.clients[client].stream);
        numbers.into_iter().any(|number| self.durable.implies(number, &holds))
            || self.durable.has_ended(&stream_id(client))
    }

    fn holds_sack(&self, client: usize, sack: Option<&Sack>) -> bool {
        let Some(sack) = sack.filter(|sack| **sack != Sack::NONE) else { return true };
        let all = |state: &StreamState| {
            sack.acked.iter().chain(&sack.beyond).all(|number| state.has_received(number.0))
        };
        self.holds(client, all)
    }

    fn holds_close(&self, client: usize, cause: &CloseCause) -> bool {
        match cause {
            CloseCause::Gentle | CloseCause::Unavailable { .. } | CloseCause::Moved => true,
            CloseCause::Refused { .. } => false,
            CloseCause::Kill(KillReason::StreamAttachFailure) => {
                self.durable.living(&stream_id(client)).is_none()
            }
            CloseCause::Kill(reason) => *reason == KillReason::RwinOverflow,
            CloseCause::Reset(_) => self.durable.has_ended(&stream_id(client)),
        }
    }
}

/// How many strings a stream's instance has sent: in its own count, those from outside are not there.
pub(super) fn sent_by_app(state: &StreamState) -> u64 {
    state.outbox().next().saturating_sub(state.attributes().pushed)
}

/// These strings have these numbers; those that were acknowledged are not there any more.
fn has_messages(state: &StreamState, first: u64, messages: &[Bytes]) -> bool {
    let end = first + messages.len() as u64;
    let stored = state.outbox().iter_from(first).take_while(|(number, _)| *number < end);
    state.outbox().next() >= end
        && stored.into_iter().all(|(number, string)| messages[(number - first) as usize] == *string)
}

/// Something that is sent to this client, by its app or from outside.
fn is_for(client: usize, string: &Bytes) -> bool {
    let text = std::str::from_utf8(string).unwrap_or_default();
    let number = text.strip_prefix("down ").and_then(|text| text.split(' ').nth(1)?.parse().ok());
    parse_out(string).is_some() || number.is_some_and(|n| s2c_string(client, n) == *string)
}
