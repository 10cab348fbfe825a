"""Send side of one stream: numbered messages kept until the core confirms them, and the send credit granted by the core.
Pure; owned by the stream."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from ..events import Content
from ..proto import app_pb2 as pb
from .errors import ContractError
from .incoming import size_of

MAX_SEND_BYTES = 128 * 1024
"""Most bytes of messages in one Send, unless a single message is longer. Small enough that streams take turns."""
MAX_SEND_MESSAGES = 1024
"""Most messages in one Send. Larger batches gain nothing."""


@dataclass(slots=True)
class _InFlight:
    """A Send in flight."""

    first: int
    end: int
    # Carries an acknowledgement, which a refusal discards.
    acknowledges: bool
    # An earlier Send was refused, so the core will refuse this one as out of order.
    will_be_refused: bool = False


class Outgoing:
    """The unconfirmed messages of one stream."""

    def __init__(self, next_send: int, state: pb.SendState | None) -> None:
        # The unconfirmed messages with their sizes, from `confirmed` on.
        self._queue: deque[tuple[Content, int]] = deque()
        self.confirmed = next_send
        self._bytes = 0
        # Number of the first message not sent on this attachment, and the bytes of the messages before it.
        self._sent = next_send
        self._sent_bytes = 0
        self._in_flight: deque[_InFlight] = deque()
        self._grant(state)

    def resume(self, next_send: int, state: pb.SendState | None) -> None:
        """Starts a new attachment at the next number expected by the core, which is within the queue."""
        self._in_flight.clear()
        self._free(next_send)
        self._sent, self._sent_bytes = self.confirmed, 0
        self._grant(state)

    def detach(self) -> None:
        """Ends the attachment."""
        self._in_flight.clear()

    @property
    def next(self) -> int:
        """Number of the next message."""
        return self.confirmed + len(self._queue)

    @property
    def is_empty(self) -> bool:
        return not self._queue

    def contents(self) -> Iterator[Content]:
        """The queued messages."""
        return (content for content, _ in self._queue)

    def is_ready(self, limit: int | None) -> bool:
        """Whether a message below `limit` can be sent now."""
        end = self.next if limit is None else min(self.next, limit)
        return (
            self._sent < end
            and self._sent_bytes < self._credit_bytes
            and self._sent - self.confirmed < self.credit_messages
        )

    @property
    def has_room(self) -> bool:
        """Whether one more message may be queued."""
        return self._bytes < self._credit_bytes and len(self._queue) < self.credit_messages

    def push(self, content: Content) -> int:
        """Queues a message and returns its number. The caller has checked `has_room`."""
        number, size = self.next, size_of(content)
        self._queue.append((content, size))
        self._bytes += size
        return number

    def clear(self) -> None:
        """Drops all messages, because the stream is over."""
        self.confirmed = self._sent = self.next
        self._queue.clear()
        self._in_flight.clear()
        self._bytes = self._sent_bytes = 0
        self._grant(None)

    def take(
        self, stream: int, limit: int | None, has_kinds: bool, acknowledge: Callable[[int], int | None]
    ) -> pb.Send | None:
        """Takes the next Send of messages below `limit`, within the credit. `acknowledge` maps the end of the Send to the
        event that the Send acknowledges."""
        batch = self._next_batch(limit)
        if not batch:
            return None
        send = pb.Send(stream=stream, first=self._sent)
        for content, size in batch:
            self._sent_bytes += size
            if has_kinds:
                send.contents.add(text=content) if isinstance(content, str) else send.contents.add(binary=content)
            else:
                send.messages.append(content.encode() if isinstance(content, str) else content)
        self._sent += len(batch)
        event = acknowledge(self._sent)
        if event is not None:
            send.acknowledge = event
        self._in_flight.append(_InFlight(send.first, self._sent, event is not None))
        return send

    def _next_batch(self, limit: int | None) -> list[tuple[Content, int]]:
        """Selects messages for one Send. A message that starts within the credit and exceeds the credit travels alone: the
        core accepts a single message, but may refuse a longer batch."""
        batch: list[tuple[Content, int]] = []
        sent = self._sent - self.confirmed
        end = len(self._queue) if limit is None else min(len(self._queue), limit - self.confirmed)
        size, offset, count = 0, self._sent_bytes, sent
        for entry in islice(self._queue, sent, max(sent, end)):
            if offset >= self._credit_bytes or count >= self.credit_messages:
                break
            offset, size, count = offset + entry[1], size + entry[1], count + 1
            ends_batch = offset > self._credit_bytes or size > MAX_SEND_BYTES or len(batch) == MAX_SEND_MESSAGES
            if ends_batch and batch:
                break
            batch.append(entry)
            if ends_batch:
                break
        return batch

    def confirm(self, state: pb.SendState) -> None:
        """Applies a confirmation and the new credit."""
        if not self.confirmed <= state.next_send <= self.next:
            raise ContractError("a send number outside of the queued range")
        self._free(state.next_send)
        while self._in_flight and self._in_flight[0].end <= state.next_send:
            self._in_flight.popleft()
        self._grant(state)

    def refuse(self, refused: pb.SendRefused) -> bool:
        """Rewinds after a refused Send; the core refuses all later Sends in flight as well. Returns whether one of these
        carried an acknowledgement. That acknowledgement must be repeated at once, because the messages are sent again
        before the refusals arrive."""
        if refused.next_send < self.confirmed:
            raise ContractError("a send number outside of the queued range")
        if all(send.first != refused.first for send in self._in_flight):
            return False
        while (send := self._in_flight.popleft()).first != refused.first:
            pass
        if refused.reason != pb.SEND_REFUSED_REASON_OUT_OF_ORDER:
            # Until the next SendState. An unknown reason of a later core counts as a full outbox.
            self._grant(None)
            self.is_paused = True
        if send.will_be_refused:
            return False
        acknowledges = send.acknowledges
        for later in self._in_flight:
            later.will_be_refused = True
            acknowledges |= later.acknowledges
        self._sent = min(refused.next_send, self._sent)
        self._sent_bytes = sum(size for _, size in islice(self._queue, self._sent - self.confirmed))
        return acknowledges

    def _free(self, next_send: int) -> None:
        """Frees all messages below `next_send`, which is at most the end of the queue."""
        freed = 0
        while self.confirmed < next_send:
            freed += self._queue.popleft()[1]
            self.confirmed += 1
        self._bytes -= freed
        self._sent_bytes = max(self._sent_bytes - freed, 0)
        self._sent = max(self._sent, self.confirmed)

    def _grant(self, state: pb.SendState | None) -> None:
        self._credit_bytes = state.bytes_left if state else 0
        self.credit_messages = state.messages_left if state else 0
        self.is_paused = state.paused if state else False
