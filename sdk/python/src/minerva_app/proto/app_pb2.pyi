from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Accepts(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACCEPTS_UNSPECIFIED: _ClassVar[Accepts]
    ACCEPTS_ASCII_TEXT: _ClassVar[Accepts]
    ACCEPTS_TEXT_AND_BINARY: _ClassVar[Accepts]

class TransportKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSPORT_KIND_UNSPECIFIED: _ClassVar[TransportKind]
    TRANSPORT_KIND_TCP: _ClassVar[TransportKind]
    TRANSPORT_KIND_WEBSOCKET: _ClassVar[TransportKind]
    TRANSPORT_KIND_HTTP_STREAM: _ClassVar[TransportKind]
    TRANSPORT_KIND_LONG_POLL: _ClassVar[TransportKind]

class RejoinRequest(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REJOIN_REQUEST_UNSPECIFIED: _ClassVar[RejoinRequest]
    REJOIN_REQUEST_ALL: _ClassVar[RejoinRequest]
    REJOIN_REQUEST_NEW: _ClassVar[RejoinRequest]
    REJOIN_REQUEST_NUMBER: _ClassVar[RejoinRequest]

class EndedBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENDED_BY_UNSPECIFIED: _ClassVar[EndedBy]
    ENDED_BY_CLIENT: _ClassVar[EndedBy]
    ENDED_BY_APP: _ClassVar[EndedBy]
    ENDED_BY_CORE: _ClassVar[EndedBy]

class SendRefusedReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEND_REFUSED_REASON_UNSPECIFIED: _ClassVar[SendRefusedReason]
    SEND_REFUSED_REASON_RESOURCE_EXHAUSTED: _ClassVar[SendRefusedReason]
    SEND_REFUSED_REASON_OUT_OF_ORDER: _ClassVar[SendRefusedReason]
    SEND_REFUSED_REASON_ENDED: _ClassVar[SendRefusedReason]
    SEND_REFUSED_REASON_INVALID: _ClassVar[SendRefusedReason]
    SEND_REFUSED_REASON_UNSUPPORTED: _ClassVar[SendRefusedReason]
ACCEPTS_UNSPECIFIED: Accepts
ACCEPTS_ASCII_TEXT: Accepts
ACCEPTS_TEXT_AND_BINARY: Accepts
TRANSPORT_KIND_UNSPECIFIED: TransportKind
TRANSPORT_KIND_TCP: TransportKind
TRANSPORT_KIND_WEBSOCKET: TransportKind
TRANSPORT_KIND_HTTP_STREAM: TransportKind
TRANSPORT_KIND_LONG_POLL: TransportKind
REJOIN_REQUEST_UNSPECIFIED: RejoinRequest
REJOIN_REQUEST_ALL: RejoinRequest
REJOIN_REQUEST_NEW: RejoinRequest
REJOIN_REQUEST_NUMBER: RejoinRequest
ENDED_BY_UNSPECIFIED: EndedBy
ENDED_BY_CLIENT: EndedBy
ENDED_BY_APP: EndedBy
ENDED_BY_CORE: EndedBy
SEND_REFUSED_REASON_UNSPECIFIED: SendRefusedReason
SEND_REFUSED_REASON_RESOURCE_EXHAUSTED: SendRefusedReason
SEND_REFUSED_REASON_OUT_OF_ORDER: SendRefusedReason
SEND_REFUSED_REASON_ENDED: SendRefusedReason
SEND_REFUSED_REASON_INVALID: SendRefusedReason
SEND_REFUSED_REASON_UNSUPPORTED: SendRefusedReason

class ServeRequest(_message.Message):
    __slots__ = ("commands",)
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    commands: _containers.RepeatedCompositeFieldContainer[Command]
    def __init__(self, commands: _Optional[_Iterable[_Union[Command, _Mapping]]] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("register", "acknowledge", "send", "reset", "set_limits", "set_label", "join_group", "leave_group", "finish", "sync")
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    SET_LIMITS_FIELD_NUMBER: _ClassVar[int]
    SET_LABEL_FIELD_NUMBER: _ClassVar[int]
    JOIN_GROUP_FIELD_NUMBER: _ClassVar[int]
    LEAVE_GROUP_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    register: Register
    acknowledge: Acknowledge
    send: Send
    reset: Reset
    set_limits: SetLimits
    set_label: SetLabel
    join_group: JoinGroup
    leave_group: LeaveGroup
    finish: Finish
    sync: Sync
    def __init__(self, register: _Optional[_Union[Register, _Mapping]] = ..., acknowledge: _Optional[_Union[Acknowledge, _Mapping]] = ..., send: _Optional[_Union[Send, _Mapping]] = ..., reset: _Optional[_Union[Reset, _Mapping]] = ..., set_limits: _Optional[_Union[SetLimits, _Mapping]] = ..., set_label: _Optional[_Union[SetLabel, _Mapping]] = ..., join_group: _Optional[_Union[JoinGroup, _Mapping]] = ..., leave_group: _Optional[_Union[LeaveGroup, _Mapping]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ..., sync: _Optional[_Union[Sync, _Mapping]] = ...) -> None: ...

class Register(_message.Message):
    __slots__ = ("service", "instance_id", "stream_window_bytes", "held_streams", "max_version", "features", "held")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_WINDOW_BYTES_FIELD_NUMBER: _ClassVar[int]
    HELD_STREAMS_FIELD_NUMBER: _ClassVar[int]
    MAX_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    service: str
    instance_id: str
    stream_window_bytes: int
    held_streams: _containers.RepeatedScalarFieldContainer[int]
    max_version: int
    features: _containers.RepeatedScalarFieldContainer[str]
    held: _containers.RepeatedCompositeFieldContainer[Held]
    def __init__(self, service: _Optional[str] = ..., instance_id: _Optional[str] = ..., stream_window_bytes: _Optional[int] = ..., held_streams: _Optional[_Iterable[int]] = ..., max_version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ..., held: _Optional[_Iterable[_Union[Held, _Mapping]]] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("stream", "created_tag", "next_event", "event_tag", "next_send", "send_tag")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    CREATED_TAG_FIELD_NUMBER: _ClassVar[int]
    NEXT_EVENT_FIELD_NUMBER: _ClassVar[int]
    EVENT_TAG_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEND_FIELD_NUMBER: _ClassVar[int]
    SEND_TAG_FIELD_NUMBER: _ClassVar[int]
    stream: int
    created_tag: int
    next_event: int
    event_tag: int
    next_send: int
    send_tag: int
    def __init__(self, stream: _Optional[int] = ..., created_tag: _Optional[int] = ..., next_event: _Optional[int] = ..., event_tag: _Optional[int] = ..., next_send: _Optional[int] = ..., send_tag: _Optional[int] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("text", "binary")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BINARY_FIELD_NUMBER: _ClassVar[int]
    text: str
    binary: bytes
    def __init__(self, text: _Optional[str] = ..., binary: _Optional[bytes] = ...) -> None: ...

class Acknowledge(_message.Message):
    __slots__ = ("stream", "event")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    stream: int
    event: int
    def __init__(self, stream: _Optional[int] = ..., event: _Optional[int] = ...) -> None: ...

class Send(_message.Message):
    __slots__ = ("stream", "first", "messages", "acknowledge", "contents")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    stream: int
    first: int
    messages: _containers.RepeatedScalarFieldContainer[bytes]
    acknowledge: int
    contents: _containers.RepeatedCompositeFieldContainer[Message]
    def __init__(self, stream: _Optional[int] = ..., first: _Optional[int] = ..., messages: _Optional[_Iterable[bytes]] = ..., acknowledge: _Optional[int] = ..., contents: _Optional[_Iterable[_Union[Message, _Mapping]]] = ...) -> None: ...

class Reset(_message.Message):
    __slots__ = ("stream", "reason", "application_level")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    stream: int
    reason: str
    application_level: bool
    def __init__(self, stream: _Optional[int] = ..., reason: _Optional[str] = ..., application_level: bool = ...) -> None: ...

class Finish(_message.Message):
    __slots__ = ("stream", "reason")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    stream: int
    reason: str
    def __init__(self, stream: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SetLimits(_message.Message):
    __slots__ = ("stream", "max_idle_ms", "outbox_bytes", "outbox_messages", "ack_timeout_ms", "compress", "retained_messages", "retained_bytes", "retained_age_ms", "hold")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    MAX_IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ACK_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    COMPRESS_FIELD_NUMBER: _ClassVar[int]
    RETAINED_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    RETAINED_BYTES_FIELD_NUMBER: _ClassVar[int]
    RETAINED_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    stream: int
    max_idle_ms: int
    outbox_bytes: int
    outbox_messages: int
    ack_timeout_ms: int
    compress: bool
    retained_messages: int
    retained_bytes: int
    retained_age_ms: int
    hold: bool
    def __init__(self, stream: _Optional[int] = ..., max_idle_ms: _Optional[int] = ..., outbox_bytes: _Optional[int] = ..., outbox_messages: _Optional[int] = ..., ack_timeout_ms: _Optional[int] = ..., compress: bool = ..., retained_messages: _Optional[int] = ..., retained_bytes: _Optional[int] = ..., retained_age_ms: _Optional[int] = ..., hold: bool = ...) -> None: ...

class SetLabel(_message.Message):
    __slots__ = ("stream", "label")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    stream: int
    label: str
    def __init__(self, stream: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class JoinGroup(_message.Message):
    __slots__ = ("stream", "group")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    stream: int
    group: str
    def __init__(self, stream: _Optional[int] = ..., group: _Optional[str] = ...) -> None: ...

class LeaveGroup(_message.Message):
    __slots__ = ("stream", "group")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    stream: int
    group: str
    def __init__(self, stream: _Optional[int] = ..., group: _Optional[str] = ...) -> None: ...

class Sync(_message.Message):
    __slots__ = ("stream", "token")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    stream: int
    token: int
    def __init__(self, stream: _Optional[int] = ..., token: _Optional[int] = ...) -> None: ...

class ServeResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("registered", "started", "messages", "transport_changed", "ended", "send_state", "send_refused", "released", "partition_owned", "partition_left", "group_refused", "command_refused", "synced", "rejoined", "renewed")
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_CHANGED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    SEND_STATE_FIELD_NUMBER: _ClassVar[int]
    SEND_REFUSED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    PARTITION_OWNED_FIELD_NUMBER: _ClassVar[int]
    PARTITION_LEFT_FIELD_NUMBER: _ClassVar[int]
    GROUP_REFUSED_FIELD_NUMBER: _ClassVar[int]
    COMMAND_REFUSED_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    REJOINED_FIELD_NUMBER: _ClassVar[int]
    RENEWED_FIELD_NUMBER: _ClassVar[int]
    registered: Registered
    started: Started
    messages: Messages
    transport_changed: TransportChanged
    ended: Ended
    send_state: SendState
    send_refused: SendRefused
    released: Released
    partition_owned: PartitionOwned
    partition_left: PartitionLeft
    group_refused: GroupRefused
    command_refused: CommandRefused
    synced: Synced
    rejoined: Rejoined
    renewed: Renewed
    def __init__(self, registered: _Optional[_Union[Registered, _Mapping]] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., messages: _Optional[_Union[Messages, _Mapping]] = ..., transport_changed: _Optional[_Union[TransportChanged, _Mapping]] = ..., ended: _Optional[_Union[Ended, _Mapping]] = ..., send_state: _Optional[_Union[SendState, _Mapping]] = ..., send_refused: _Optional[_Union[SendRefused, _Mapping]] = ..., released: _Optional[_Union[Released, _Mapping]] = ..., partition_owned: _Optional[_Union[PartitionOwned, _Mapping]] = ..., partition_left: _Optional[_Union[PartitionLeft, _Mapping]] = ..., group_refused: _Optional[_Union[GroupRefused, _Mapping]] = ..., command_refused: _Optional[_Union[CommandRefused, _Mapping]] = ..., synced: _Optional[_Union[Synced, _Mapping]] = ..., rejoined: _Optional[_Union[Rejoined, _Mapping]] = ..., renewed: _Optional[_Union[Renewed, _Mapping]] = ...) -> None: ...

class Registered(_message.Message):
    __slots__ = ("outbox_bytes", "outbox_messages", "max_message_bytes", "core_id", "max_version", "features")
    OUTBOX_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CORE_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    outbox_bytes: int
    outbox_messages: int
    max_message_bytes: int
    core_id: str
    max_version: int
    features: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, outbox_bytes: _Optional[int] = ..., outbox_messages: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., core_id: _Optional[str] = ..., max_version: _Optional[int] = ..., features: _Optional[_Iterable[str]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("stream", "stream_id", "resumed", "next_event", "next_send", "credentials", "headers", "peer_address", "transport", "started_at_ms", "send_state", "epoch", "label", "groups", "created_tag", "assignment", "attempts", "finishing", "accepts", "finish_reason", "identity")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    NEXT_EVENT_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEND_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    SEND_STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    CREATED_TAG_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FINISHING_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    stream: int
    stream_id: str
    resumed: bool
    next_event: int
    next_send: int
    credentials: str
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    peer_address: str
    transport: TransportKind
    started_at_ms: int
    send_state: SendState
    epoch: int
    label: str
    groups: _containers.RepeatedScalarFieldContainer[str]
    created_tag: int
    assignment: int
    attempts: int
    finishing: bool
    accepts: Accepts
    finish_reason: str
    identity: Identity
    def __init__(self, stream: _Optional[int] = ..., stream_id: _Optional[str] = ..., resumed: bool = ..., next_event: _Optional[int] = ..., next_send: _Optional[int] = ..., credentials: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., peer_address: _Optional[str] = ..., transport: _Optional[_Union[TransportKind, str]] = ..., started_at_ms: _Optional[int] = ..., send_state: _Optional[_Union[SendState, _Mapping]] = ..., epoch: _Optional[int] = ..., label: _Optional[str] = ..., groups: _Optional[_Iterable[str]] = ..., created_tag: _Optional[int] = ..., assignment: _Optional[int] = ..., attempts: _Optional[int] = ..., finishing: bool = ..., accepts: _Optional[_Union[Accepts, str]] = ..., finish_reason: _Optional[str] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("issuer", "subject", "audience", "token_id", "issued_at", "expires_at", "claims")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    subject: str
    audience: _containers.RepeatedScalarFieldContainer[str]
    token_id: str
    issued_at: int
    expires_at: int
    claims: _containers.RepeatedCompositeFieldContainer[Claim]
    def __init__(self, issuer: _Optional[str] = ..., subject: _Optional[str] = ..., audience: _Optional[_Iterable[str]] = ..., token_id: _Optional[str] = ..., issued_at: _Optional[int] = ..., expires_at: _Optional[int] = ..., claims: _Optional[_Iterable[_Union[Claim, _Mapping]]] = ...) -> None: ...

class Claim(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Renewed(_message.Message):
    __slots__ = ("stream", "identity")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    stream: int
    identity: Identity
    def __init__(self, stream: _Optional[int] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Messages(_message.Message):
    __slots__ = ("stream", "first_event", "messages", "tag", "attempts", "contents")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    FIRST_EVENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    stream: int
    first_event: int
    messages: _containers.RepeatedScalarFieldContainer[bytes]
    tag: int
    attempts: int
    contents: _containers.RepeatedCompositeFieldContainer[Message]
    def __init__(self, stream: _Optional[int] = ..., first_event: _Optional[int] = ..., messages: _Optional[_Iterable[bytes]] = ..., tag: _Optional[int] = ..., attempts: _Optional[int] = ..., contents: _Optional[_Iterable[_Union[Message, _Mapping]]] = ...) -> None: ...

class TransportChanged(_message.Message):
    __slots__ = ("stream", "transport_number", "attached", "primary", "transport", "transports")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    TRANSPORTS_FIELD_NUMBER: _ClassVar[int]
    stream: int
    transport_number: int
    attached: bool
    primary: bool
    transport: TransportKind
    transports: int
    def __init__(self, stream: _Optional[int] = ..., transport_number: _Optional[int] = ..., attached: bool = ..., primary: bool = ..., transport: _Optional[_Union[TransportKind, str]] = ..., transports: _Optional[int] = ...) -> None: ...

class Rejoined(_message.Message):
    __slots__ = ("stream", "event", "generation", "asked", "asked_number", "complete", "credentials", "headers", "peer_address", "transport", "identity")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    ASKED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    stream: int
    event: int
    generation: int
    asked: RejoinRequest
    asked_number: int
    complete: bool
    credentials: str
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    peer_address: str
    transport: TransportKind
    identity: Identity
    def __init__(self, stream: _Optional[int] = ..., event: _Optional[int] = ..., generation: _Optional[int] = ..., asked: _Optional[_Union[RejoinRequest, str]] = ..., asked_number: _Optional[int] = ..., complete: bool = ..., credentials: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., peer_address: _Optional[str] = ..., transport: _Optional[_Union[TransportKind, str]] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ..., **kwargs) -> None: ...

class Ended(_message.Message):
    __slots__ = ("stream", "event", "reason", "application_level", "by")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    stream: int
    event: int
    reason: str
    application_level: bool
    by: EndedBy
    def __init__(self, stream: _Optional[int] = ..., event: _Optional[int] = ..., reason: _Optional[str] = ..., application_level: bool = ..., by: _Optional[_Union[EndedBy, str]] = ...) -> None: ...

class SendState(_message.Message):
    __slots__ = ("stream", "next_send", "bytes_left", "messages_left", "paused", "tag")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEND_FIELD_NUMBER: _ClassVar[int]
    BYTES_LEFT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_LEFT_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    stream: int
    next_send: int
    bytes_left: int
    messages_left: int
    paused: bool
    tag: int
    def __init__(self, stream: _Optional[int] = ..., next_send: _Optional[int] = ..., bytes_left: _Optional[int] = ..., messages_left: _Optional[int] = ..., paused: bool = ..., tag: _Optional[int] = ...) -> None: ...

class SendRefused(_message.Message):
    __slots__ = ("stream", "first", "reason", "next_send", "detail", "index")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEND_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    stream: int
    first: int
    reason: SendRefusedReason
    next_send: int
    detail: str
    index: int
    def __init__(self, stream: _Optional[int] = ..., first: _Optional[int] = ..., reason: _Optional[_Union[SendRefusedReason, str]] = ..., next_send: _Optional[int] = ..., detail: _Optional[str] = ..., index: _Optional[int] = ...) -> None: ...

class Released(_message.Message):
    __slots__ = ("stream", "lost", "epoch")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    stream: int
    lost: bool
    epoch: int
    def __init__(self, stream: _Optional[int] = ..., lost: bool = ..., epoch: _Optional[int] = ...) -> None: ...

class PartitionOwned(_message.Message):
    __slots__ = ("partition", "epoch", "streams_made")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STREAMS_MADE_FIELD_NUMBER: _ClassVar[int]
    partition: int
    epoch: int
    streams_made: int
    def __init__(self, partition: _Optional[int] = ..., epoch: _Optional[int] = ..., streams_made: _Optional[int] = ...) -> None: ...

class PartitionLeft(_message.Message):
    __slots__ = ("partition",)
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    partition: int
    def __init__(self, partition: _Optional[int] = ...) -> None: ...

class CommandRefused(_message.Message):
    __slots__ = ("stream", "detail")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    stream: int
    detail: str
    def __init__(self, stream: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class GroupRefused(_message.Message):
    __slots__ = ("stream", "group")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    stream: int
    group: str
    def __init__(self, stream: _Optional[int] = ..., group: _Optional[str] = ...) -> None: ...

class Synced(_message.Message):
    __slots__ = ("stream", "token")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    stream: int
    token: int
    def __init__(self, stream: _Optional[int] = ..., token: _Optional[int] = ...) -> None: ...
