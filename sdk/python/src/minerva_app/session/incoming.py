"""Receive side of one stream: queues events for the handler in order, each once. Tracks the events delivered on the current
attachment, because only those can be acknowledged there. Pure; owned by the stream."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from ..events import Content, Ended, Event, Message, Rejoined, TransportChanged
from .calls import MAX_MESSAGE
from .errors import ContractError

MAX_CHANGES = 64
"""Most TransportChanged events queued for a slow handler; the oldest are dropped."""
MAX_MESSAGES = 65_536
"""Most messages queued for a slow handler. Well above the inbox limit of any core."""


def size_of(content: Content) -> int:
    """Length of a message in bytes."""
    return len(content) if isinstance(content, bytes) or content.isascii() else len(content.encode())


class Incoming:
    """The queued events of one stream."""

    def __init__(self, next_event: int) -> None:
        # Event 0 is Started, which has been received by now.
        # Number of the first event not received before. All events below have been queued or read.
        self.expected = max(next_event, 1)
        # All events below were delivered on this attachment or acknowledged before; at most `expected`.
        self.delivered = self.expected
        self._queue: deque[Event] = deque()
        self._bytes = 0
        self._changes = 0

    def resume(self, next_event: int) -> None:
        """Starts a new attachment, on which the core delivers from `next_event` on; at most `expected`."""
        self.delivered = min(max(next_event, 1), self.expected)

    def on_messages(self, first: int, contents: Sequence[Content], attempts: int | None, window: int) -> bool:
        """Queues messages. Returns whether any of them is new."""
        end = self._check(first, len(contents))
        is_new = end > self.expected
        for event, content in enumerate(contents, first):
            if event < self.expected:
                continue
            # One message may exceed the window, so the maximal message length is added.
            if self._bytes > window + MAX_MESSAGE or len(self._queue) > MAX_MESSAGES:
                raise ContractError("unacknowledged messages of a stream exceed its window")
            self._bytes += size_of(content)
            self.expected = event + 1
            self._queue.append(Message(event, content, attempts))
        self.delivered = max(self.delivered, end)
        return is_new

    def on_rejoined(self, rejoined: Rejoined) -> bool:
        """Queues a Rejoined event and returns whether the event is new."""
        end = self._check(rejoined.event, 1)
        is_new = end > self.expected
        if is_new:
            if len(self._queue) > MAX_MESSAGES:
                raise ContractError("unacknowledged events of a stream exceed its window")
            self.expected = end
            self._queue.append(rejoined)
        self.delivered = max(self.delivered, end)
        return is_new

    def skip(self, first: int, count: int) -> None:
        """Drops events from `first` on: the core has lost an event that was received before."""
        end = self._check(first, count)
        self.expected = max(self.expected, end)
        self.delivered = max(self.delivered, end)

    def on_ended(self, ended: Ended) -> bool:
        """Queues the last event and returns whether the event is new."""
        end = self._check(ended.event, 1)
        is_new = end > self.expected
        if is_new:
            self.expected = end
            self._queue.append(ended)
        self.delivered = max(self.delivered, end)
        return is_new

    def end_early(self, event: int, ended: Ended) -> None:
        """Ends the stream before events that were received already: the core has lost those events. The handler reads the
        end after them; the core gets an acknowledgement of the number it sent."""
        self._queue.append(replace(ended, event=self.expected))
        self.expected += 1
        self.delivered = min(event + 1, self.expected)

    def on_change(self, change: TransportChanged) -> None:
        if self._changes == MAX_CHANGES:
            oldest = next(index for index, event in enumerate(self._queue) if isinstance(event, TransportChanged))
            del self._queue[oldest]
        else:
            self._changes += 1
        self._queue.append(change)

    def pop(self) -> Event | None:
        """Takes the next event for the handler."""
        if not self._queue:
            return None
        event = self._queue.popleft()
        if isinstance(event, Message):
            self._bytes -= size_of(event.content)
        elif isinstance(event, TransportChanged):
            self._changes -= 1
        return event

    def clear(self) -> None:
        """Drops all queued events, because no handler reads them."""
        self._queue.clear()
        self._bytes = self._changes = 0

    def _check(self, first: int, count: int) -> int:
        if first > self.expected:
            raise ContractError("an event number was skipped")
        return first + count
