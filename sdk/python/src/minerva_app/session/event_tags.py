"""Claim tags of the received events of one stream. After a rollback of the store a core may deliver another event under a
received number, with another tag. Pure; owned by the stream."""

from collections import deque

MAX_LINES = 16
"""Most lines. A line is added when the partition has changed the owner; tags of older events become unknown."""


class EventTags:
    """The tags of received events: from which event on a tag applies."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, int]] = deque(maxlen=MAX_LINES)

    def note(self, first: int, tag: int) -> None:
        """Notes that the events from `first` on, which are new, have this tag."""
        if tag != self.last():
            self._lines.append((first, tag))

    def last(self) -> int:
        """Tag of the last received event; 0 if unknown."""
        return self._lines[-1][1] if self._lines else 0

    def contradict(self, first: int, end: int, tag: int) -> bool:
        """Whether an event from `first` up to, not including, `end` was received under another tag."""
        ends = [begins for begins, _ in list(self._lines)[1:]] + [end]
        lines = zip(self._lines, ends, strict=False)
        return any(differ(own, tag) and max(begins, first) < min(ends, end) for (begins, own), ends in lines)


def differ(own: int, other: int) -> bool:
    """Whether both tags are known, and differ."""
    return own != 0 and other != 0 and own != other
