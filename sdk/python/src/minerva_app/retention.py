"""Limits of the acknowledged messages that the core retains for new generations of a client."""

from dataclasses import dataclass

from .proto import app_pb2 as pb


@dataclass(frozen=True)
class Retention:
    """Messages that the client has acknowledged and that a reloaded page may request again. A limit of 0 retains none. The
    core drops the oldest messages beyond a limit, and beyond its own budget (`--retained-bytes`)."""

    messages: int
    """At most 10,000."""
    max_bytes: int
    """At most 2 MiB."""
    age: float
    """Seconds since the acknowledgement, at most a week."""
    hold: bool = False
    """Nothing is written to a new generation before its `Rejoined` is acknowledged."""

    def to_limits(self) -> pb.SetLimits:
        """The limits, clamped to those that a core accepts."""
        return pb.SetLimits(
            retained_messages=min(max(self.messages, 0), 10_000),
            retained_bytes=min(max(self.max_bytes, 0), 2 << 20),
            retained_age_ms=min(max(round(self.age * 1000), 0), 604_800_000),
            hold=self.hold,
        )
