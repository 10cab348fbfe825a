"""State shared by the tasks and the handles of a service: the session and the wake-ups. Everything runs in one event loop,
so there are no locks."""

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from . import errors
from .events import Content, Ended, Event, Released
from .proto import app_pb2 as pb
from .session import (
    Arrived,
    CallId,
    EndedSignal,
    NoRoomError,
    OverError,
    Readable,
    ReleasedSignal,
    Session,
    Signal,
    Writable,
)
from .session.errors import FinishedError
from .session.stream import StreamState

T = TypeVar("T")


class Phase(enum.IntEnum):
    """The life of a service: running, then draining by `stop`, then stopped once flushed, or at the deadline."""

    RUNNING = 0
    # No new streams and no reads; queued messages are flushed.
    DRAINING = 1
    # All tasks have ended.
    STOPPED = 2


class Notify:
    """Wakes all tasks that wait now."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


class Cell:
    """State of one stream outside of the session, used by the handle of the stream."""

    def __init__(self, started: pb.Started, assignment: int) -> None:
        self.started, self.assignment = started, assignment
        self.number: int = started.stream
        # Wakes the one reader.
        self.readable = asyncio.Event()
        # Wakes all senders that wait for room or confirmation.
        self.writable = Notify()
        self.ended: Ended | None = None

    def wake(self) -> None:
        self.readable.set()
        self.writable.notify()


class Instance:
    """The streams and the phase of a running service."""

    def __init__(self, window: int) -> None:
        self.session = Session(window)
        self.phase = Phase.RUNNING
        # Wakes the waiters for a phase, for streams, and for the end of the drain.
        self.changed = Notify()
        # Wakes the task of each call: commands are ready, or the phase has changed.
        self.calls: dict[CallId, asyncio.Event] = {}
        # The streams that have neither ended nor been released.
        self._cells: dict[int, Cell] = {}
        # Streams not accepted yet. The core bounds their number; the window bounds their size.
        self._arrived: deque[Cell] = deque()
        # Streams held by handlers.
        self._accepted = 0
        self._was_drained = False

    # The service.

    def advance(self, phase: Phase) -> None:
        """Goes on to a phase, unless a later one is reached."""
        self.phase = max(phase, self.phase)
        for cell in self._cells.values():
            cell.wake()
        self.wake_calls()

    async def wait_for_phase(self, phase: Phase) -> None:
        while self.phase < phase:
            await self.changed.wait()

    async def accept(self) -> Cell | None:
        """Waits for a stream to accept; None after a stop."""
        while self.phase is Phase.RUNNING:
            if self._arrived:
                self._accepted += 1
                return self._arrived.popleft()
            await self.changed.wait()
        return None

    @property
    def is_drained(self) -> bool:
        """Whether a stop has begun and all work of the handlers was flushed. Stays true: the end of a call detaches its
        streams."""
        is_flushed = self.phase is not Phase.RUNNING and self._accepted == 0 and self.session.is_flushed()
        if is_flushed and not self._was_drained:
            self._was_drained = True
            self.changed.notify()
        return self._was_drained

    async def until_drained(self) -> None:
        while not self.is_drained and self.phase is not Phase.STOPPED:
            await self.changed.wait()

    def wake_calls(self) -> None:
        """Wakes all calls during a stop, because an event of one call may complete the drain of all."""
        if self.phase is not Phase.RUNNING:
            for wake in self.calls.values():
                wake.set()
        self.changed.notify()

    # The calls.

    def on_response(self, call: CallId, response: pb.ServeResponse) -> None:
        """Applies the events of a core. Raises ContractError."""
        try:
            for event in response.events:
                self.session.on_event(call, event)
        finally:
            for signal in self.session.take_signals():
                self._on_signal(signal)
            self.wake_unsettled_calls()
            if self.phase is not Phase.RUNNING:
                self.wake_calls()

    def end_call(self, call: CallId) -> None:
        self.session.end(call)
        self.calls.pop(call, None)
        self.wake_unsettled_calls()

    def wake_unsettled_calls(self) -> None:
        for call in self.session.unsettled_calls():
            if wake := self.calls.get(call):
                wake.set()

    def _on_signal(self, signal: Signal) -> None:
        if isinstance(signal, Arrived):
            cell = Cell(signal.started, signal.assignment)
            self._cells[cell.number] = cell
            self._arrived.append(cell)
            self.changed.notify()
            return
        over = isinstance(signal, EndedSignal | ReleasedSignal)
        cell_or_none = self._cells.pop(signal.stream, None) if over else self._cells.get(signal.stream)
        if cell_or_none is None:
            return
        cell = cell_or_none
        if isinstance(signal, Readable):
            cell.readable.set()
        elif isinstance(signal, Writable):
            cell.writable.notify()
        elif isinstance(signal, EndedSignal):
            cell.ended = signal.ended
            cell.wake()
        else:
            if cell in self._arrived:
                self._arrived.remove(cell)
            cell.wake()

    # The handles.

    def holds(self, cell: Cell) -> bool:
        """Whether the session still holds the stream under the assignment of this handle. A stream that was at another
        instance meanwhile has a new handle, and the old one must not take its events."""
        return self.session.assignment_of(cell.number) == cell.assignment

    async def read(self, cell: Cell) -> Event:
        """Waits for the next event of a stream. Cancellation loses none."""
        while self.phase is Phase.RUNNING and self.holds(cell):
            cell.readable.clear()
            event = self.session.read(cell.number)
            if event is not None:
                return event
            await cell.readable.wait()
        return Released()

    def change(self, cell: Cell, then: Callable[[StreamState], T]) -> T:
        """Applies an input of a handler, and wakes the call that carries the commands. Raises QueueError."""
        if self.phase is Phase.STOPPED or not self.holds(cell):
            raise OverError
        outcome = self.session.change(cell.number, then)
        call = self.session.call_of(cell.number)
        if call is not None and (wake := self.calls.get(call)):
            wake.set()
        return outcome

    def try_change(self, cell: Cell, then: Callable[[StreamState], object]) -> None:
        """As `change`, without effect on a stream that this instance no longer holds."""
        if self.holds(cell) and self.phase is not Phase.STOPPED:
            self.change(cell, then)
            # Waiting senders must check again: the stream may be over for them.
            cell.writable.notify()

    async def wait(self, cell: Cell, attempt: Callable[[], T]) -> T:
        """Repeats `attempt` until there is room, or the change or message is confirmed. Raises SendError."""
        while True:
            try:
                if self.phase is Phase.STOPPED or not self.holds(cell):
                    raise OverError
                return attempt()
            except NoRoomError:
                await cell.writable.wait()
            except OverError:
                raise errors.StreamOverError from None
            except FinishedError:
                raise errors.StreamFinishedError from None

    def next_send(self, cell: Cell) -> int:
        """Number of the next message of a stream. Raises OverError."""
        if self.phase is Phase.STOPPED or not self.holds(cell):
            raise OverError
        return self.session.next_send(cell.number)

    def check(self, cell: Cell, content: Content) -> None:
        """Raises SendError if the core or the client does not accept the message."""
        if not isinstance(content, str | bytes):
            kind = type(content).__name__
            raise TypeError(f"a message is `str` or `bytes`, not `{kind}`: encode it, or use `send_json`")
        self.session.check(cell.number, content)

    def on_reader_closed(self) -> None:
        """A handler no longer reads its stream."""
        self._accepted -= 1
        self.wake_calls()
