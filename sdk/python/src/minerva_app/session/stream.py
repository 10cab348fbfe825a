"""The state of one stream in an app instance: received events, queued messages, acknowledgements and settings. Pure; used
by the session only.

An acknowledgement never overtakes messages that were sent earlier, but travels in the same Send, or waits until those
messages are durable. A crash of the app therefore loses no effect of an acknowledged event.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .. import errors
from ..events import Accepts, Content, Ended, EndedBy, Event, Rejoined, TransportChanged
from ..proto import app_pb2 as pb
from .answers import Answers
from .calls import CallId, CoreTraits
from .errors import FinishedError, NoRoomError, OverError
from .event_tags import EventTags, differ
from .incoming import Incoming, size_of
from .outgoing import Outgoing
from .settings import Settings
from .tombstones import Attachment

STATE_LOST = "state lost"
"""Reset reason if the core lost confirmed messages, and end reason if the core lost the stream."""
TOO_LONG = "message too long"
"""Reset reason if the stream moves to a core with a lower message limit than a queued message."""
UNSUPPORTED = "unsupported message"
"""Reset reason if the stream moves to a core without the kind of a queued message, and if a core refuses the kind."""
INVALID = "invalid message"
"""Reset reason if the core has refused a send as invalid."""
FINISHED = "finished"
"""Reset reason of a finished stream at a core without Finish."""

_NOT_ASCII = re.compile(r"[^ -~]")


@dataclass(slots=True)
class _PendingReset:
    """A reset by the app, sent once per attachment until the stream ends."""

    reason: str
    application_level: bool
    is_sent: bool = False


@dataclass(slots=True)
class _PendingFinish:
    """A finish by the app, sent once per attachment until the stream ends."""

    reason: str
    # Events below were acknowledged by the handler before. Only these are acknowledged before the finish is sent.
    handled: int
    is_sent: bool = False


def send_state_of(started: pb.Started) -> pb.SendState | None:
    return started.send_state if started.HasField("send_state") else None


def tag_of(state: pb.SendState | None) -> int:
    """Tag of the last message below the next send; 0 if unknown."""
    return state.tag if state else 0


class StreamState:
    """The state of one stream."""

    def __init__(self, started: pb.Started, call: CallId, core: CoreTraits) -> None:
        self.number = started.stream
        # Number of the assignment, as in the handle of the stream; 0 without a handle.
        self.assignment = 0
        self._core_assignment = started.assignment
        # The identity: after a rollback of the store another stream may have the same number.
        self._id = started.stream_id
        self._started_at_ms = started.started_at_ms
        self._created_tag = started.created_tag
        self._incoming = Incoming(started.next_event)
        self._event_tags = EventTags()
        state = send_state_of(started)
        self._outgoing = Outgoing(started.next_send, state)
        self._send_tag = tag_of(state)
        # The core has lost an event that was received. The stream is reset, and later messages are dropped.
        self._has_lost_events = False
        self._answers = Answers()
        # The call on which Started arrived; None while detached.
        self.attachment: Attachment | None = (call, started.epoch)
        self._core = core
        self._accepts = Accepts.of(started.accepts)
        # The reader is gone: events are acknowledged unread.
        self._is_abandoned = False
        # All events below are acknowledged by the handler; at most `expected`.
        self._handled = started.next_event
        # Messages below this number must be durable before `_handled` is acknowledged.
        self._barrier = 0
        # All events below are acknowledged on this attachment, or were when the attachment began.
        self._ack_sent = started.next_event
        # Number of the Ended event, once received.
        self._ended: int | None = None
        # The core accepts no more messages on this attachment: Ended or Released follows.
        self._is_closing = False
        # No core knows the stream any more.
        self.is_lost = False
        self._reset: _PendingReset | None = None
        self._finish: _PendingFinish | None = None
        self.settings = Settings()
        # Is in the session's list of streams with commands ready.
        self.is_scheduled = False

    @classmethod
    def after_tombstone(cls, started: pb.Started, call: CallId, core: CoreTraits) -> "StreamState":
        """Restores a stream from a tombstone, after the core has started the stream again. If the acknowledgement of the
        end was lost, the core repeats the end. If the store has lost the end, the client may still be connected without a
        handler to read the messages, so the stream is reset."""
        stream = cls(started, call, core)
        stream._is_abandoned = True
        stream.reset(STATE_LOST, False)
        return stream

    @classmethod
    def finished_before(cls, started: pb.Started, call: CallId, core: CoreTraits) -> "StreamState":
        """The stream as an instance has finished it before: all events are acknowledged unread. A core that keeps the
        finish in memory forgets it with the ownership; it is then repeated with its reason."""
        stream = cls(started, call, core)
        stream._finish = _PendingFinish(started.finish_reason, stream._handled, is_sent=True)
        stream.abandon()
        return stream

    # Attachments.

    def is_same(self, started: pb.Started) -> bool:
        """Whether Started is about this stream, and not about a later one with the same number."""
        return (
            self._id == started.stream_id
            and self._started_at_ms == started.started_at_ms
            and not differ(self._created_tag, started.created_tag)
        )

    def is_attached_to(self, call: CallId) -> bool:
        return self.attachment is not None and self.attachment[0] == call

    def detach(self) -> None:
        """Detaches from the call: no command may be sent before the next Started."""
        self.attachment = None
        self._is_closing = self.is_scheduled = False
        self._outgoing.detach()
        if self._reset:
            self._reset.is_sent = False
        if self._finish:
            self._finish.is_sent = False
        self.settings.detach()

    def resume(self, started: pb.Started, call: CallId, core: CoreTraits) -> bool:
        """Applies a repeated Started on this call. Returns False if the held state is void: another instance had the
        stream meanwhile, or the number belongs to another stream."""
        own, assignment = self._core_assignment, started.assignment
        goes_on = self.is_same(started) and (0 in (own, assignment) or own == assignment)
        if not goes_on or started.next_event > self._incoming.expected or started.next_send > self._outgoing.next:
            return False
        self.detach()
        self.attachment = (call, started.epoch)
        self._core, self._accepts = core, Accepts.of(started.accepts)
        if self._finish and started.finishing:
            self._finish.is_sent = True
        self._incoming.resume(started.next_event)
        self._ack_sent = started.next_event
        state = send_state_of(started)
        if self._ended is not None:
            self._outgoing.clear()
        elif started.next_send >= self._outgoing.confirmed and not self._has_lost_sends(state):
            self._send_tag = tag_of(state)
            self._outgoing.resume(started.next_send, state)
            self._answers.free(self._outgoing.confirmed)
            self._reset_if_unacceptable()
        else:
            self._discard_sends_and_reset(STATE_LOST)
        return True

    def held(self) -> pb.Held | None:
        """The progress to report to the next core; None if no claim tag is known."""
        held = pb.Held(stream=self.number, created_tag=self._created_tag)
        # The numbers of an ended or reset stream are not those of received events and confirmed messages.
        if not self.is_over:
            held.next_event, held.event_tag = self._incoming.expected, self._event_tags.last()
            held.next_send, held.send_tag = self._outgoing.confirmed, self._send_tag
        return held if held.created_tag or held.event_tag or held.send_tag else None

    # Events of the core.

    def on_messages(self, first: int, contents: Sequence[Content], tag: int, attempts: int | None, window: int) -> bool:
        """Queues messages of the client. Returns whether any of them is new."""
        expected, end = self._incoming.expected, first + len(contents)
        if self._ended is None and self._event_tags.contradict(first, min(end, expected), tag):
            self._has_lost_events = True
            self._discard_sends_and_reset(STATE_LOST)
        if self._has_lost_events:
            return self._skip(first, len(contents))
        is_new = self._incoming.on_messages(first, contents, attempts, window)
        if is_new:
            self._event_tags.note(expected, tag)
        return self._has_reader() and is_new

    def on_rejoined(self, rejoined: Rejoined) -> bool:
        """Queues a Rejoined event. Returns whether the event is new."""
        if self._has_lost_events:
            return self._skip(rejoined.event, 1)
        is_new = self._incoming.on_rejoined(rejoined)
        return self._has_reader() and is_new

    def _skip(self, first: int, count: int) -> bool:
        # The core delivers the end behind the messages only within the window, so they are acknowledged unread.
        self._incoming.skip(first, count)
        self._handled, self._barrier = self._incoming.expected, 0
        self._has_reader()
        return False

    def on_ended(self, ended: Ended) -> bool:
        if self._ended is None and ended.event < self._incoming.expected:
            self._incoming.end_early(ended.event, ended)
            self._handled = min(self._handled, ended.event)
            is_new = True
        else:
            is_new = self._incoming.on_ended(ended)
        self._ended = ended.event
        self._outgoing.clear()
        self._barrier, self._reset, self._finish = 0, None, None
        return self._has_reader() and is_new

    def end_as_lost(self) -> Ended | None:
        """Ends the stream because no core has the stream. Nothing is sent to a core. Returns the end unless the handler
        gets another one."""
        ended = Ended(STATE_LOST, False, EndedBy.CORE)
        self.detach()
        self.is_lost = True
        is_new = self._ended is None
        if is_new:
            self._ended = self._incoming.expected
            self._incoming.end_early(0, ended)
        self._outgoing.clear()
        self._barrier, self._reset, self._finish = 0, None, None
        self._has_reader()
        return ended if is_new else None

    def on_change(self, change: TransportChanged) -> None:
        self._incoming.on_change(change)
        self._has_reader()

    def on_send_state(self, state: pb.SendState) -> None:
        if self._ended is not None or self._reset:
            return
        if self._has_lost_sends(state):
            self._discard_sends_and_reset(STATE_LOST)
            return
        self._outgoing.confirm(state)
        self.settings.on_send_state(self._core.has_sync)
        self._send_tag = state.tag
        self._answers.free(self._outgoing.confirmed)

    def on_refused(self, refused: pb.SendRefused) -> None:
        """Applies the refusal of a Send. Its acknowledgement is repeated."""
        is_repeated = self._ended is not None or self._reset is not None
        if not is_repeated:
            if refused.reason == pb.SEND_REFUSED_REASON_ENDED:
                self._is_closing = is_repeated = True
            elif refused.reason == pb.SEND_REFUSED_REASON_INVALID:
                self._discard_sends_and_reset(INVALID)
                is_repeated = True
            elif refused.reason == pb.SEND_REFUSED_REASON_UNSUPPORTED:
                self._discard_sends_and_reset(UNSUPPORTED)
                is_repeated = True
            else:
                is_repeated = self._outgoing.refuse(refused)
        if is_repeated:
            self._ack_sent = 0

    # Calls of the handler.

    def check(self, content: Content) -> None:
        """Raises SendError if the core or the client does not accept the message, so that the message gets no number."""
        try:
            length = size_of(content)
        except UnicodeEncodeError as error:
            raise errors.InvalidTextError(error.start) from None
        if length > self._core.max_message:
            raise errors.MessageTooLongError(length, self._core.max_message)
        if self._accepts is Accepts.ASCII_TEXT:
            if isinstance(content, bytes):
                raise errors.UnsupportedMessageError(None)
            if outside := _NOT_ASCII.search(content):
                raise errors.UnsupportedMessageError(outside.start())

    def read(self) -> Event | None:
        """Takes the next event for the handler."""
        return self._incoming.pop()

    def acknowledge(self, event: int) -> None:
        """Acknowledges all events up to `event`."""
        handled = min(event + 1, self._incoming.expected)
        if handled > self._handled:
            self._handled = handled
            self._barrier = 0 if self._ended is not None else self._outgoing.next

    def send(self, content: Content, respect_pause: bool) -> int:
        """Queues a message and returns its number."""
        self.check_room(respect_pause)
        return self._outgoing.push(content)

    def answer(self, event: int, content: Content) -> int:
        """Queues the answer to an event and acknowledges the event."""
        number = self.send(content, respect_pause=True)
        self._answers.push(number, event)
        self.acknowledge(event)
        return number

    def check_room(self, respect_pause: bool = True) -> None:
        """Raises QueueError unless `send` would queue a message now."""
        if self.is_over:
            raise OverError
        if self._finish:
            raise FinishedError
        if not self._outgoing.has_room or (respect_pause and self._outgoing.is_paused):
            raise NoRoomError

    @property
    def is_over(self) -> bool:
        """Whether no more messages are accepted."""
        return self._ended is not None or self._is_closing or self._reset is not None

    @property
    def next_send(self) -> int:
        return self._outgoing.next

    @property
    def confirmed(self) -> int:
        """All messages below are durable."""
        return self._outgoing.confirmed

    def reset(self, reason: str, application_level: bool) -> None:
        """Ends the stream. The first reason counts."""
        if self._ended is None and not self._reset:
            self._reset = _PendingReset(reason, application_level)

    def finish(self, reason: str) -> None:
        """Ends the stream behind the queued messages, and accepts no more. The first reason counts."""
        if not self.is_over and not self._finish:
            self._finish = _PendingFinish(reason, self._handled)

    def abandon(self) -> None:
        """Drops the reader."""
        self._is_abandoned = True
        self._has_reader()

    @property
    def is_flushed(self) -> bool:
        """Whether everything is sent and confirmed."""
        is_reset_sent = self._reset is None or self._reset.is_sent
        is_finish_sent = self._finish is None or self._finish.is_sent
        is_sent = self.is_over or (self._outgoing.is_empty and not self.settings.has_pending)
        return is_reset_sent and is_finish_sent and is_sent and self._pending_ack() is None

    @property
    def is_end_acknowledged(self) -> bool:
        """Whether the end is acknowledged, so the stream becomes a tombstone."""
        return self.attachment is not None and self._ended is not None and self._ack_sent > self._ended

    @property
    def is_lost_and_acknowledged(self) -> bool:
        """Whether the stream was lost and the handler has acknowledged the end."""
        return self.is_lost and self._ended is not None and self._handled > self._ended

    # Commands to the core.

    def has_commands(self) -> bool:
        """Whether a command is ready."""
        return self.attachment is not None and (
            self.settings.has_commands(self._core.has_sync)
            or (self._outgoing.is_ready(self._sends_below()) and not self._is_closing)
            or (self._reset is not None and not self._reset.is_sent)
            or self._is_finish_ready()
            or self._standalone_ack() is not None
        )

    def next_command(self) -> pb.Command | None:
        """Takes the next command: settings, messages, reset, finish, acknowledgement, in this order. When the
        acknowledgement is durable, all settings before it are durable too."""
        if self.attachment is None:
            return None
        return (
            self.settings.next_command(self.number, self._core.has_sync)
            or self._take_send()
            or self._take_reset()
            or self._take_finish()
            or self._take_ack()
        )

    def probe(self) -> pb.Command | None:
        """An empty Send, if only the answer shows whether the client has acknowledged all messages, or whether changes of
        the settings are durable: for a core without Finish or Sync."""
        finish = self._finish
        waits_for_end = not self._core.has_finish and finish and not finish.is_sent and not self._is_drained()
        waits_for_change = not self._core.has_sync and self.settings.awaits_confirmation
        if self.is_over or not self._outgoing.is_empty or not (waits_for_end or waits_for_change):
            return None
        return pb.Command(send=pb.Send(stream=self.number, first=self._outgoing.next))

    def _take_send(self) -> pb.Command | None:
        if self._is_closing:
            return None
        pending, barrier = self._pending_ack(), self._barrier

        def acknowledge(end: int) -> int | None:
            if pending is None:
                return None
            below = pending if barrier <= end else min(self._answers.acknowledged_at(end), pending)
            return below - 1 if below > 0 else None

        send = self._outgoing.take(self.number, self._sends_below(), self._core.has_kinds, acknowledge)
        if send is None:
            return None
        if send.HasField("acknowledge"):
            self._ack_sent = send.acknowledge + 1
        return pb.Command(send=send)

    def _take_reset(self) -> pb.Command | None:
        reset = self._reset
        if reset is None or reset.is_sent:
            return None
        reset.is_sent = True
        command = pb.Reset(stream=self.number, reason=reset.reason, application_level=reset.application_level)
        return pb.Command(reset=command)

    def _take_finish(self) -> pb.Command | None:
        finish = self._finish
        if finish is None or not self._is_finish_ready():
            return None
        finish.is_sent = True
        if self._core.has_finish:
            return pb.Command(finish=pb.Finish(stream=self.number, reason=finish.reason))
        return pb.Command(reset=pb.Reset(stream=self.number, reason=finish.reason or FINISHED, application_level=True))

    def _take_ack(self) -> pb.Command | None:
        below = self._standalone_ack()
        if below is None:
            return None
        self._ack_sent = below
        return pb.Command(acknowledge=pb.Acknowledge(stream=self.number, event=below - 1))

    def _sends_below(self) -> int | None:
        """Messages below this number may be sent, within the credit; None for all."""
        return self._answers.limit(self._incoming.delivered)

    def _pending_ack(self) -> int | None:
        """The pending acknowledgement covers all events below this number."""
        below = min(self._handled, self._incoming.delivered)
        if self._finish and not self._finish.is_sent:
            below = min(below, self._finish.handled)
        # An end numbered before received events is acknowledged together with the last of them.
        if self._ended is not None and self._handled < self._incoming.expected:
            below = min(below, self._ended)
        return below if not self.is_lost and below > self._ack_sent else None

    def _standalone_ack(self) -> int | None:
        """The pending acknowledgement, if no message must carry the acknowledgement."""
        return self._pending_ack() if self.is_over or self._barrier <= self._outgoing.confirmed else None

    def _is_finish_ready(self) -> bool:
        return (
            self._finish is not None
            and not self._finish.is_sent
            and not self.is_over
            and self._outgoing.is_empty
            and (self._core.has_finish or self._is_drained())
        )

    def _is_drained(self) -> bool:
        """Whether the outbox of a core without Finish is empty, by the reported room."""
        limit = self.settings.outbox_messages
        return self._outgoing.credit_messages >= (self._core.outbox_messages if limit is None else limit)

    def _has_lost_sends(self, state: pb.SendState | None) -> bool:
        """Whether the last confirmed message has another tag at the core: the core has lost this message."""
        is_same_number = state is not None and state.next_send == self._outgoing.confirmed
        return is_same_number and differ(self._send_tag, tag_of(state))

    def _reset_if_unacceptable(self) -> None:
        """Resets the stream if the core does not accept a queued message."""
        for content in self._outgoing.contents():
            try:
                self.check(content)
            except errors.SendError as error:
                is_long = isinstance(error, errors.MessageTooLongError)
                self._discard_sends_and_reset(TOO_LONG if is_long else UNSUPPORTED)
                return

    def _discard_sends_and_reset(self, reason: str) -> None:
        """Drops queued messages that can never be delivered, and resets the stream."""
        self._outgoing.clear()
        self.reset(reason, False)

    def _has_reader(self) -> bool:
        """Acknowledges all received events if no reader is left. Returns whether a reader exists."""
        if self._is_abandoned:
            self._incoming.clear()
            self._handled = self._incoming.expected
        return not self._is_abandoned
