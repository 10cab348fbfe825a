"""One Serve call: registers the instance, then passes events to the session and commands to the core. Used by the
connector. Independent of other calls and of the meaning of the events."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from .core_locks import CoreLock
from .instance import Instance
from .proto import app_pb2 as pb
from .session import CallId, ContractError

REGISTER_TIMEOUT = 10.0
"""Deadline of the answer to a registration, in seconds."""
CLOSE_TIMEOUT = 1.0
"""Deadline for the core to end a call after this side has ended its half, in seconds."""
PROBE_INTERVAL = 0.2
"""Pause between two probes of the outboxes of finished streams, at a core of release 0.1."""
REQUEST_BYTES = 256 * 1024
"""Target size of a request. With one message of maximal length on top, a request stays below 4 MiB."""
FEATURES = ["claim-tags", "ack-timeout", "finish", "sync", "message-kinds", "sessions"]

_log = logging.getLogger("minerva_app")
_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
}


class CallError(Exception):
    """The reason for the end of a call."""

    is_refusal = False
    """A retry cannot succeed unless the configuration of a side changes."""
    is_aborted = False
    """Another call with the same instance id has ended this one."""

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> "CallError":
        call_error = cls(f"{error.code().name}: {error.details()}")
        call_error.is_refusal = error.code() in _REFUSALS
        call_error.is_aborted = error.code() is grpc.StatusCode.ABORTED
        return call_error


class SupersededError(CallError):
    """Another call to the same core over another address is in progress."""


@dataclass(frozen=True)
class Registration:
    """The constant part of the registration."""

    service: str
    instance_id: str
    window: int

    def register(self, held_streams: list[int], held: list[pb.Held]) -> pb.Register:
        return pb.Register(
            service=self.service,
            instance_id=self.instance_id,
            stream_window_bytes=self.window,
            held_streams=held_streams,
            held=held,
            max_version=1,
            features=FEATURES,
        )


class Call:
    """One call over a channel."""

    def __init__(self, instance: Instance, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._instance = instance
        serve: Any = channel.stream_stream(
            "/minerva.app.v1.AppService/Serve",
            request_serializer=pb.ServeRequest.SerializeToString,
            response_deserializer=pb.ServeResponse.FromString,
        )
        self._stream: Any = serve(metadata=metadata)
        self._id: CallId
        self._wake = asyncio.Event()

    async def register(self, registration: Registration, lock: CoreLock) -> None:
        """Registers, and moves the lock to the id of the core. Raises CallError."""
        session = self._instance.session
        self._id, held_streams = session.begin()
        self._instance.calls[self._id] = self._wake
        register = registration.register(held_streams, session.held(held_streams))
        try:
            async with asyncio.timeout(REGISTER_TIMEOUT):
                await self._write([pb.Command(register=register)])
                while not session.is_registered(self._id):
                    response = await self._read()
                    for event in response.events:
                        if event.HasField("registered") and event.registered.core_id:
                            lock.rekey(event.registered.core_id)
                    self._apply(response)
        except TimeoutError:
            raise CallError("the core did not answer the registration in time") from None

    async def run(self, lock: CoreLock) -> None:
        """Exchanges events and commands until the call breaks (CallError), or the service is stopped and drained."""
        tasks = [asyncio.create_task(part) for part in (self._receive(), self._send(), lock.superseded())]
        if self._instance.session.needs_probes(self._id):
            tasks.append(asyncio.create_task(self._probe()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if tasks[2] in done:
                raise SupersededError("superseded by a call to the same core over another address")
            await self._close(tasks[0])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def end(self) -> None:
        """Ends the call in the session, and cancels the call."""
        if hasattr(self, "_id"):
            self._instance.end_call(self._id)
        self._stream.cancel()

    async def _receive(self) -> None:
        while True:
            self._apply(await self._read())

    async def _send(self) -> None:
        """Sends ready commands. Returns once the service is drained."""
        session = self._instance.session
        while not self._instance.is_drained:
            if self._id in session.unsettled_calls():
                raise CallError("a partition was claimed under an older epoch than that of a lost call")
            # Commands that become ready during the write are batched into the next request.
            if commands := session.take_commands(self._id, REQUEST_BYTES):
                await self._write(commands)
                continue
            self._wake.clear()
            await self._wake.wait()

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_INTERVAL)
            if commands := self._instance.session.probes(self._id):
                await self._write(commands)

    async def _close(self, receiver: asyncio.Task[None]) -> None:
        # A late end of the call has no consequence.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._stream.done_writing()
        await asyncio.wait([receiver], timeout=CLOSE_TIMEOUT)

    async def _write(self, commands: list[pb.Command]) -> None:
        try:
            await self._stream.write(pb.ServeRequest(commands=commands))
        except grpc.aio.AioRpcError as error:
            raise CallError.of(error) from None
        except asyncio.InvalidStateError:
            # The call is over; the reader has the status.
            raise await self._status() from None

    async def _read(self) -> pb.ServeResponse:
        try:
            response: Any = await self._stream.read()
        except grpc.aio.AioRpcError as error:
            raise CallError.of(error) from None
        if isinstance(response, pb.ServeResponse):
            return response
        raise await self._status()

    async def _status(self) -> CallError:
        code = await self._stream.code()
        error = CallError(f"{code.name}: {await self._stream.details()}")
        error.is_refusal, error.is_aborted = code in _REFUSALS, code is grpc.StatusCode.ABORTED
        return CallError("the core ended the call") if code is grpc.StatusCode.OK else error

    def _apply(self, response: pb.ServeResponse) -> None:
        for event in response.events:
            _log_invalid(event)
        try:
            self._instance.on_response(self._id, response)
        except ContractError as error:
            raise CallError(f"the core broke the contract: {error}") from None
        self._wake.set()


def _log_invalid(event: pb.Event) -> None:
    """Logs the refusal of an invalid command, which the checks of this SDK should prevent."""
    kind = event.WhichOneof("event")
    refused = event.command_refused if kind == "command_refused" else event.send_refused
    is_invalid = kind == "send_refused" and event.send_refused.reason in (
        pb.SEND_REFUSED_REASON_INVALID,
        pb.SEND_REFUSED_REASON_UNSUPPORTED,
    )
    if kind == "command_refused" or is_invalid:
        _log.error("the core refused an invalid command of stream %d: %s", refused.stream, refused.detail)
