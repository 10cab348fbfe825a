"""Access to the streams of any service, for programs that are no instance of it: sends, groups, resets and states.

A request goes to every core, repeatedly until the responses cover all partitions, and waits for no core beyond that.
"""

import asyncio
import datetime
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from .addresses import connect, credentials, parse_addresses
from .connector import Backoff
from .errors import MinervaError
from .events import Content, Ended, TransportKind
from .proto import streams_pb2 as pb
from .proto.app_pb2 import Message
from .tls import TlsFiles

MIN_CORE_TIMEOUT = 3.0
"""Shortest deadline of one core, in seconds. Otherwise a third of the deadline of the request."""
PAGE = 1000
"""Streams on a page of a list."""

_TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
}
_OF_STREAM = {
    "STREAM_NOT_FOUND": "there is no such stream",
    "STREAM_ENDED": "the stream is over",
    "OUTBOX_FULL": "the outbox of the stream is full",
    "MESSAGE_UNSUPPORTED": "the client does not accept a message: it accepts text of the bytes 0x20-0x7E only",
    "TOO_MANY_GROUPS": "the stream is in too many groups",
}


class StreamsError(MinervaError):
    """A request had no effect. `reason` names the cause in a word, such as STREAM_NOT_FOUND or OUTBOX_FULL; empty if a
    field is invalid or a core refuses for another cause."""

    def __init__(self, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.reason = reason


class UnavailableError(StreamsError):
    """No core has answered, or not all partitions have a core now. The request had no effect."""


class UnknownOutcomeError(StreamsError):
    """The outcome of a change is not known. A repetition with `key` takes effect once."""

    def __init__(self, problem: str, key: bytes) -> None:
        super().__init__(f"the outcome is not known: {problem}")
        self.key = key


class SendOutcome(Enum):
    """The outcome of a send for one stream."""

    TAKEN = "taken"
    FULL = "full"
    ENDED = "ended"
    NOT_FOUND = "not found"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Target:
    """Selects one stream by number or secret id, or all streams of a service with a label."""

    stream: int | None = None
    stream_id: str | None = None
    label: str | None = None
    service: str = "default"

    def __repr__(self) -> str:
        return "Target(..)" if self.stream is None else f"Target(stream={self.stream})"

    def to_proto(self) -> pb.Target:
        given = {"stream": self.stream, "stream_id": self.stream_id, "label": self.label}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            raise StreamsError("a target has either `stream`, `stream_id` or `label`")
        fields: dict[str, Any] = given
        return pb.Target(service=self.service, **fields)


@dataclass(frozen=True)
class GroupSendResult:
    """The result of a send to a group."""

    taken: int
    """Streams that accepted the messages, now or under the same key before."""
    full: list[int]
    """Streams that rejected the messages because of a full outbox, in ascending order; at most 1,000 of each core."""
    full_count: int
    unsupported: list[int]
    """Streams whose clients do not accept one of the messages; at most 1,000 of each core."""
    unsupported_count: int


@dataclass(frozen=True)
class StreamInfo:
    """The state of a stream."""

    stream: int
    service: str
    label: str | None
    groups: list[str]
    started_at: datetime.datetime
    transport: TransportKind | None
    transports: int
    max_idle: float
    """Seconds."""
    instance_id: str | None
    is_served: bool
    next_unacknowledged_event: int
    next_event: int
    inbox_bytes: int
    inbox_messages: int
    outbox_bytes: int
    outbox_messages: int
    pauses: list[str]
    """Causes for which messages wait, such as `client behind`."""
    ended: Ended | None

    @classmethod
    def of(cls, info: pb.StreamInfo) -> "StreamInfo":
        pauses = [pb.Pause.Name(pause).removeprefix("PAUSE_").replace("_", " ").lower() for pause in info.pauses]
        return cls(
            info.stream,
            info.service,
            info.label or None,
            list(info.groups),
            datetime.datetime.fromtimestamp(info.started_at_ms / 1000, datetime.UTC),
            TransportKind.of(info.primary_transport),
            info.transports,
            info.max_idle_ms / 1000,
            info.instance_id or None,
            info.served,
            info.next_unacknowledged_event,
            info.next_event,
            info.inbox_bytes,
            info.inbox_messages,
            info.outbox_bytes,
            info.outbox_messages,
            pauses,
            Ended.of(info.ended) if info.HasField("ended") else None,
        )


class Streams:
    """Sends to streams of any service, manages their groups, resets and lists them. Used in one event loop.

        async with Streams("core-a:7400,core-b:7400") as streams:
            await streams.send(Target(label="ann"), ["your order has been shipped"])
            await streams.send_to_group("lobby", ["the game begins"], service="game")

    The effect of a returned request is durable. Each send has an idempotency key and takes effect once despite repetitions,
    while the stream takes fewer than 32 other sends with keys in between. While a stream has no owner, such as during a
    failover, requests wait up to the timeout. `token` is the secret of `minerva-core token create`; default
    `MINERVA_TOKEN`. `tls` is that of `Service`."""

    def __init__(
        self, cores: str | list[str], *, timeout: float = 10.0, token: str | None = None, tls: TlsFiles | None = None
    ) -> None:
        self._addresses, self._timeout, self._metadata = parse_addresses(cores, tls), timeout, credentials(token)
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> "Streams":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    async def send(
        self, to: Target | int, messages: Sequence[Content], *, key: bytes | None = None
    ) -> dict[int, SendOutcome]:
        """Sends messages to the selected streams; each takes all messages or none. Returns the outcome per stream. Raises
        StreamsError if a stream selected by number or id took nothing, or if a message is invalid."""
        request = pb.SendRequest(target=_target(to), idempotency_key=_key(key), **_contents(messages))
        return _outcomes(await self._request("Send", request, pb.SendResponse))

    async def send_many(
        self, streams: Iterable[int], messages: Sequence[Content], *, key: bytes | None = None
    ) -> dict[int, SendOutcome]:
        """Sends messages to at most 10,000 streams by number. Returns the outcome per stream."""
        request = pb.SendManyRequest(streams=streams, idempotency_key=_key(key), **_contents(messages))
        return _outcomes(await self._request("SendMany", request, pb.SendManyResponse))

    async def send_to_group(
        self, group: str, messages: Sequence[Content], *, service: str = "default", key: bytes | None = None
    ) -> GroupSendResult:
        """Sends messages to all streams of a service in a group."""
        request = pb.SendToGroupRequest(service=service, group=group, idempotency_key=_key(key), **_contents(messages))
        pages = await self._request("SendToGroup", request, pb.SendToGroupResponse)
        return GroupSendResult(
            sum(page.taken for page in pages),
            sorted({number for page in pages for number in page.full}),
            sum(page.full_total for page in pages),
            sorted({number for page in pages for number in page.unsupported}),
            sum(page.unsupported_total for page in pages),
        )

    async def join(self, to: Target | int, group: str) -> list[int]:
        """Adds the selected streams to a group and returns those in the group now."""
        request = pb.JoinRequest(target=_target(to), group=group)
        return _numbers(await self._request("Join", request, pb.JoinResponse))

    async def leave(self, to: Target | int, group: str) -> list[int]:
        """Removes the selected streams from a group and returns those outside of the group now."""
        request = pb.LeaveRequest(target=_target(to), group=group)
        return _numbers(await self._request("Leave", request, pb.LeaveResponse))

    async def reset(self, to: Target | int, reason: str) -> list[int]:
        """Ends the selected streams at once and returns those that are over. Clients and instances receive the reason."""
        request = pb.ResetRequest(target=_target(to), reason=reason, application_level=True)
        return _numbers(await self._request("Reset", request, pb.ResetResponse))

    async def get(self, to: Target | int) -> list[StreamInfo]:
        """Returns the state of the selected streams."""
        responses = await self._request("Get", pb.GetRequest(target=_target(to)), pb.GetResponse)
        return [StreamInfo.of(info) for response in responses for info in response.streams]

    async def list_streams(self, service: str = "default") -> list[StreamInfo]:
        """Returns all streams of a service. Streams that start, end or move meanwhile may be missing or listed twice."""
        found: list[StreamInfo] = []
        coverages: list[pb.Coverage] = []
        for channel in (await self._connect()).values():
            request = pb.ListRequest(service=service, page_size=PAGE)
            while True:
                try:
                    page = await self._call(channel, "List", request, pb.ListResponse, self._timeout)
                except grpc.aio.AioRpcError as error:
                    raise _error_of(error) from None
                found += [StreamInfo.of(info) for info in page.streams]
                coverages.append(page.coverage)
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
        if not _is_covered(coverages):
            raise UnavailableError("not all partitions have a core now")
        return found

    async def _request(self, method: str, request: Any, response: type[Any]) -> list[Any]:
        """Repeats a request until the responses of the cores are complete."""
        rounds = _Rounds(is_change=method != "Get", key=getattr(request, "idempotency_key", b""))
        backoff = Backoff()
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    if (responses := await self._round(method, request, response, rounds)) is not None:
                        return responses
                    await asyncio.sleep(backoff.next())
        except TimeoutError:
            raise rounds.error() from None

    async def _round(self, method: str, request: Any, response: type[Any], rounds: "_Rounds") -> list[Any] | None:
        """Sends the request to every core. None if the responses are not complete."""
        core_timeout = max(MIN_CORE_TIMEOUT, self._timeout / 3)
        asked = {
            asyncio.create_task(self._call(channel, method, request, response, core_timeout)): target
            for target, channel in (await self._connect()).items()
        }
        rounds.is_in_flight = bool(asked)
        responses: list[Any] = []
        refusal: StreamsError | None = None
        try:
            for next_done in asyncio.as_completed(asked):
                try:
                    responses.append(await next_done)
                except grpc.aio.AioRpcError as error:
                    problem = _error_of(error)
                    if isinstance(problem, UnavailableError):
                        rounds.on_problem(problem)
                    elif problem.reason in _OF_STREAM or not rounds.is_change:
                        raise problem from None
                    else:
                        # The other cores may apply the change.
                        refusal = problem
                    continue
                if _is_complete(responses):
                    return responses
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        rounds.is_in_flight = False
        # The answered part of a change is applied.
        rounds.may_be_applied |= bool(responses)
        if refusal is not None:
            raise rounds.refused(refusal)
        return None

    async def _call(self, channel: grpc.aio.Channel, method: str, request: Any, response: type[Any], timeout: float) -> Any:
        call: Any = channel.unary_unary(
            f"/minerva.app.v1.StreamService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return await call(request, timeout=timeout, metadata=self._metadata)

    async def _connect(self) -> dict[str, grpc.aio.Channel]:
        """The connections to all addresses that the hosts have now."""
        found = await asyncio.gather(*(address.resolve() for address in self._addresses))
        targets = {target: address for address, all_ in zip(self._addresses, found, strict=True) for target in all_}
        for target in self._channels.keys() - targets.keys():
            await self._channels.pop(target).close()
        for target, address in targets.items():
            if target not in self._channels:
                self._channels[target] = connect(address, target)
        return dict(self._channels)


@dataclass
class _Rounds:
    """The outcome of a request, as far as failed attempts leave it open."""

    is_change: bool
    key: bytes
    problem: str = "not all partitions have a core now"
    may_be_applied: bool = False
    is_in_flight: bool = False

    def on_problem(self, problem: "UnavailableError") -> None:
        self.problem = str(problem)
        self.may_be_applied |= problem.reason != "NOT_OWNER"

    def refused(self, error: StreamsError) -> StreamsError:
        return UnknownOutcomeError(str(error), self.key) if self.may_be_applied else error

    def error(self) -> StreamsError:
        if self.is_change and (self.may_be_applied or self.is_in_flight):
            return UnknownOutcomeError(self.problem, self.key)
        return UnavailableError(self.problem)


def _target(to: Target | int) -> pb.Target:
    return Target(stream=to).to_proto() if isinstance(to, int) else to.to_proto()


def _key(key: bytes | None) -> bytes:
    return secrets.token_bytes(16) if key is None else key


def _contents(messages: Sequence[Content]) -> dict[str, Any]:
    """With kinds only if needed, because a core of release 0.1 reads text of version 2."""
    if isinstance(messages, str | bytes) or not all(isinstance(content, str | bytes) for content in messages):
        raise TypeError("messages are a list of `str` and `bytes`")
    if all(isinstance(content, str) and re.fullmatch("[ -~]*", content) for content in messages):
        return {"messages": [content.encode() for content in messages if isinstance(content, str)]}
    return {
        "contents": [Message(text=content) if isinstance(content, str) else Message(binary=content) for content in messages]
    }


def _outcomes(responses: Iterable[Any]) -> dict[int, SendOutcome]:
    """The outcome of the owner of each stream."""
    names = {
        pb.SEND_OUTCOME_TAKEN: SendOutcome.TAKEN,
        pb.SEND_OUTCOME_REPEATED: SendOutcome.TAKEN,
        pb.SEND_OUTCOME_FULL: SendOutcome.FULL,
        pb.SEND_OUTCOME_ENDED: SendOutcome.ENDED,
        pb.SEND_OUTCOME_NOT_FOUND: SendOutcome.NOT_FOUND,
        pb.SEND_OUTCOME_UNSUPPORTED: SendOutcome.UNSUPPORTED,
    }
    results = (result for response in responses for result in response.results)
    return {result.stream: names[result.outcome] for result in results if result.outcome in names}


def _numbers(responses: Iterable[Any]) -> list[int]:
    return [number for response in responses for number in response.streams]


def _is_complete(responses: Sequence[Any]) -> bool:
    """Whether the responses cover all partitions, or the selected streams."""
    whole = [response for response in responses if isinstance(response, pb.SendManyResponse) or not _has_coverage(response)]
    elsewhere = [
        {result.stream for result in response.results if result.outcome == pb.SEND_OUTCOME_NOT_OWNER}
        for response in whole
        if isinstance(response, pb.SendManyResponse)
    ]
    if len(elsewhere) < len(whole) or (elsewhere and not set.intersection(*elsewhere)):
        return True
    return _is_covered([response.coverage for response in responses if _has_coverage(response)])


def _has_coverage(response: Any) -> bool:
    return "coverage" in response.DESCRIPTOR.fields_by_name and response.HasField("coverage")


def _is_covered(coverages: Sequence[pb.Coverage]) -> bool:
    covered = {partition for coverage in coverages for partition in coverage.partitions}
    return bool(coverages) and 0 < coverages[-1].total == len(covered)


def _error_of(error: grpc.aio.AioRpcError) -> StreamsError:
    """The error of a status, with the details of google.rpc."""
    info, invalid = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for name, value in error.trailing_metadata():
        if name == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                detail.Unpack(info)
                detail.Unpack(invalid)
    if invalid.field_violations:
        return StreamsError(f"{invalid.field_violations[0].field}: {invalid.field_violations[0].description}")
    if info.reason in _OF_STREAM:
        return StreamsError(_OF_STREAM[info.reason], info.reason)
    text = error.details() or error.code().name
    if error.code() in _TRANSIENT:
        return UnavailableError(f"no answer from the cores: {text}", info.reason)
    return StreamsError(f"a core refused: {error.code().name}: {text}", info.reason)
