"""Tombstones of ended streams. If the acknowledgement of an end is lost with the call, the core delivers the stream again.
Pure; used by the session only."""

from collections.abc import Iterator

from .calls import CallId, partition_of

MAX_TOMBSTONES = 4096
"""Most tombstones: only acknowledgements in flight at the loss of a call matter, and no call has that many in flight."""

Attachment = tuple[CallId, int]
"""The call that serves a stream, and the epoch of the owner of the stream's partition."""


class Tombstones:
    """The ended streams, the oldest first, with the attachment of the acknowledged end; None once that may be lost."""

    def __init__(self) -> None:
        self._streams: dict[int, Attachment | None] = {}

    def insert(self, stream: int, attachment: Attachment | None) -> None:
        self._streams.pop(stream, None)
        if len(self._streams) == MAX_TOMBSTONES:
            del self._streams[next(iter(self._streams))]
        self._streams[stream] = attachment

    def remove(self, stream: int) -> bool:
        """Removes a stream and returns whether the stream was present."""
        was_here = stream in self._streams
        self._streams.pop(stream, None)
        return was_here

    def retain(self, partition: int, attachment: Attachment) -> None:
        """Removes the streams of a partition that the owner, attached as given, did not start."""
        for stream, at in list(self._streams.items()):
            if partition_of(stream) == partition and at != attachment:
                del self._streams[stream]

    def detach(self, call: CallId, left: int | None) -> None:
        """Detaches the streams of one partition, or of all, from a call."""
        for stream, at in self._streams.items():
            if at is not None and at[0] == call and left in (None, partition_of(stream)):
                self._streams[stream] = None

    def __contains__(self, stream: int) -> bool:
        return stream in self._streams

    def is_free_for(self, stream: int, call: CallId) -> bool:
        """Whether the stream is present and attached to no call but `call`."""
        if stream not in self._streams:
            return False
        at = self._streams[stream]
        return at is None or at[0] == call

    def detached(self) -> Iterator[int]:
        """The streams attached to no call."""
        return (stream for stream, at in self._streams.items() if at is None)
