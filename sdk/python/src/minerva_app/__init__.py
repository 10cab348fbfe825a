"""Application services for Minerva: ordered, exactly-once messages in both directions between clients and this process.

See `Service` for the first program, and `Stream` for what a handler can do.
"""

from .errors import (
    InvalidTextError,
    MessageTooLongError,
    MinervaError,
    OutboxFullError,
    SendError,
    SettingError,
    StartError,
    StreamFinishedError,
    StreamOverError,
    UnsupportedMessageError,
)
from .events import (
    Accepts,
    Content,
    Ended,
    EndedBy,
    Event,
    Identity,
    Message,
    Rejoined,
    Released,
    Rewind,
    TransportChanged,
    TransportKind,
)
from .retention import Retention
from .service import Service
from .stream import Stream
from .streams import (
    GroupSendResult,
    SendOutcome,
    StreamInfo,
    Streams,
    StreamsError,
    Target,
    UnavailableError,
    UnknownOutcomeError,
)
from .tls import TlsFiles

__all__ = [
    "Accepts",
    "Content",
    "Ended",
    "EndedBy",
    "Event",
    "GroupSendResult",
    "Identity",
    "InvalidTextError",
    "Message",
    "MessageTooLongError",
    "MinervaError",
    "OutboxFullError",
    "Rejoined",
    "Released",
    "Retention",
    "Rewind",
    "SendError",
    "SendOutcome",
    "Service",
    "SettingError",
    "StartError",
    "Stream",
    "StreamFinishedError",
    "StreamInfo",
    "StreamOverError",
    "Streams",
    "StreamsError",
    "Target",
    "TlsFiles",
    "TransportChanged",
    "TransportKind",
    "UnavailableError",
    "UnknownOutcomeError",
    "UnsupportedMessageError",
]
