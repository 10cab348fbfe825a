"""The calls of an instance, at most one per core: which streams have commands ready, and which core's claim to a partition
is current. Tracks epochs, no stream state. Pure; used by the session only.

Two cores may both claim a partition: the new owner, and a former owner whose events were in flight. The higher epoch wins,
and events under a lower epoch are ignored. If the call with the higher epoch is lost, a late event and a store rollback
cannot be distinguished: the call with the lower epoch is ended, and a new call settles the owner. The same applies if the
call with the higher epoch leaves the partition.
"""

from collections import deque
from dataclasses import dataclass, field

from ..proto import app_pb2 as pb
from .errors import ContractError

CallId = int
"""Identifies a call; never reused."""

MAX_MESSAGE = 1_048_576
"""Longest message of the protocol, in bytes."""


def partition_of(stream: int) -> int:
    """Partition of a stream: the upper 16 bits of its number."""
    return stream >> 48


@dataclass(frozen=True)
class CoreTraits:
    """Limits and features of a core, from its registration."""

    max_message: int = MAX_MESSAGE
    outbox_messages: int = 2**32 - 1
    has_finish: bool = False
    has_sync: bool = False
    has_kinds: bool = False

    @classmethod
    def of(cls, registered: pb.Registered) -> "CoreTraits":
        features = set(registered.features)
        return cls(
            min(registered.max_message_bytes, MAX_MESSAGE),
            registered.outbox_messages,
            "finish" in features,
            "sync" in features,
            "message-kinds" in features,
        )


@dataclass
class _Call:
    """One open call."""

    is_registered: bool = False
    traits: CoreTraits = CoreTraits()
    # Attached streams with commands ready. A stream that has moved to another call is skipped.
    ready: deque[int] = field(default_factory=deque)
    # The epoch of the last claim on this call, per partition that the core claims to own.
    announced: dict[int, int] = field(default_factory=dict)
    # Per partition, the highest epoch announced by other calls, before or after this call began.
    competing: dict[int, int] = field(default_factory=dict)
    # Epochs of the ignored claims on this call: another call had announced a higher one.
    ignored: dict[int, int] = field(default_factory=dict)


class Calls:
    """The open calls of one instance."""

    def __init__(self) -> None:
        self._live: dict[CallId, _Call] = {}
        self._begun = 0

    def begin(self) -> CallId:
        call = _Call()
        for other in self._live.values():
            for partition, epoch in other.announced.items():
                _raise(call.competing, partition, epoch)
        number = self._begun
        self._begun += 1
        self._live[number] = call
        return number

    def end(self, call: CallId) -> None:
        self._live.pop(call, None)

    def on_registered(self, call: CallId, registered: pb.Registered) -> None:
        if live := self._live.get(call):
            live.is_registered, live.traits = True, CoreTraits.of(registered)

    def is_registered(self, call: CallId) -> bool:
        live = self._live.get(call)
        return live is not None and live.is_registered

    def traits(self, call: CallId) -> CoreTraits:
        live = self._live.get(call)
        return live.traits if live else CoreTraits()

    def on_announced(self, call: CallId, partition: int, epoch: int) -> bool:
        """Applies a claim: the core of this call owns a partition under this epoch. Returns whether the claim is current.

        Raises ContractError if a call that is lost by now has announced a higher epoch."""
        live = self._live.get(call)
        if live is None:
            return False
        if epoch < live.competing.get(partition, 0):
            live.ignored[partition] = epoch
            if self._is_announced_above(partition, epoch):
                return False
            raise ContractError("a partition was claimed under an older epoch than that of a lost call")
        live.ignored.pop(partition, None)
        before = live.announced.get(partition)
        live.announced[partition] = epoch
        # The claims of one core arrive in order, so a falling epoch means a store rollback.
        fell = before is not None and epoch < before
        for number, other in self._live.items():
            if number == call:
                continue
            if fell:
                other.competing[partition] = epoch
            else:
                _raise(other.competing, partition, epoch)
        return True

    def on_left(self, call: CallId, partition: int) -> None:
        """The core of this call has left a partition."""
        if live := self._live.get(call):
            live.announced.pop(partition, None)
            live.ignored.pop(partition, None)
            live.ready = deque(stream for stream in live.ready if partition_of(stream) != partition)

    def unsettled(self) -> list[CallId]:
        """Calls with an ignored claim that may be the current one, because no call announces a higher epoch any more."""
        return [
            number
            for number, call in self._live.items()
            if any(not self._is_announced_above(partition, epoch) for partition, epoch in call.ignored.items())
        ]

    def is_stale(self, call: CallId, partition: int) -> bool:
        """Whether another call has announced a higher epoch. Late events on this call are then expected."""
        live = self._live.get(call)
        return live is None or live.announced.get(partition, 0) < live.competing.get(partition, 0)

    def push_ready(self, call: CallId, stream: int) -> None:
        """Records that a stream has commands ready for this call."""
        if live := self._live.get(call):
            live.ready.append(stream)

    def pop_ready(self, call: CallId) -> int | None:
        """Takes the next stream with commands ready, in turn."""
        live = self._live.get(call)
        return live.ready.popleft() if live and live.ready else None

    def has_ready(self, call: CallId) -> bool:
        """Whether a stream may have commands ready for this call."""
        live = self._live.get(call)
        return live is not None and live.is_registered and bool(live.ready)

    def _is_announced_above(self, partition: int, epoch: int) -> bool:
        return any(call.announced.get(partition, 0) > epoch for call in self._live.values())


def _raise(epochs: dict[int, int], partition: int, epoch: int) -> None:
    epochs[partition] = max(epoch, epochs.get(partition, 0))
