"""The handle of one stream: its properties, receiving and sending."""

import datetime
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from . import errors
from .events import Accepts, Content, Ended, Event, Identity, Message, Rejoined, Released, TransportKind
from .instance import Cell, Instance, Phase
from .proto import app_pb2 as pb
from .retention import Retention
from .session import OverError
from .session.settings import TooManyGroupsError
from .short_hash import short_hash

MAX_REASON = 255
"""Longest reason, in bytes."""
_WEEK_MS = 604_800_000
_FAILED = "the application failed"
"""Reset reason when a handler fails. Fixed, because the text of an error may be confidential."""


class Stream:
    """One client's stream: ordered, reliable, in both directions. Made by `Service`; used in the event loop of the service.

    *Acknowledgement*: asking for the next event or message acknowledges the previous one. Unacknowledged events are
    delivered again after a crash of this process, to any instance. `acknowledge_manually` leaves it to the app.

        async def echo(stream: Stream) -> None:
            async for message in stream:
                await stream.send(message)
    """

    def __init__(self, cell: Cell, instance: Instance) -> None:
        self._cell, self._instance = cell, instance
        # The last event returned to the handler, acknowledged by the next request. Started is event 0.
        self._unfinished: int | None = 0 if cell.started.next_event == 0 else None
        # The handler has received the last event.
        self._is_over = False
        self._is_automatic = True
        self._is_closed = False

    # Properties.

    @property
    def number(self) -> int:
        """Number of the stream, unique in a deployment."""
        return self._cell.number

    @property
    def id(self) -> str:
        """Id of the stream, a secret of client and server: never log it. `repr` shows a short hash."""
        return self._cell.started.stream_id

    @property
    def is_resumed(self) -> bool:
        """Whether an instance had the stream before, in this or another process. That instance may have answered messages
        that are not delivered again."""
        return self._cell.started.resumed

    @property
    def first_event(self) -> int:
        """The first unacknowledged event at the assignment; 0, the start, for a new stream."""
        return self._cell.started.next_event

    @property
    def attempts(self) -> int | None:
        """Deliveries of the first unacknowledged event at the assignment, this one included: 1, and 1 more for each
        instance that died with that event in delivery. None with a core of release 0.1."""
        return self._cell.started.attempts or None

    @property
    def first_send(self) -> int:
        """Number of the first message sent here; 0 if none was sent to this stream before."""
        return self._cell.started.next_send

    @property
    def next_send(self) -> int:
        """Number of the next message. Raises StreamOverError."""
        try:
            return self._instance.next_send(self._cell)
        except OverError:
            raise errors.StreamOverError from None

    @property
    def credentials(self) -> str:
        """The credentials of the client, `cred` in the hello: a secret."""
        return self._cell.started.credentials

    @property
    def identity(self) -> Identity | None:
        """The identity of the client at the assignment, if the core verifies tokens."""
        started = self._cell.started
        return Identity.of(started.identity) if started.HasField("identity") else None

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The request headers of the first transport that the edges forward; names in lower case."""
        return [(header.name, header.value) for header in self._cell.started.headers]

    def header(self, name: str) -> str | None:
        """Value of the first header with this lower-case name."""
        return next((value for other, value in self.headers if other == name), None)

    @property
    def peer_address(self) -> str:
        """Address of the client at the start of the stream, without the port."""
        return self._cell.started.peer_address

    @property
    def transport(self) -> TransportKind | None:
        """The protocol that carried the first hello; None if newer than this SDK."""
        return TransportKind.of(self._cell.started.transport)

    @property
    def started_at(self) -> datetime.datetime:
        """Start of the stream, by the core's clock."""
        return datetime.datetime.fromtimestamp(self._cell.started.started_at_ms / 1000, datetime.UTC)

    @property
    def label(self) -> str | None:
        """The label at the assignment."""
        return self._cell.started.label or None

    @property
    def groups(self) -> list[str]:
        """The groups at the assignment."""
        return list(self._cell.started.groups)

    @property
    def accepts(self) -> Accepts:
        """The messages that the client accepts."""
        return Accepts.of(self._cell.started.accepts)

    @property
    def ended(self) -> Ended | None:
        """The end of the stream; None while the stream lives, and for a released stream. Known before a slow reader reaches
        the end."""
        return self._cell.ended

    def __repr__(self) -> str:
        return f"<Stream {self.number} {short_hash(self.id)}>"

    # Receiving.

    async def __aiter__(self) -> AsyncIterator[Content]:
        while (content := await self.recv()) is not None:
            yield content

    async def recv(self) -> Content | None:
        """Waits for the next message: `str` or `bytes`; None when the stream is over or the service is stopped. A
        cancellation loses no message."""
        while (event := await self.next_event()) is not None:
            if isinstance(event, Message):
                return event.content
        return None

    async def events(self) -> AsyncIterator[Event]:
        """The events, the last one being `Ended` or `Released`."""
        while (event := await self.next_event()) is not None:
            yield event

    async def next_event(self) -> Event | None:
        """Waits for the next event; None after `Ended` or `Released`. A cancellation loses no event."""
        if self._is_automatic and self._unfinished is not None:
            self.acknowledge(self._unfinished)
            self._unfinished = None
        if self._is_over:
            return None
        event = await self._instance.read(self._cell)
        if isinstance(event, Message | Rejoined):
            self._unfinished = event.event
        elif isinstance(event, Ended | Released):
            self._is_over = True
            self._unfinished = event.event if isinstance(event, Ended) else None
        return event

    def acknowledge_manually(self) -> None:
        """Turns automatic acknowledgement off: from now on `acknowledge` acknowledges events, and the end of the handler
        the end of the stream."""
        self._is_automatic = False

    def acknowledge(self, event: int | Message | Rejoined) -> None:
        """Acknowledges all events up to `event`, which are then never delivered again. The acknowledgement reaches the core
        together with the messages sent before, or after they are durable."""
        number = _number_of(event)
        self._instance.try_change(self._cell, lambda stream: stream.acknowledge(number))

    # Sending.

    async def send(self, content: Content) -> None:
        """Queues a message, and waits for room if the client is behind. Messages travel in the order of queueing. They are
        kept until they are durable and are repeated after a lost call; the core takes each once. Raises SendError."""
        await self._queue(content, lambda: self._instance.change(self._cell, lambda stream: stream.send(content, True)))

    def try_send(self, content: Content) -> None:
        """Queues a message at once, even while the stream is paused. Raises OutboxFullError or another SendError."""
        self._instance.check(self._cell, content)
        attempt = self._instance.wait(
            self._cell, lambda: self._instance.change(self._cell, lambda stream: stream.send(content, False))
        )
        _complete(attempt)

    async def send_json(self, value: Any) -> None:
        """Sends a value as JSON in ASCII, which clients of every version accept."""
        await self.send(json.dumps(value, separators=(",", ":")))

    async def answer(self, event: int | Message | Rejoined, content: Content) -> None:
        """Queues a message and acknowledges an event in one step: the core takes both or neither, so that an event
        redelivered after a crash has no answer yet. Raises SendError; the event then stays unacknowledged."""
        number = _number_of(event)
        await self._queue(content, lambda: self._instance.change(self._cell, lambda stream: stream.answer(number, content)))

    async def answer_parts(self, event: int | Message | Rejoined, first: int, parts: Iterable[Content]) -> None:
        """Queues an answer of several messages; the last one acknowledges the event. `first` is the number of the first
        part (`next_send`), which the app has stored with the effects of the event. Parts that an earlier process has sent
        are skipped. The answer to an event must be the same at each delivery, and nothing else may be sent between."""
        unsent = list(parts)[max(self.first_send - first, 0) :]
        for part in unsent[:-1]:
            await self.send(part)
        if unsent:
            await self.answer(event, unsent[-1])
        else:
            self.acknowledge(event)

    async def ready(self) -> None:
        """Waits until `send` would queue a message at once. Raises SendError."""
        await self._instance.wait(
            self._cell, lambda: self._instance.session.change(self.number, lambda stream: stream.check_room())
        )

    async def durable(self) -> None:
        """Waits until all messages queued before this call are durable: they reach the client despite crashes of this app
        and of cores, unless the stream ends. Raises SendError."""
        end = self.next_send
        await self._instance.wait(self._cell, lambda: self._instance.session.check_confirmed(self.number, end))

    def finish(self, reason: str = "") -> None:
        """Ends the stream once the client has acknowledged all messages queued before. The stream accepts no messages from
        now on. The client receives the reason, or `finished`. Returning from a handler finishes the stream as well."""
        _check_reason(reason)
        self._instance.try_change(self._cell, lambda stream: stream.finish(reason))

    def reset(self, reason: str, *, application_level: bool = True) -> None:
        """Ends the stream at once for both sides. Messages that the client has not received are dropped; `finish` delivers
        them first. `application_level` False marks a failure below the application."""
        _check_reason(reason)
        self._instance.try_change(self._cell, lambda stream: stream.reset(reason, application_level))

    # Settings.

    def set_max_idle(self, seconds: float) -> None:
        """Sets the lifetime of the stream without any transport, from 1 ms to a week."""
        self._set_limits(pb.SetLimits(max_idle_ms=min(max(round(seconds * 1000), 1), _WEEK_MS)))

    def set_ack_timeout(self, seconds: float) -> None:
        """Sets the longest time without an acknowledgement of a delivered event, at most a week; 0 for no limit. Then the
        stream moves to another instance; without one, or after a move without an acknowledgement, the stream ends with the
        reason `application timeout`. Holds for this instance."""
        self._set_limits(pb.SetLimits(ack_timeout_ms=min(max(round(seconds * 1000), 0), _WEEK_MS)))

    def set_outbox(self, max_bytes: int, max_messages: int) -> None:
        """Sets the outbox limits: at most 6 MiB and 100,000 messages."""
        max_bytes, max_messages = min(max(max_bytes, 1), 6 << 20), min(max(max_messages, 1), 100_000)
        self._set_limits(pb.SetLimits(outbox_bytes=max_bytes, outbox_messages=max_messages))

    def set_compression(self, compress: bool) -> None:
        """Permits the edge to compress messages to the client, or forbids it again. Not for streams that mix secrets with
        text of another party: the length of compressed bytes depends on the content (the attack BREACH)."""
        self._set_limits(pb.SetLimits(compress=compress))

    def set_retention(self, retention: Retention) -> None:
        """Sets the acknowledged messages that the core retains for new generations of the client."""
        self._set_limits(retention.to_limits())

    async def set_label(self, label: str) -> None:
        """Sets the label by which `Streams` addresses the stream, such as a user name; empty removes it. Waits until the
        label is durable and visible to the callers of all cores."""
        if len(label) > 256 or not _is_ascii_text(label):
            raise errors.SettingError("a label has at most 256 bytes, 0x20-0x7E only")
        await self._change_setting(lambda stream: stream.settings.set_label(label))

    async def join(self, group: str) -> None:
        """Adds the stream to a group of its service for the rest of its life, and waits as `set_label` does. A later send
        to the group, by any program, reaches the stream."""
        _check_group(group)
        too_many = "a stream is in at most 64 groups"
        try:
            await self._change_setting(lambda stream: stream.settings.join(group))
        except TooManyGroupsError:
            raise errors.SettingError(too_many) from None
        if self._instance.session.is_group_refused(self.number, group):
            raise errors.SettingError(too_many)

    async def leave(self, group: str) -> None:
        """Removes the stream from a group, and waits as `set_label` does."""
        _check_group(group)
        await self._change_setting(lambda stream: stream.settings.leave(group))

    # Internals.

    async def _queue(self, content: Content, attempt: Callable[[], int]) -> None:
        self._instance.check(self._cell, content)
        await self._instance.wait(self._cell, attempt)

    async def _change_setting(self, change: Callable[[Any], int]) -> None:
        made = False
        number = 0

        def attempt() -> None:
            nonlocal made, number
            if not made:
                number, made = self._instance.change(self._cell, change), True
            self._instance.session.check_change(self.number, number)

        await self._instance.wait(self._cell, attempt)

    def _set_limits(self, limits: pb.SetLimits) -> None:
        self._instance.try_change(self._cell, lambda stream: stream.settings.set_limits(limits))

    def close(self, *, succeeded: bool = True) -> None:
        """Ends the work of this handle: finishes a live stream, or resets the stream of a failed handler; later events are
        acknowledged unread. During a stop the stream goes on elsewhere instead. `Service.run` does this after a handler."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._instance.phase is Phase.RUNNING:
            if succeeded:
                self._instance.try_change(self._cell, lambda stream: stream.finish(""))
            else:
                self._instance.try_change(self._cell, lambda stream: stream.reset(_FAILED, False))
            self._instance.try_change(self._cell, lambda stream: stream.abandon())
        elif self.ended is not None:
            self._instance.try_change(self._cell, lambda stream: stream.abandon())
        self._instance.on_reader_closed()


def _number_of(event: int | Message | Rejoined) -> int:
    return event if isinstance(event, int) else event.event


def _complete(attempt: Awaitable[object]) -> None:
    """Runs an awaitable that does not wait; OutboxFullError if it would."""
    coroutine = attempt.__await__()
    try:
        next(coroutine)
    except StopIteration:
        return
    coroutine.close()
    raise errors.OutboxFullError


def _is_ascii_text(text: str) -> bool:
    return all(" " <= character <= "~" for character in text)


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON or not _is_ascii_text(reason):
        raise errors.SettingError(f"a reason has at most {MAX_REASON} bytes, 0x20-0x7E only")


def _check_group(group: str) -> None:
    if not 1 <= len(group) <= 128 or not all("!" <= character <= "~" for character in group):
        raise errors.SettingError("a group name has 1 to 128 bytes, 0x21-0x7E only")
