//! Input of the session: applies each event of a call to the streams.

use minerva_proto::app::{Messages, Rejoined, Released, Renewed, Started, event};
use minerva_proto::{ClaimTag, EventNumber, StreamNumber};

use super::calls::{CallId, Partition};
use super::error::ContractError;
use super::incoming::Run;
use super::stream::{Attachment, ResumeOutcome, Stream};
use super::{Session, Signal};
use crate::contents::Contents;
use crate::event::{Ended, Rejoin, TransportChange};
use crate::info::{StreamInfo, known};

impl Session {
    /// Applies an event of a call. After an error the call must be ended; the session stays consistent.
    ///
    /// Events of a stream that is attached to another call, or to none, change nothing: their sender has lost
    /// the partition and has not noticed yet.
    pub(crate) fn on_event(
        &mut self,
        call: CallId,
        event: event::Event,
        signals: &mut Vec<Signal>,
    ) -> Result<(), ContractError> {
        if let event::Event::Registered(registered) = event {
            self.calls.on_registered(call, &registered);
            return Ok(());
        }
        if !self.calls.is_registered(call) {
            return Err(ContractError::NotRegistered);
        }
        match event {
            event::Event::Registered(_) => {}
            event::Event::Started(started) => self.on_started(call, &started, signals)?,
            event::Event::Messages(messages) => self.on_messages(call, messages, signals)?,
            event::Event::Ended(ended) => {
                let (number, event) = (StreamNumber(ended.stream), EventNumber(ended.event));
                self.on_ended(call, number, event, Ended::from_proto(ended), signals)?;
            }
            event::Event::Rejoined(rejoined) => self.on_rejoined(call, rejoined, signals)?,
            event::Event::Renewed(renewed) => self.on_renewed(call, renewed, signals),
            event::Event::TransportChanged(change) => {
                if let Some(stream) = self.attached(call, StreamNumber(change.stream)) {
                    stream.on_change(TransportChange::from_proto(&change));
                    signals.push(Signal::Readable(StreamNumber(change.stream)));
                }
            }
            event::Event::SendState(state) => {
                self.update_sends(call, StreamNumber(state.stream), signals, |stream| {
                    stream.on_send_state(&state)
                })?;
            }
            event::Event::SendRefused(refused) => {
                // Waiting senders must recheck: the room may be gone for good.
                self.update_sends(call, StreamNumber(refused.stream), signals, |stream| {
                    stream.on_refused(&refused)
                })?;
            }
            event::Event::GroupRefused(refused) => {
                if let Some(stream) = self.attached(call, StreamNumber(refused.stream)) {
                    stream.settings().on_refused(&refused.group);
                }
            }
            event::Event::Synced(synced) => {
                let number = StreamNumber(synced.stream);
                if let Some(stream) = self.attached(call, number) {
                    stream.settings().on_synced(synced.token);
                    signals.push(Signal::Writable(number));
                }
            }
            // The core has applied no part of the command. Logged by the service.
            event::Event::CommandRefused(_) => {}
            event::Event::Released(released) => self.on_released(call, released, signals)?,
            event::Event::PartitionOwned(owned) => {
                if let Ok(partition) = Partition::try_from(owned.partition) {
                    let attachment = Attachment { call, epoch: owned.epoch };
                    self.on_partition_owned(partition, attachment, owned.streams_made, signals)?;
                }
            }
            event::Event::PartitionLeft(left) => {
                if let Ok(partition) = Partition::try_from(left.partition) {
                    self.on_partition_left(call, partition);
                }
            }
        }
        Ok(())
    }

    fn on_started(
        &mut self,
        call: CallId,
        started: &Started,
        signals: &mut Vec<Signal>,
    ) -> Result<(), ContractError> {
        let number = StreamNumber(started.stream);
        let mut info = StreamInfo::from_proto(started).map_err(|_| ContractError::StreamId)?;
        if !self.calls.on_announced(call, number.partition(), started.epoch)? {
            return Ok(());
        }
        let core = self.calls.traits(call);
        if let Some(stream) = self.streams.get_mut(&number) {
            if stream.is_lost() && stream.is_same(started) {
                return Ok(());
            }
            if stream.resume(started, call, core) == ResumeOutcome::Continues {
                self.reschedule(number);
                signals.extend([Signal::Readable(number), Signal::Writable(number)]);
                return Ok(());
            }
            self.release(number, signals);
        }
        let had_ended = self.tombstones.remove(number);
        if started.finishing {
            let stream = Stream::new(started, call, core);
            self.streams.insert(number, stream.finished_before(started.finish_reason.clone()));
            self.reschedule(number);
        } else if had_ended && started.resumed {
            self.streams.insert(number, Stream::after_tombstone(started, call, core));
            self.reschedule(number);
        } else {
            self.assignments += 1;
            info.assignment = self.assignments;
            let mut stream = Stream::new(started, call, core);
            stream.assignment = self.assignments;
            self.streams.insert(number, stream);
            signals.push(Signal::Arrived(Box::new(info)));
        }
        Ok(())
    }

    fn on_messages(
        &mut self,
        call: CallId,
        messages: Messages,
        signals: &mut Vec<Signal>,
    ) -> Result<(), ContractError> {
        let (number, window) = (StreamNumber(messages.stream), self.window);
        let Some(stream) = self.attached(call, number) else {
            return self.check_known(call, number);
        };
        let (first, tag) = (EventNumber(messages.first_event), ClaimTag(messages.tag));
        let contents = Contents { messages: messages.messages, contents: messages.contents };
        let contents = contents.into_messages().map_err(|_| ContractError::Content)?;
        let run = Run { first, messages: contents, attempts: known(messages.attempts) };
        if stream.on_messages(run, tag, window)? {
            signals.push(Signal::Readable(number));
        }
        self.reschedule(number);
        Ok(())
    }

