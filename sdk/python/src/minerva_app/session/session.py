"""All streams of one instance: events in, commands and signals out. The package describes the machine."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..events import Content, Ended, Event, Rejoined, TransportChanged
from ..proto import app_pb2 as pb
from .calls import CallId, Calls, partition_of
from .errors import ContractError, NoRoomError, OverError
from .incoming import size_of
from .stream import StreamState
from .tombstones import Tombstones

MAX_HELD = 32_768
"""Most streams of which a registration reports the tags: 2 MB in a request."""
_COUNT = (1 << 48) - 1
"""The lower bits of a stream number: its position in the count of streams of the partition."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A stream was assigned that the session did not hold."""

    started: pb.Started
    assignment: int


@dataclass(frozen=True, slots=True)
class Readable:
    """Wake the reader of the stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Writable:
    """Wake the senders of the stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class EndedSignal:
    """The stream has ended. The reader may have events left."""

    stream: int
    ended: Ended


@dataclass(frozen=True, slots=True)
class ReleasedSignal:
    """The session no longer holds the stream. The handle is dead."""

    stream: int


Signal = Arrived | Readable | Writable | EndedSignal | ReleasedSignal


class Session:
    """All streams of one instance."""

    def __init__(self, window: int) -> None:
        self._streams: dict[int, StreamState] = {}
        self._tombstones = Tombstones()
        self._calls = Calls()
        self._assignments = 0
        # Bytes of unacknowledged messages that a core may deliver per stream.
        self._window = window
        self._signals: list[Signal] = []

    # Calls.

    def begin(self) -> tuple[CallId, list[int]]:
        """Begins a call. Also returns the held streams that no other call serves, for the registration."""
        streams = self._streams.items()
        held = [number for number, stream in streams if stream.attachment is None and not stream.is_lost]
        return self._calls.begin(), [*held, *self._tombstones.detached()]

    def held(self, numbers: Iterable[int]) -> list[pb.Held]:
        """The progress on these held streams, as far as claim tags are known; at most MAX_HELD streams."""
        streams = (self._streams[number].held() for number in numbers if number in self._streams)
        return [held for held in streams if held is not None][:MAX_HELD]

    def end(self, call: CallId) -> None:
        """Ends a call and detaches all attached streams."""
        self._calls.end(call)
        for stream in self._streams.values():
            if stream.is_attached_to(call):
                stream.detach()
        self._tombstones.detach(call, None)

    def unsettled_calls(self) -> list[CallId]:
        """Calls that must be ended although their events break no contract: a claim was ignored because of a higher epoch
        that no call announces any more, so a new call must settle the owner."""
        return self._calls.unsettled()

    def is_registered(self, call: CallId) -> bool:
        """Whether the core has answered the registration of this call."""
        return self._calls.is_registered(call)

    def has_commands(self, call: CallId) -> bool:
        """Whether commands may be ready for this call."""
        return self._calls.has_ready(call)

    def take_commands(self, call: CallId, budget: int) -> list[pb.Command]:
        """Takes commands for a call: about `budget` bytes, more if a single message is longer."""
        commands: list[pb.Command] = []
        while (number := self._calls.pop_ready(call)) is not None:
            stream = self._streams.get(number)
            if stream is None or not stream.is_scheduled or not stream.is_attached_to(call):
                continue
            stream.is_scheduled = False
            while budget > 0 and (command := stream.next_command()) is not None:
                budget -= _cost(command)
                commands.append(command)
            if stream.is_end_acknowledged:
                del self._streams[number]
                self._tombstones.insert(number, stream.attachment)
            elif budget <= 0:
                # Out of budget: the next stream takes a turn first.
                self._schedule(stream)
                break
        return commands

    def call_of(self, number: int) -> CallId | None:
        """The call for which the stream has commands ready, if any."""
        stream = self._streams.get(number)
        if stream is None or stream.attachment is None or not self.has_commands(stream.attachment[0]):
            return None
        return stream.attachment[0]

    def needs_probes(self, call: CallId) -> bool:
        """Whether the core of a call has no Finish or no Sync."""
        core = self._calls.traits(call)
        return not core.has_finish or not core.has_sync

    def probes(self, call: CallId) -> list[pb.Command]:
        """Commands to send now and then on a call to a core without Finish or Sync."""
        probes = (stream.probe() for stream in self._streams.values() if stream.is_attached_to(call))
        return [probe for probe in probes if probe is not None]

    def is_flushed(self) -> bool:
        """Whether everything done by the handlers has been confirmed by a core, as far as the session can determine."""
        return all(stream.is_flushed for stream in self._streams.values())

    # Calls of the handlers.

    def assignment_of(self, number: int) -> int | None:
        """Number of the assignment under which a stream is held; None for a stream that is not held."""
        stream = self._streams.get(number)
        return stream.assignment if stream else None

    def check(self, number: int, content: Content) -> None:
        """Raises SendError if the core or the client of the stream does not accept the message."""
        if stream := self._streams.get(number):
            stream.check(content)

    def read(self, number: int) -> Event | None:
        """Takes the next event for the reader of a stream; None if no event is queued. Raises OverError if the session
        does not hold the stream: no event will follow."""
        stream = self._streams.get(number)
        if stream is None:
            raise OverError
        return stream.read()

    def change(self, number: int, then: Callable[[StreamState], T]) -> T:
        """Applies a change to a stream. Raises OverError if the session does not hold the stream."""
        stream = self._streams.get(number)
        if stream is None:
            raise OverError
        try:
            return then(stream)
        finally:
            self._reschedule(stream)

    def check_confirmed(self, number: int, end: int) -> None:
        """Raises NoRoomError until all messages below `end` are durable."""
        if self._live(number).confirmed < end:
            raise NoRoomError

    def check_change(self, number: int, change: int) -> None:
        """Raises NoRoomError until a change of the settings is durable and visible to the callers of all cores."""
        if not self._live(number).settings.is_confirmed(change):
            raise NoRoomError

    def next_send(self, number: int) -> int:
        """Number of the next message."""
        return self._live(number).next_send

    def is_group_refused(self, number: int, group: str) -> bool:
        """Whether the core has refused to add the stream to this group."""
        stream = self._streams.get(number)
        return stream is not None and not stream.is_over and not stream.settings.has_changed(group)

    # Events of the cores.

    def take_signals(self) -> list[Signal]:
        """Takes the changes of streams since the last call."""
        signals, self._signals = self._signals, []
        return signals

    def on_event(self, call: CallId, event: pb.Event) -> None:
        """Applies an event of a call. After a ContractError the call must be ended; the session stays consistent.

        Events of a stream that is attached to another call, or to none, change nothing: their sender has lost the
        partition and has not noticed yet."""
        kind = event.WhichOneof("event")
        if kind is None:
            return
        if kind == "registered":
            self._calls.on_registered(call, event.registered)
            return
        if not self._calls.is_registered(call):
            raise ContractError("an event arrived before Registered")
        # An event of a later core, or of a feature that this SDK does not list, is skipped.
        if on_event := getattr(self, f"_on_{kind}", None):
            on_event(call, getattr(event, kind))

    def _on_started(self, call: CallId, started: pb.Started) -> None:
        number = started.stream
        if not self._calls.on_announced(call, partition_of(number), started.epoch):
            return
        core = self._calls.traits(call)
        held = self._streams.get(number)
        if held is not None:
            if held.is_lost and held.is_same(started):
                return
            if held.resume(started, call, core):
                self._reschedule(held)
                self._signals += [Readable(number), Writable(number)]
                return
            self._release(number)
        had_ended = self._tombstones.remove(number)
        if started.finishing:
            stream = StreamState.finished_before(started, call, core)
        elif had_ended and started.resumed:
            stream = StreamState.after_tombstone(started, call, core)
        else:
            self._assignments += 1
            stream = StreamState(started, call, core)
            stream.assignment = self._assignments
            self._signals.append(Arrived(started, stream.assignment))
        self._streams[number] = stream
        self._reschedule(stream)

    def _on_messages(self, call: CallId, messages: pb.Messages) -> None:
        stream = self._attached_or_known(call, messages.stream)
        if stream is None:
            return
        contents = _contents(messages)
        attempts = messages.attempts or None
        if stream.on_messages(messages.first_event, contents, messages.tag, attempts, self._window):
            self._signals.append(Readable(messages.stream))
        self._reschedule(stream)

    def _on_ended(self, call: CallId, ended: pb.Ended) -> None:
        stream = self._attached_or_known(call, ended.stream)
        if stream is None:
            return
        end = Ended.of(ended)
        if stream.on_ended(end):
            self._signals.append(EndedSignal(ended.stream, end))
        self._reschedule(stream)

    def _on_rejoined(self, call: CallId, rejoined: pb.Rejoined) -> None:
        stream = self._attached_or_known(call, rejoined.stream)
        if stream is None:
            return
        if stream.on_rejoined(Rejoined.of(rejoined)):
            self._signals.append(Readable(rejoined.stream))
        self._reschedule(stream)

    def _on_transport_changed(self, call: CallId, change: pb.TransportChanged) -> None:
        if stream := self._attached(call, change.stream):
            stream.on_change(TransportChanged.of(change))
            self._signals.append(Readable(change.stream))

    def _on_send_state(self, call: CallId, state: pb.SendState) -> None:
        # An unknown stream is no error: the core may not know yet that the stream is gone.
        if stream := self._attached(call, state.stream):
            self._update_sends(stream, lambda: stream.on_send_state(state))

    def _on_send_refused(self, call: CallId, refused: pb.SendRefused) -> None:
        if stream := self._attached(call, refused.stream):
            self._update_sends(stream, lambda: stream.on_refused(refused))

    def _on_group_refused(self, call: CallId, refused: pb.GroupRefused) -> None:
        if stream := self._attached(call, refused.stream):
            stream.settings.on_refused(refused.group)

    def _on_synced(self, call: CallId, synced: pb.Synced) -> None:
        if stream := self._attached(call, synced.stream):
            stream.settings.on_synced(synced.token)
            self._signals.append(Writable(synced.stream))

    def _on_command_refused(self, call: CallId, refused: pb.CommandRefused) -> None:
        """The core has applied no part of the command. Logged by the service."""

    def _on_released(self, call: CallId, released: pb.Released) -> None:
        number = released.stream
        if released.lost:
            if self._calls.on_announced(call, partition_of(number), released.epoch):
                self._end_as_lost(number)
            return
        # A detached stream was listed in a registration, and this event answers the registration.
        stream = self._streams.get(number)
        if stream is None:
            is_free = self._tombstones.is_free_for(number, call)
        else:
            is_free = stream.attachment is None or stream.attachment[0] == call
        is_detached = self._attached(call, number) is None
        if is_free and not (is_detached and self._calls.is_stale(call, partition_of(number))):
            self._release(number)

    def _on_partition_owned(self, call: CallId, owned: pb.PartitionOwned) -> None:
        """Releases the streams of the partition that were not started on this call under this epoch. Streams that the store
        has never counted are lost."""
        if not self._calls.on_announced(call, owned.partition, owned.epoch):
            return
        attachment = (call, owned.epoch)
        for number, stream in self._of_partition(owned.partition):
            if stream.attachment == attachment or stream.is_lost:
                continue
            if number & _COUNT > owned.streams_made:
                self._end_as_lost(number)
            else:
                self._release(number)
        self._tombstones.retain(owned.partition, attachment)

    def _on_partition_left(self, call: CallId, left: pb.PartitionLeft) -> None:
        self._calls.on_left(call, left.partition)
        for _, stream in self._of_partition(left.partition):
            if stream.is_attached_to(call):
                stream.detach()
        self._tombstones.detach(call, left.partition)

    def _of_partition(self, partition: int) -> list[tuple[int, StreamState]]:
        numbers = sorted(number for number in self._streams if partition_of(number) == partition)
        return [(number, self._streams[number]) for number in numbers]

    def _end_as_lost(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is None or stream.is_lost:
            return
        if (ended := stream.end_as_lost()) is not None:
            self._signals.append(EndedSignal(number, ended))
        self._reschedule(stream)

    def _update_sends(self, stream: StreamState, then: Callable[[], None]) -> None:
        """Applies an event about sends and wakes the senders, who must check again: the room may be gone for good."""
        try:
            then()
        finally:
            self._reschedule(stream)
            self._signals.append(Writable(stream.number))

    def _attached(self, call: CallId, number: int) -> StreamState | None:
        stream = self._streams.get(number)
        return stream if stream is not None and stream.is_attached_to(call) else None

    def _attached_or_known(self, call: CallId, number: int) -> StreamState | None:
        """The stream, if attached to the call. Otherwise its events are valid if they repeat acknowledged events or come
        from a former owner; if not, the core broke the contract."""
        stream = self._attached(call, number)
        is_known = number in self._streams or number in self._tombstones
        if stream is None and not is_known and not self._calls.is_stale(call, partition_of(number)):
            raise ContractError("an event of a stream that was not started")
        return stream

    def _release(self, number: int) -> None:
        self._tombstones.remove(number)
        stream = self._streams.pop(number, None)
        if stream is not None and stream.assignment != 0:
            self._signals.append(ReleasedSignal(number))

    def _live(self, number: int) -> StreamState:
        stream = self._streams.get(number)
        if stream is None or stream.is_over:
            raise OverError
        return stream

    def _reschedule(self, stream: StreamState) -> None:
        if self._streams.get(stream.number) is not stream:
            return
        if stream.is_lost_and_acknowledged:
            del self._streams[stream.number]
        elif stream.has_commands():
            self._schedule(stream)

    def _schedule(self, stream: StreamState) -> None:
        if not stream.is_scheduled and stream.attachment is not None:
            stream.is_scheduled = True
            self._calls.push_ready(stream.attachment[0], stream.number)


def _cost(command: pb.Command) -> int:
    """Approximate encoded size of a command, in bytes."""
    if not command.HasField("send"):
        return 32
    contents = sum(8 + size_of(content.text or content.binary) for content in command.send.contents)
    return 32 + contents + sum(4 + len(message) for message in command.send.messages)


def _contents(messages: pb.Messages) -> Sequence[Content]:
    contents: list[Content] = [message.decode() for message in messages.messages]
    for message in messages.contents:
        kind = message.WhichOneof("content")
        if kind is None:
            raise ContractError("a message without content")
        contents.append(message.text if kind == "text" else message.binary)
    return contents
