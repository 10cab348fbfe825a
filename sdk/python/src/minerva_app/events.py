"""The events of a stream: messages, adoptions by new page loads, transport changes and the end. Decoded from the contract;
used by all other modules."""

import enum
import json
from dataclasses import dataclass
from typing import Any

from .proto import app_pb2 as pb

Content = str | bytes
"""The content of a message: text or binary."""


class TransportKind(enum.Enum):
    """The protocol of a transport."""

    TCP = pb.TRANSPORT_KIND_TCP
    WEBSOCKET = pb.TRANSPORT_KIND_WEBSOCKET
    HTTP_STREAM = pb.TRANSPORT_KIND_HTTP_STREAM
    LONG_POLL = pb.TRANSPORT_KIND_LONG_POLL

    @classmethod
    def of(cls, number: int) -> "TransportKind | None":
        """The kind with this number of the contract; None if newer than this SDK."""
        return cls(number) if number in cls._value2member_map_ else None


class Accepts(enum.Enum):
    """The messages that the client of a stream accepts; the same for the whole life of the stream."""

    ASCII_TEXT = "ascii text"
    """Text of the bytes 0x20-0x7E: a client of version 2 of the protocol, or a core before 0.2."""
    TEXT_AND_BINARY = "text and binary"
    """Any text and binary messages: a client of version 3."""

    @classmethod
    def of(cls, number: int) -> "Accepts":
        return cls.TEXT_AND_BINARY if number == pb.ACCEPTS_TEXT_AND_BINARY else cls.ASCII_TEXT


class EndedBy(enum.Enum):
    """The side that ended a stream."""

    CLIENT = "client"
    APP = "app"
    CORE = "core"


class Rewind(enum.Enum):
    """The messages that a new generation of a client has requested."""

    ALL = "all"
    NEW = "new"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Identity:
    """The verified content of a client's token (JWT)."""

    issuer: str
    subject: str
    audience: tuple[str, ...]
    token_id: str
    issued_at: int
    """Seconds since 1970; 0 if absent."""
    expires_at: int
    """Seconds since 1970. The stream ends with the reason `token expired` soon after, unless the client renews it."""
    claims: dict[str, Any]
    """The claims that the configuration of the core selects."""

    @classmethod
    def of(cls, identity: pb.Identity) -> "Identity":
        claims = {claim.name: json.loads(claim.value) for claim in identity.claims}
        return cls(
            identity.issuer,
            identity.subject,
            tuple(identity.audience),
            identity.token_id,
            identity.issued_at,
            identity.expires_at,
            claims,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A message from the client."""

    event: int
    """Number of the event. The first message of a stream is event 1, and each further one counts up by one."""
    content: Content
    """Text as `str`, binary as `bytes`."""
    attempts: int | None = None
    """Deliveries of this message, this one included; more than 1 after the death of an instance that had the message. None
    with a core of release 0.1."""

    def json(self) -> Any:
        """Decodes a JSON message. Raises `json.JSONDecodeError`."""
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Rejoined:
    """A new generation of the client, such as a reloaded page, has taken the stream over. Acknowledged like a message."""

    event: int
    generation: int
    asked: Rewind
    asked_number: int
    first: int
    """First message that the client receives, in the numbering of the client."""
    complete: bool
    """False if a requested message is missing: send the state that the client lacks."""
    credentials: str
    headers: tuple[tuple[str, str], ...]
    peer_address: str
    transport: TransportKind | None

    def __repr__(self) -> str:
        return f"Rejoined(event={self.event}, generation={self.generation}, complete={self.complete})"

    @classmethod
    def of(cls, rejoined: pb.Rejoined) -> "Rejoined":
        rewinds = {pb.REJOIN_REQUEST_ALL: Rewind.ALL, pb.REJOIN_REQUEST_NUMBER: Rewind.NUMBER}
        return cls(
            rejoined.event,
            rejoined.generation,
            rewinds.get(rejoined.asked, Rewind.NEW),
            rejoined.asked_number,
            getattr(rejoined, "from"),
            rejoined.complete,
            rejoined.credentials,
            tuple((header.name, header.value) for header in rejoined.headers),
            rejoined.peer_address,
            TransportKind.of(rejoined.transport),
        )


@dataclass(frozen=True, slots=True)
class TransportChanged:
    """A transport was attached or detached. Informative: some changes may be omitted, none is repeated."""

    number: int
    attached: bool
    primary: bool
    kind: TransportKind | None
    transports: int
    """Number of transports after the change; 0 if the client is not connected."""

    @classmethod
    def of(cls, change: pb.TransportChanged) -> "TransportChanged":
        kind = TransportKind.of(change.transport)
        return cls(change.transport_number, change.attached, change.primary, kind, change.transports)


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream has ended. The last event."""

    reason: str
    """The reason of the side that ended the stream; `state lost` if the store has lost a part of the stream."""
    application_level: bool
    """True if an application on either side decided, false after a failure below the applications."""
    by: EndedBy
    event: int = 0
    """Number of the event."""

    @classmethod
    def of(cls, ended: pb.Ended) -> "Ended":
        by = {pb.ENDED_BY_CLIENT: EndedBy.CLIENT, pb.ENDED_BY_APP: EndedBy.APP}.get(ended.by, EndedBy.CORE)
        return cls(ended.reason, ended.application_level, by, ended.event)


@dataclass(frozen=True, slots=True)
class Released:
    """The stream has moved to another instance, or this service is stopped. The last event here, not the end."""


Event = Message | Rejoined | TransportChanged | Ended | Released
