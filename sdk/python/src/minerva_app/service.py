"""A service: this process as one instance, registered with every core. Start, accept and stop."""

import asyncio
import contextlib
import logging
import os
import re
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType

from .addresses import credentials, parse_addresses
from .call import Registration
from .connector import Connectors
from .errors import StartError
from .instance import Instance, Phase
from .short_hash import short_hash
from .stream import Stream
from .tls import TlsFiles

DRAIN_TIMEOUT = 5.0
"""Deadline for queued messages to become durable after a stop, in seconds."""
WAITING_AFTER = 5.0
"""Time without a registration after which the start is reported as waiting, in seconds."""

_log = logging.getLogger("minerva_app")


class Service:
    """This process as an instance of a service. Accepts the streams that the cores assign.

    Lost calls are retried without limit, and streams survive them, as well as a change of the owning core.

        async def echo(stream: Stream) -> None:
            async for message in stream:
                await stream.send(message)

        asyncio.run(Service("127.0.0.1:7400", name="echo").run(echo))

    `cores` are the addresses of the cores, `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`, as one text with commas
    or as a list; default `MINERVA_API`, else `127.0.0.1:7400`. A host name may resolve to several cores.

    `name` is the name of the service, of a-z, 0-9, '-' and '_'; `default` is the service of the path `/_minerva/`.

    `instance_id` is random by default. A process that keeps its id over a restart gets its streams back at once; with a new
    id the cores wait for `--app-grace` first. Two running processes must not share an id.

    `token` is the secret of `minerva-core token create`; default `MINERVA_TOKEN`. A service name that has a token is served
    by its holders only. `tls` has the files of mutual TLS; default `MINERVA_MTLS_CA`, `MINERVA_MTLS_CERT` and
    `MINERVA_MTLS_KEY`.

    `stream_window_bytes` bounds the messages per stream that are queued for the handler or unacknowledged. Beyond, messages
    wait in the core, then in the client.
    """

    def __init__(
        self,
        cores: str | list[str] | None = None,
        *,
        name: str = "default",
        instance_id: str | None = None,
        stream_window_bytes: int = 256 * 1024,
        token: str | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        if not re.fullmatch(r"[a-z0-9_-]{1,64}", name):
            raise StartError(f"`{name}` cannot name a service: use 1 to 64 of a-z, 0-9, `-` and `_`")
        instance_id = secrets.token_hex(16) if instance_id is None else instance_id
        if not re.fullmatch(r"[!-~]{1,64}", instance_id):
            raise StartError(f"`{instance_id}` is not an instance id: use 1 to 64 of the characters 0x21-0x7E")
        if not 0 < stream_window_bytes < 1 << 32:
            raise StartError(f"a window of {stream_window_bytes} bytes: use 1 to 4294967295")
        self._cores = os.environ.get("MINERVA_API", "127.0.0.1:7400") if cores is None else cores
        self._addresses = parse_addresses(self._cores, tls)
        self._instance = Instance(stream_window_bytes)
        self._registration = Registration(name, instance_id, stream_window_bytes)
        self._metadata = credentials(token)
        self._driver: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the service and returns after the first registration. Unreachable cores are retried without limit, so apps
        and cores may start in any order; a start that waits is logged. Raises StartError if a core refuses the
        registration before another core accepts one. Later refusals are logged and retried."""
        if self._driver is not None:
            raise StartError("the service was started before")
        registered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_started(problem: StartError | None) -> bool:
            if registered.done():
                return False
            if problem is None:
                registered.set_result(None)
            else:
                registered.set_exception(problem)
            return True

        connectors = Connectors(self._instance, self._registration, self._metadata, on_started)
        self._driver = asyncio.create_task(self._drive(connectors))
        try:
            await asyncio.wait([registered, self._driver], timeout=WAITING_AFTER, return_when=asyncio.FIRST_COMPLETED)
            if not registered.done() and not self._driver.done():
                _log.warning(
                    "no core answers yet at %s, so the service `%s` waits: start Minerva, or correct the address",
                    ", ".join(address.key for address in self._addresses),
                    self._registration.service,
                )
                await asyncio.wait([registered, self._driver], return_when=asyncio.FIRST_COMPLETED)
            if not registered.done():
                registered.set_exception(StartError("the service was stopped"))
            await registered
        except BaseException:
            self._instance.advance(Phase.STOPPED)
            raise

    async def accept(self) -> Stream | None:
        """Waits for the next stream assigned to this instance; None once the service is stopped. The caller closes the
        stream, which `run` does for handlers."""
        cell = await self._instance.accept()
        return None if cell is None else Stream(cell, self._instance)

    async def streams(self) -> AsyncIterator[Stream]:
        """The streams, as `accept` returns them."""
        while (stream := await self.accept()) is not None:
            yield stream

    async def run(self, handler: Callable[[Stream], Awaitable[None]], *, handle_signals: bool = True) -> None:
        """Runs `handler` for each stream in a task of its own, until the service is stopped. Starts the service if needed.

        A stream ends with the handler. A handler that returns finishes the stream: the client receives all sent messages
        first. An exception resets the stream at once with the reason `the application failed`; the exception is not sent to
        the client but logged. SIGTERM and SIGINT stop the service, unless `handle_signals` is False."""
        if self._driver is None:
            await self.start()
        handlers: set[asyncio.Task[None]] = set()
        with self._signals() if handle_signals else contextlib.nullcontext():
            async for stream in self.streams():
                task = asyncio.create_task(_handle(handler, stream))
                handlers.add(task)
                task.add_done_callback(handlers.discard)
            await self._instance.wait_for_phase(Phase.STOPPED)
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def stop(self) -> None:
        """Stops the service and waits for the end of the stop, at most about six seconds.

        No more streams are accepted, and handlers receive no more messages. Their streams are released, not reset, and go
        on with another instance or the next start of this program. Queued messages become durable first. Handlers that hold
        their stream longer than five seconds are cut off."""
        self._instance.advance(Phase.DRAINING)
        if self._driver is None:
            self._instance.advance(Phase.STOPPED)
        await self._instance.wait_for_phase(Phase.STOPPED)

    async def __aenter__(self) -> "Service":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _drive(self, connectors: Connectors) -> None:
        """The task of the service."""
        running = asyncio.create_task(connectors.run(self._addresses))
        stopped = asyncio.create_task(self._instance.wait_for_phase(Phase.STOPPED))
        deadline = asyncio.create_task(self._deadline())
        try:
            await asyncio.wait([running, stopped, deadline], return_when=asyncio.FIRST_COMPLETED)
            if deadline.done() and not running.done():
                _log.warning("stopped with unconfirmed messages or open streams")
            if running.done() and (error := running.exception()):
                _log.error("the service has failed", exc_info=error)
        finally:
            for task in (running, stopped, deadline):
                task.cancel()
            await asyncio.gather(running, stopped, deadline, return_exceptions=True)
            self._instance.advance(Phase.STOPPED)

    async def _deadline(self) -> None:
        await self._instance.wait_for_phase(Phase.DRAINING)
        await asyncio.sleep(DRAIN_TIMEOUT)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Stops the service at SIGTERM and SIGINT. Not every loop and thread can handle signals."""
        loop = asyncio.get_running_loop()
        handled = []
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._instance.advance, Phase.DRAINING)
                handled.append(number)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)


async def _handle(handler: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
    is_success = False
    try:
        await handler(stream)
        is_success = True
    except asyncio.CancelledError:
        raise
    except Exception:
        _log.exception("the handler of stream %s failed", short_hash(stream.id))
    finally:
        stream.close(succeeded=is_success)
