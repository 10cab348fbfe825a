//! What the cores say: each event of a call, as it changes the streams. The session's receiving side.

use minerva_proto::app::{Released, Started, Strings, event};

use super::calls::{CallId, Partition, partition};
use super::stream::{Home, Resumed, Stream};
use super::{Session, Signal, Violation};
use crate::event::{Ended, TransportChange};
use crate::info::StreamInfo;

impl Session {
    /// Takes what a core says on a call. After an error the call must be given up; the machine stays whole.
    ///
    /// What a call says of a stream that is at home elsewhere, or nowhere, changes nothing: it comes from a
    /// core that does not know yet that it is no owner any more.
    pub(crate) fn on_event(
        &mut self,
        call: CallId,
        event: event::Event,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Violation> {
        if let event::Event::Registered(registered) = event {
            self.calls.on_registered(call, &registered);
            return Ok(());
        }
        if !self.calls.is_registered(call) {
            return Err(Violation::NotRegistered);
        }
        match event {
            event::Event::Registered(_) => {}
            event::Event::Started(started) => self.on_started(call, &started, signals)?,
            event::Event::Strings(strings) => self.on_strings(call, strings, signals)?,
            event::Event::Ended(ended) => {
                let (number, event) = (ended.stream, ended.event);
                self.on_ended(call, number, event, Ended::from_proto(ended), signals)?;
            }
            event::Event::TransportChanged(change) => {
                if let Some(stream) = self.at_home(call, change.stream) {
                    stream.on_change(TransportChange::from_proto(&change));
                    signals.push(Signal::Readable(change.stream));
                }
            }
            event::Event::SendState(state) => {
                self.with(call, state.stream, signals, |stream| stream.on_send_state(&state))?;
            }
            event::Event::SendRefused(refused) => {
                // Those who wait for room may have none to come.
                self.with(call, refused.stream, signals, |stream| stream.on_refused(&refused))?;
            }
            event::Event::GroupRefused(refused) => {
                if let Some(stream) = self.at_home(call, refused.stream) {
                    stream.settings().on_refused(&refused.group);
                }
            }
            event::Event::Released(released) => self.on_released(call, released, signals),
            event::Event::PartitionOwned(owned) => {
                if let Ok(partition) = Partition::try_from(owned.partition) {
                    let home = Home { call, epoch: owned.epoch };
                    self.on_partition_owned(partition, home, owned.streams_made, signals)?;
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
    ) -> Result<(), Violation> {
        let number = started.stream;
        let info = StreamInfo::from_proto(started).map_err(|_| Violation::StreamId)?;
        if !self.calls.on_owner(call, partition(number), started.epoch)? {
            return Ok(());
        }
        let max_string = self.calls.max_string(call);
        if let Some(stream) = self.streams.get_mut(&number) {
            if stream.resume(started, call, max_string) == Resumed::Here {
                self.settle(number);
                signals.extend([Signal::Readable(number), Signal::Writable(number)]);
                return Ok(());
            }
            self.forget(number, signals);
        }
        if self.finished.remove(number) && started.resumed {
            self.streams.insert(number, Stream::finished(started, call, max_string));
            self.settle(number);
        } else {
            self.streams.insert(number, Stream::new(started, call, max_string));
            signals.push(Signal::Arrived(Box::new(info)));
        }
        Ok(())
    }

    fn on_strings(
        &mut self,
        call: CallId,
        strings: Strings,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Violation> {
        let (number, window) = (strings.stream, self.window);
        let Some(stream) = self.at_home(call, number) else { return self.late(call, number) };
        if stream.on_strings(strings.first_event, strings.strings, window)? {
            signals.push(Signal::Readable(number));
        }
        self.settle(number);
        Ok(())
    }

    fn on_ended(
        &mut self,
        call: CallId,
        number: u64,
        event: u64,
        ended: Ended,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Violation> {
        let Some(stream) = self.at_home(call, number) else { return self.late(call, number) };
        if stream.on_ended(event, ended.clone())? {
            signals.push(Signal::Ended(number, ended));
        }
        self.settle(number);
        Ok(())
    }

    fn on_released(&mut self, call: CallId, released: Released, signals: &mut Vec<Signal>) {
        let number = released.stream;
        // One that is apart was named in a registration, which this answers.
        let free = self.streams.get(&number).map_or_else(
            || self.finished.is_free_for(number, call),
            |stream| stream.home().is_none_or(|home| home.call == call),
        );
        let apart = self.at_home(call, number).is_none();
        if free && !(apart && self.calls.is_overtaken(call, partition(number))) {
            self.forget(number, signals);
        }
    }

    /// Streams of the partition that were not started on the call under this epoch are not this instance's; those
    /// that its store has never heard of are lost.
    fn on_partition_owned(
        &mut self,
        partition: Partition,
        home: Home,
        streams_made: u64,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Violation> {
        if !self.calls.on_owner(home.call, partition, home.epoch)? {
            return Ok(());
        }
        let gone: Vec<u64> = self
            .streams
            .range(numbers(partition))
            .filter(|(_, stream)| stream.home() != Some(home))
            .map(|(&number, _)| number)
            .collect();
        for number in gone {
            if number & COUNT > streams_made {
                self.lose(number, signals);
            } else {
                self.forget(number, signals);
            }
        }
        self.finished.retain(partition, home);
        Ok(())
    }

    fn lose(&mut self, number: u64, signals: &mut Vec<Signal>) {
        let Some(stream) = self.streams.get_mut(&number).filter(|stream| !stream.is_lost()) else {
            return;
        };
        signals.push(Signal::Ended(number, stream.lose()));
        self.settle(number);
    }

    fn on_partition_left(&mut self, call: CallId, partition: Partition) {
        self.calls.on_left(call, partition);
        for (_, stream) in self.streams.range_mut(numbers(partition)) {
            if stream.is_at(call) {
                stream.part();
            }
        }
        self.finished.part(call, Some(partition));
    }

    /// Something about a stream of which the core need not know that it is gone; who waits to send looks again.
    fn with(
        &mut self,
        call: CallId,
        number: u64,
        signals: &mut Vec<Signal>,
        then: impl FnOnce(&mut Stream) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let Some(stream) = self.at_home(call, number) else { return Ok(()) };
        let outcome = then(stream);
        self.settle(number);
        signals.push(Signal::Writable(number));
        outcome
    }

    fn at_home(&mut self, call: CallId, number: u64) -> Option<&mut Stream> {
        self.streams.get_mut(&number).filter(|stream| stream.is_at(call))
    }

    /// Events of a stream that is not at home on the call: repeats of what was done with, words of a former owner, or
    /// nonsense.
    fn late(&self, call: CallId, number: u64) -> Result<(), Violation> {
        let known = self.streams.contains_key(&number) || self.finished.contains(number);
        if known || self.calls.is_overtaken(call, partition(number)) {
            Ok(())
        } else {
            Err(Violation::UnknownStream)
        }
    }

    fn forget(&mut self, number: u64, signals: &mut Vec<Signal>) {
        self.finished.remove(number);
        if self.streams.remove(&number).is_some() {
            signals.push(Signal::Released(number));
        }
    }
}

/// The bits of a stream's number that count the streams of its partition.
const COUNT: u64 = (1 << 48) - 1;

/// The numbers that the streams of a partition may have.
fn numbers(partition: Partition) -> std::ops::RangeInclusive<u64> {
    let first = u64::from(partition) << 48;
    first..=first | COUNT
}
