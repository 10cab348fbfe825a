from . import app_pb2 as _app_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SendOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEND_OUTCOME_UNSPECIFIED: _ClassVar[SendOutcome]
    SEND_OUTCOME_TAKEN: _ClassVar[SendOutcome]
    SEND_OUTCOME_REPEATED: _ClassVar[SendOutcome]
    SEND_OUTCOME_FULL: _ClassVar[SendOutcome]
    SEND_OUTCOME_ENDED: _ClassVar[SendOutcome]
    SEND_OUTCOME_NOT_FOUND: _ClassVar[SendOutcome]
    SEND_OUTCOME_NOT_OWNER: _ClassVar[SendOutcome]
    SEND_OUTCOME_UNSUPPORTED: _ClassVar[SendOutcome]

class Connection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONNECTION_UNSPECIFIED: _ClassVar[Connection]
    CONNECTION_ATTACHED: _ClassVar[Connection]
    CONNECTION_DETACHED: _ClassVar[Connection]
    CONNECTION_ABSENT: _ClassVar[Connection]
    CONNECTION_UNKNOWN: _ClassVar[Connection]

class Pause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAUSE_UNSPECIFIED: _ClassVar[Pause]
    PAUSE_CLIENT_BEHIND: _ClassVar[Pause]
    PAUSE_APP_BEHIND: _ClassVar[Pause]
    PAUSE_NO_INSTANCE: _ClassVar[Pause]
    PAUSE_NO_TRANSPORT: _ClassVar[Pause]
SEND_OUTCOME_UNSPECIFIED: SendOutcome
SEND_OUTCOME_TAKEN: SendOutcome
SEND_OUTCOME_REPEATED: SendOutcome
SEND_OUTCOME_FULL: SendOutcome
SEND_OUTCOME_ENDED: SendOutcome
SEND_OUTCOME_NOT_FOUND: SendOutcome
SEND_OUTCOME_NOT_OWNER: SendOutcome
SEND_OUTCOME_UNSUPPORTED: SendOutcome
CONNECTION_UNSPECIFIED: Connection
CONNECTION_ATTACHED: Connection
CONNECTION_DETACHED: Connection
CONNECTION_ABSENT: Connection
CONNECTION_UNKNOWN: Connection
PAUSE_UNSPECIFIED: Pause
PAUSE_CLIENT_BEHIND: Pause
PAUSE_APP_BEHIND: Pause
PAUSE_NO_INSTANCE: Pause
PAUSE_NO_TRANSPORT: Pause

class Target(_message.Message):
    __slots__ = ("stream", "stream_id", "label", "service")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    stream: int
    stream_id: str
    label: str
    service: str
    def __init__(self, stream: _Optional[int] = ..., stream_id: _Optional[str] = ..., label: _Optional[str] = ..., service: _Optional[str] = ...) -> None: ...

class Coverage(_message.Message):
    __slots__ = ("partitions", "total")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedScalarFieldContainer[int]
    total: int
    def __init__(self, partitions: _Optional[_Iterable[int]] = ..., total: _Optional[int] = ...) -> None: ...

class SendRequest(_message.Message):
    __slots__ = ("target", "messages", "idempotency_key", "contents")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    target: Target
    messages: _containers.RepeatedScalarFieldContainer[bytes]
    idempotency_key: bytes
    contents: _containers.RepeatedCompositeFieldContainer[_app_pb2.Message]
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., messages: _Optional[_Iterable[bytes]] = ..., idempotency_key: _Optional[bytes] = ..., contents: _Optional[_Iterable[_Union[_app_pb2.Message, _Mapping]]] = ...) -> None: ...

class SendResponse(_message.Message):
    __slots__ = ("results", "coverage")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SendResult]
    coverage: Coverage
    def __init__(self, results: _Optional[_Iterable[_Union[SendResult, _Mapping]]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ...) -> None: ...

class SendResult(_message.Message):
    __slots__ = ("stream", "outcome")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    stream: int
    outcome: SendOutcome
    def __init__(self, stream: _Optional[int] = ..., outcome: _Optional[_Union[SendOutcome, str]] = ...) -> None: ...

class SendManyRequest(_message.Message):
    __slots__ = ("streams", "messages", "idempotency_key", "contents")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedScalarFieldContainer[int]
    messages: _containers.RepeatedScalarFieldContainer[bytes]
    idempotency_key: bytes
    contents: _containers.RepeatedCompositeFieldContainer[_app_pb2.Message]
    def __init__(self, streams: _Optional[_Iterable[int]] = ..., messages: _Optional[_Iterable[bytes]] = ..., idempotency_key: _Optional[bytes] = ..., contents: _Optional[_Iterable[_Union[_app_pb2.Message, _Mapping]]] = ...) -> None: ...

class SendManyResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SendResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SendResult, _Mapping]]] = ...) -> None: ...

class SendToGroupRequest(_message.Message):
    __slots__ = ("service", "group", "messages", "idempotency_key", "after", "page_size", "contents")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    service: str
    group: str
    messages: _containers.RepeatedScalarFieldContainer[bytes]
    idempotency_key: bytes
    after: int
    page_size: int
    contents: _containers.RepeatedCompositeFieldContainer[_app_pb2.Message]
    def __init__(self, service: _Optional[str] = ..., group: _Optional[str] = ..., messages: _Optional[_Iterable[bytes]] = ..., idempotency_key: _Optional[bytes] = ..., after: _Optional[int] = ..., page_size: _Optional[int] = ..., contents: _Optional[_Iterable[_Union[_app_pb2.Message, _Mapping]]] = ...) -> None: ...