    fn on_ended(
        &mut self,
        call: CallId,
        number: StreamNumber,
        event: EventNumber,
        ended: Ended,
        signals: &mut Vec<Signal>,
    ) -> Result<(), ContractError> {
        let Some(stream) = self.attached(call, number) else {
            return self.check_known(call, number);
        };
        if stream.on_ended(event, ended.clone())? {
            signals.push(Signal::Ended(number, ended));
        }
        self.reschedule(number);
        Ok(())
    }

    fn on_rejoined(
        &mut self,
        call: CallId,
        rejoined: Rejoined,
        signals: &mut Vec<Signal>,
    ) -> Result<(), ContractError> {
        let (number, event) = (StreamNumber(rejoined.stream), EventNumber(rejoined.event));
        let Some(stream) = self.attached(call, number) else {
            return self.check_known(call, number);
        };
        if stream.on_rejoined(event, Rejoin::from_proto(rejoined))? {
            signals.push(Signal::Readable(number));
        }
        self.reschedule(number);
        Ok(())
    }

    fn on_renewed(&mut self, call: CallId, renewed: Renewed, signals: &mut Vec<Signal>) {
        let (number, identity) = (StreamNumber(renewed.stream), renewed.identity.map(Into::into));
        if let Some(stream) = self.attached(call, number)
            && stream.update_identity(identity)
        {
            signals.push(Signal::Readable(number));
        }
    }

    fn on_released(
        &mut self,
        call: CallId,
        released: Released,
        signals: &mut Vec<Signal>,
    ) -> Result<(), ContractError> {
        let number = StreamNumber(released.stream);
        if released.lost {
            if self.calls.on_announced(call, number.partition(), released.epoch)? {
                self.end_as_lost(number, signals);
            }
            return Ok(());
        }
        // A detached stream was listed in a registration, and this event answers the registration.
        let free = self.streams.get(&number).map_or_else(
            || self.tombstones.is_free_for(number, call),
            |stream| stream.attachment().is_none_or(|attachment| attachment.call == call),
        );
        let detached = self.attached(call, number).is_none();
        if free && !(detached && self.calls.is_stale(call, number.partition())) {
            self.release(number, signals);
        }
        Ok(())
    }

    /// Releases the streams of the partition that were not started on this call under this epoch. Streams
    /// that the store has never counted are lost.
    fn on_partition_owned(
        &mut self,
        partition: Partition,
        attachment: Attachment,
        streams_made: u64,
        signals: &mut Vec<Signal>,
    ) -> Result<(), ContractError> {
        if !self.calls.on_announced(attachment.call, partition, attachment.epoch)? {
            return Ok(());
        }
        let gone: Vec<StreamNumber> = self
            .streams
            .range(numbers(partition))
            .filter(|(_, stream)| stream.attachment() != Some(attachment) && !stream.is_lost())
            .map(|(&number, _)| number)
            .collect();
        for number in gone {
            if number.count() > streams_made {
                self.end_as_lost(number, signals);
            } else {
                self.release(number, signals);
            }
        }
        self.tombstones.retain(partition, attachment);
        Ok(())
    }

    fn end_as_lost(&mut self, number: StreamNumber, signals: &mut Vec<Signal>) {
        let Some(stream) = self.streams.get_mut(&number).filter(|stream| !stream.is_lost()) else {
            return;
        };
        signals.extend(stream.end_as_lost().map(|ended| Signal::Ended(number, ended)));
        self.reschedule(number);
    }

    fn on_partition_left(&mut self, call: CallId, partition: Partition) {
        self.calls.on_left(call, partition);
        for (_, stream) in self.streams.range_mut(numbers(partition)) {
            if stream.is_attached_to(call) {
                stream.detach();
            }
        }
        self.tombstones.detach(call, Some(partition));
    }

    /// Applies an event about sends and wakes the senders. An unknown stream is no error: the core may not
    /// know yet that the stream is gone.
    fn update_sends(
        &mut self,
        call: CallId,
        number: StreamNumber,
        signals: &mut Vec<Signal>,
        then: impl FnOnce(&mut Stream) -> Result<(), ContractError>,
    ) -> Result<(), ContractError> {
        let Some(stream) = self.attached(call, number) else { return Ok(()) };
        let outcome = then(stream);
        self.reschedule(number);
        signals.push(Signal::Writable(number));
        outcome
    }

    fn attached(&mut self, call: CallId, number: StreamNumber) -> Option<&mut Stream> {
        self.streams.get_mut(&number).filter(|stream| stream.is_attached_to(call))
    }

    /// Checks events of a stream that is not attached to the call. They are valid if they repeat acknowledged
    /// events or come from a former owner; otherwise the core broke the contract.
    fn check_known(&self, call: CallId, number: StreamNumber) -> Result<(), ContractError> {
        let known = self.streams.contains_key(&number) || self.tombstones.contains(number);
        if known || self.calls.is_stale(call, number.partition()) {
            Ok(())
        } else {
            Err(ContractError::UnknownStream)
        }
    }

    fn release(&mut self, number: StreamNumber, signals: &mut Vec<Signal>) {
        self.tombstones.remove(number);
        if self.streams.remove(&number).is_some_and(|stream| stream.assignment != 0) {
            signals.push(Signal::Released(number));
        }
    }
}

/// The range of stream numbers of a partition.
fn numbers(partition: Partition) -> std::ops::RangeInclusive<StreamNumber> {
    StreamNumber::new(partition, 0)..=StreamNumber::new(partition, StreamNumber::MAX_COUNT)
}
