"""Keeps one Serve call open to each address of a core, with full-jitter back-off between attempts."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

import grpc.aio

from .addresses import Address, connect
from .call import Call, CallError, Registration, SupersededError
from .core_locks import CoreLock, CoreLocks
from .errors import StartError
from .instance import Instance, Phase

LOOKUP_INTERVAL = 5.0
"""Interval of DNS lookups in seconds: bounds the time until a new core is called."""
CONNECT_TIMEOUT = 5.0
"""Deadline of a connection attempt, in seconds."""
FIRST_PAUSE, LAST_PAUSE = 0.1, 3.0
"""Bounds of the pause after a lost call, in seconds; the bound doubles with each attempt."""

_log = logging.getLogger("minerva_app")


class Backoff:
    """Pauses between attempts: random, below a bound that doubles."""

    def __init__(self) -> None:
        self._bound = FIRST_PAUSE

    def next(self) -> float:
        pause = random.uniform(0, self._bound)  # noqa: S311
        self._bound = min(self._bound * 2, LAST_PAUSE)
        return pause

    def reset(self) -> None:
        self._bound = FIRST_PAUSE


class Connectors:
    """The calls of one service to all addresses."""

    def __init__(
        self,
        instance: Instance,
        registration: Registration,
        metadata: tuple[tuple[str, str], ...],
        on_started: Callable[[StartError | None], bool],
    ) -> None:
        self._instance, self._registration, self._metadata = instance, registration, metadata
        # Takes the outcome of the first registration, and returns whether it was the first one.
        self._on_started = on_started
        self._locks = CoreLocks()

    async def run(self, addresses: list[Address]) -> None:
        """Runs until the service is drained."""
        await asyncio.gather(*(self._keep_connected(address) for address in addresses))

    async def _keep_connected(self, address: Address) -> None:
        """Keeps a connector to each target of one configured address."""
        connectors: dict[str, asyncio.Task[None]] = {}
        drained = asyncio.create_task(self._instance.until_drained())
        resolved = _Resolved()
        try:
            while not drained.done():
                # Without an answer of the name service the last one holds.
                resolved.targets = await address.resolve() or resolved.targets
                for target, task in list(connectors.items()):
                    if task.done():
                        del connectors[target]
                for target in resolved.targets - connectors.keys():
                    connectors[target] = asyncio.create_task(self._keep_calling(address, target, resolved))
                await asyncio.wait([drained], timeout=None if address.is_ip else LOOKUP_INTERVAL)
            await asyncio.gather(*connectors.values())
        finally:
            drained.cancel()
            for task in connectors.values():
                task.cancel()

    async def _keep_calling(self, address: Address, target: str, resolved: "_Resolved") -> None:
        """Calls until the service is drained, or the host no longer resolves to this target."""
        backoff, core = Backoff(), address.key
        while not self._instance.is_drained and self._instance.phase is not Phase.STOPPED:
            try:
                core = await self._call(address, target, core, backoff)
                return
            except SupersededError:
                continue
            except CallError as error:
                if error.is_refusal and self._on_started(StartError(f"a core refused the registration: {error}")):
                    self._instance.advance(Phase.STOPPED)
                    return
                pause = backoff.next()
                _log.warning("the call to the core %s failed, next attempt in %.1f s: %s", target, pause, error)
            if target not in resolved.targets:
                return
            drained = asyncio.create_task(self._instance.until_drained())
            await asyncio.wait([drained], timeout=pause)
            drained.cancel()

    async def _call(self, address: Address, target: str, core: str, backoff: Backoff) -> str:
        """Makes one call, and returns the key of the core once the service is stopped and drained. Raises CallError."""
        drained = asyncio.create_task(self._instance.until_drained())
        opening = asyncio.create_task(self._open(address, target, core))
        try:
            await asyncio.wait([drained, opening], return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return core
            opened = opening.result()
        finally:
            drained.cancel()
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        try:
            self._on_started(None)
            await opened.run()
        except CallError as error:
            # Two processes with one instance id would otherwise end each other's calls without a pause.
            if not error.is_aborted and not error.is_refusal:
                backoff.reset()
            raise
        finally:
            await opened.close()
        return opened.lock.core

    async def _open(self, address: Address, target: str, core: str) -> "_Opened":
        """Waits for the lock of the core, connects and registers."""
        lock = await self._locks.lock(core)
        try:
            channel = connect(address, target)
        except StartError as error:  # a file of TLS, read again, is not valid now
            lock.release()
            raise CallError(str(error)) from None
        opened = _Opened(lock, channel)
        try:
            try:
                await asyncio.wait_for(channel.channel_ready(), CONNECT_TIMEOUT)
            except TimeoutError:
                hint = f": is the core's certificate of this CA, and does it name {address.host}?" if address.tls else ""
                raise CallError(f"no connection{hint}") from None
            opened.call = Call(self._instance, channel, self._metadata)
            await opened.call.register(self._registration, lock)
        except BaseException:
            await opened.close()
            raise
        _log.info("registered `%s` at the core %s", self._registration.service, target)
        return opened


@dataclass
class _Resolved:
    """The targets to which a host name resolves now."""

    targets: frozenset[str] = frozenset()


@dataclass
class _Opened:
    """A call with its lock and connection."""

    lock: CoreLock
    channel: grpc.aio.Channel
    call: Call | None = None

    async def run(self) -> None:
        if self.call is not None:
            await self.call.run(self.lock)

    async def close(self) -> None:
        if self.call is not None:
            self.call.end()
        self.lock.release()
        await self.channel.close()