class SendToGroupResponse(_message.Message):
    __slots__ = ("taken", "full", "full_total", "coverage", "unsupported", "unsupported_total")
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    FULL_TOTAL_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    UNSUPPORTED_FIELD_NUMBER: _ClassVar[int]
    UNSUPPORTED_TOTAL_FIELD_NUMBER: _ClassVar[int]
    taken: int
    full: _containers.RepeatedScalarFieldContainer[int]
    full_total: int
    coverage: Coverage
    unsupported: _containers.RepeatedScalarFieldContainer[int]
    unsupported_total: int
    def __init__(self, taken: _Optional[int] = ..., full: _Optional[_Iterable[int]] = ..., full_total: _Optional[int] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ..., unsupported: _Optional[_Iterable[int]] = ..., unsupported_total: _Optional[int] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("target", "group")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    target: Target
    group: str
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., group: _Optional[str] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("streams", "coverage")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedScalarFieldContainer[int]
    coverage: Coverage
    def __init__(self, streams: _Optional[_Iterable[int]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ...) -> None: ...

class LeaveRequest(_message.Message):
    __slots__ = ("target", "group")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    target: Target
    group: str
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., group: _Optional[str] = ...) -> None: ...

class LeaveResponse(_message.Message):
    __slots__ = ("streams", "coverage")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedScalarFieldContainer[int]
    coverage: Coverage
    def __init__(self, streams: _Optional[_Iterable[int]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ...) -> None: ...

class ResetRequest(_message.Message):
    __slots__ = ("target", "reason", "application_level")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    target: Target
    reason: str
    application_level: bool
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ..., reason: _Optional[str] = ..., application_level: bool = ...) -> None: ...

class ResetResponse(_message.Message):
    __slots__ = ("streams", "coverage")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedScalarFieldContainer[int]
    coverage: Coverage
    def __init__(self, streams: _Optional[_Iterable[int]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: Target
    def __init__(self, target: _Optional[_Union[Target, _Mapping]] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("streams", "coverage")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[StreamInfo]
    coverage: Coverage
    def __init__(self, streams: _Optional[_Iterable[_Union[StreamInfo, _Mapping]]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("service", "page_size", "page_token")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    service: str
    page_size: int
    page_token: str
    def __init__(self, service: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("streams", "next_page_token", "coverage")
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[StreamInfo]
    next_page_token: str
    coverage: Coverage
    def __init__(self, streams: _Optional[_Iterable[_Union[StreamInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ...) -> None: ...

class ListGroupRequest(_message.Message):
    __slots__ = ("service", "group", "page_size", "page_token", "with_absent")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WITH_ABSENT_FIELD_NUMBER: _ClassVar[int]
    service: str
    group: str
    page_size: int
    page_token: str
    with_absent: bool
    def __init__(self, service: _Optional[str] = ..., group: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., with_absent: bool = ...) -> None: ...

class ListGroupResponse(_message.Message):
    __slots__ = ("members", "next_page_token", "coverage")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[GroupMember]
    next_page_token: str
    coverage: Coverage
    def __init__(self, members: _Optional[_Iterable[_Union[GroupMember, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ...) -> None: ...

class GroupMember(_message.Message):
    __slots__ = ("stream", "label", "connection", "since_ms")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    stream: int
    label: str
    connection: Connection
    since_ms: int
    def __init__(self, stream: _Optional[int] = ..., label: _Optional[str] = ..., connection: _Optional[_Union[Connection, str]] = ..., since_ms: _Optional[int] = ...) -> None: ...

class StreamInfo(_message.Message):
    __slots__ = ("stream", "service", "label", "groups", "started_at_ms", "primary_transport", "transports", "max_idle_ms", "instance_id", "served", "next_unacknowledged_event", "next_event", "inbox_bytes", "inbox_messages", "outbox_bytes", "outbox_messages", "pauses", "ended")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    TRANSPORTS_FIELD_NUMBER: _ClassVar[int]
    MAX_IDLE_MS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    NEXT_UNACKNOWLEDGED_EVENT_FIELD_NUMBER: _ClassVar[int]
    NEXT_EVENT_FIELD_NUMBER: _ClassVar[int]
    INBOX_BYTES_FIELD_NUMBER: _ClassVar[int]
    INBOX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTBOX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PAUSES_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    stream: int
    service: str
    label: str
    groups: _containers.RepeatedScalarFieldContainer[str]
    started_at_ms: int
    primary_transport: _app_pb2.TransportKind
    transports: int
    max_idle_ms: int
    instance_id: str
    served: bool
    next_unacknowledged_event: int
    next_event: int
    inbox_bytes: int
    inbox_messages: int
    outbox_bytes: int
    outbox_messages: int
    pauses: _containers.RepeatedScalarFieldContainer[Pause]
    ended: _app_pb2.Ended
    def __init__(self, stream: _Optional[int] = ..., service: _Optional[str] = ..., label: _Optional[str] = ..., groups: _Optional[_Iterable[str]] = ..., started_at_ms: _Optional[int] = ..., primary_transport: _Optional[_Union[_app_pb2.TransportKind, str]] = ..., transports: _Optional[int] = ..., max_idle_ms: _Optional[int] = ..., instance_id: _Optional[str] = ..., served: bool = ..., next_unacknowledged_event: _Optional[int] = ..., next_event: _Optional[int] = ..., inbox_bytes: _Optional[int] = ..., inbox_messages: _Optional[int] = ..., outbox_bytes: _Optional[int] = ..., outbox_messages: _Optional[int] = ..., pauses: _Optional[_Iterable[_Union[Pause, str]]] = ..., ended: _Optional[_Union[_app_pb2.Ended, _Mapping]] = ...) -> None: ...
