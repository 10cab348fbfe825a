"""Pairs each answer of a stream with the answered event, so that the core takes answer and acknowledgement in one step.
Pure; owned by the stream."""

from collections import deque


class Answers:
    """The unconfirmed answers of one stream; at most one per queued message."""

    def __init__(self) -> None:
        # Number of the message and of the answered event, in message order.
        self._queue: deque[tuple[int, int]] = deque()

    def push(self, number: int, event: int) -> None:
        self._queue.append((number, event))

    def limit(self, delivered: int) -> int | None:
        """Number of the first message that must wait, if any: the event was not delivered on this attachment, so the core
        would ignore the acknowledgement. Events below `delivered` can be acknowledged."""
        return next((number for number, event in self._queue if event >= delivered), None)

    def acknowledged_at(self, end: int) -> int:
        """All events below the result are acknowledged once the core has taken all messages below `end`."""
        below = 0
        for number, event in self._queue:
            if number >= end:
                break
            below = max(below, event + 1)
        return below

    def free(self, confirmed: int) -> None:
        """Removes the answers below `confirmed`, which are durable."""
        while self._queue and self._queue[0][0] < confirmed:
            self._queue.popleft()
