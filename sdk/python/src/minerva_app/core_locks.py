"""At most one call per core: a second call of the same instance would end the first, and each would end the other in turn.

A core is identified by the id in `Registered`. Before that, and if the core sends no id, the configured address is the key,
so the socket addresses of one host name are called one after the other.
"""

import asyncio

from .instance import Notify


class CoreLocks:
    """The cores that have a call."""

    def __init__(self) -> None:
        self._held: dict[str, CoreLock] = {}
        self._released = Notify()

    async def lock(self, core: str) -> "CoreLock":
        """Waits until no call holds this core, and locks it."""
        while core in self._held:
            await self._released.wait()
        lock = CoreLock(self, core)
        self._held[core] = lock
        return lock

    def move(self, lock: "CoreLock", core: str) -> "CoreLock | None":
        """Moves a lock to another key. Returns the lock that held the key."""
        self.release(lock)
        before = self._held.get(core)
        self._held[core] = lock
        return before

    def release(self, lock: "CoreLock") -> None:
        if self._held.get(lock.core) is lock:
            del self._held[lock.core]
        self._released.notify()


class CoreLock:
    """The exclusive right to call one core."""

    def __init__(self, locks: CoreLocks, core: str) -> None:
        self._locks, self.core = locks, core
        self._superseded = asyncio.Event()

    def rekey(self, core: str) -> None:
        """Moves the lock to the id that the core has sent. An earlier call to the same core is superseded: the core has
        ended that call."""
        if core == self.core:
            return
        before = self._locks.move(self, core)
        self.core = core
        if before is not None:
            before._superseded.set()

    async def superseded(self) -> None:
        """Waits until another call has registered with the same core."""
        await self._superseded.wait()

    def release(self) -> None:
        self._locks.release(self)
