"""The session machine: all streams of one app instance, over any number of cores and calls. Events of the cores go in,
commands for the cores come out, and handlers read and send in between.

Pure: no clock, I/O, randomness or waiting. Calls, tasks and wake-ups belong to `service`. The names and the division into
files are those of the Rust SDK (`sdk/app/src/session`).

A stream is *attached* to at most one call: the call with its last Started under the highest epoch. Only events of that call
change the stream, and only that call carries commands. After a new attachment all unacknowledged and unconfirmed commands
are sent again.
"""

from .calls import CallId
from .errors import ContractError, NoRoomError, OverError, QueueError
from .session import Arrived, EndedSignal, Readable, ReleasedSignal, Session, Signal, Writable

__all__ = [
    "Arrived",
    "CallId",
    "ContractError",
    "EndedSignal",
    "NoRoomError",
    "OverError",
    "QueueError",
    "Readable",
    "ReleasedSignal",
    "Session",
    "Signal",
    "Writable",
]
