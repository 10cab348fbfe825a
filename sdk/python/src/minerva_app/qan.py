"""QAN: questions, answers and notifications over the messages of a stream, the same in both directions. Optional.

A body is text or binary, as the message that carries the body.

A stream survives the death of this process: the next one answers the questions that were open, and those that were
delivered and not begun, with the unknown error `interrupted`. A question that is open for more than 30 s, or with more than
100 messages or 64 KiB behind it, is acknowledged before its answer: after a death of the process it has no answer. A
question may run again if the core could not count the death, so a question with effects needs to be idempotent. An ack
timeout must be above 60 s.

    async def serve(stream: Stream) -> None:
        await Qan(stream).serve(on_question)

    async def on_question(peer: Peer, body: Content) -> Content:
        await peer.notify("adding")
        return str(sum(int(number) for number in str(body).split("+")))
"""

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .errors import MinervaError, SendError, StreamOverError
from .events import Content, Ended, Message, Rejoined, Released
from .session.incoming import size_of
from .short_hash import short_hash
from .stream import Stream

MAX_PENDING = 1000
"""Most open questions to the client, cancelled ones included."""
MAX_CONCURRENT = 1000
"""Most questions and notifications of one client that are handled at a time."""
MAX_HELD_EVENTS, MAX_HELD_BYTES, MAX_HOLD = 100, 64 * 1024, 30.0
"""Most events, bytes and seconds behind an open question whose event is not acknowledged."""
_MAX_NUMBER = 1 << 53

_log = logging.getLogger("minerva_app")


class KnownError(MinervaError):
    """Raised by the handler of a question: the body is the answer, and an error. Raised by `ask`: the answer is an error
    that the client knows."""

    def __init__(self, body: Content) -> None:
        super().__init__(f"known error: {body if isinstance(body, str) else 'a binary body'}")
        self.body = body


class UnknownError(MinervaError):
    """The client has failed to answer. The body is a reason for a log, such as `interrupted`."""

    def __init__(self, body: Content) -> None:
        super().__init__(f"unknown error: {body if isinstance(body, str) else 'a binary body'}")
        self.body = body


class TooManyQuestionsError(MinervaError):
    """1,000 questions have no answer."""


@dataclass(frozen=True)
class Frame:
    """One QAN frame: kind Q(uestion), K (okay), E (known error), U(nknown error), C(ancel), or # (notification)."""

    kind: str
    number: int
    body: Content

    @classmethod
    def parse(cls, message: Content) -> "Frame | None":
        text = message if isinstance(message, str) else message.decode("latin-1")
        if text.endswith("#"):
            return cls("#", 0, message[:-1])
        form = re.fullmatch(r"(?:(.*)\|)?(0|[1-9][0-9]{0,15})([QKEUC])", text, re.DOTALL)
        if form is None or int(form[2]) > _MAX_NUMBER or (form[3] == "C") is not (form[1] is None):
            return None
        return cls(form[3], int(form[2]), message[: len(form[1] or "")])

    def encode(self) -> Content:
        suffix = {"#": "#", "C": f"{self.number}C"}.get(self.kind, f"|{self.number}{self.kind}")
        if self.kind == "C":
            return suffix
        return self.body + suffix if isinstance(self.body, str) else self.body + suffix.encode()


class Unanswered:
    """The events of questions that are not acknowledged yet, with those behind them. An event is acknowledged once the
    question and all events before it are handled, or the hold is too long. Pure; each method returns the event to
    acknowledge."""

    def __init__(self) -> None:
        # Event, bytes, time, and number of the open question.
        self._events: deque[tuple[int, int, float, int | None]] = deque()
        self._bytes = 0

    def on_event(self, event: int, size: int, now: float, question: int | None = None) -> int | None:
        self._events.append((event, size, now, question))
        self._bytes += size
        given_up = None
        while len(self._events) > MAX_HELD_EVENTS or self._bytes > MAX_HELD_BYTES:
            given_up = self._pop()
        released = self._release()
        return given_up if released is None else released

    def on_answered(self, number: int) -> int | None:
        for index, (event, size, since, question) in enumerate(self._events):
            if question == number:
                self._events[index] = (event, size, since, None)
                break
        return self._release()

    def deadline(self) -> float | None:
        return self._events[0][2] + MAX_HOLD if self._events else None

    def on_time(self, now: float) -> int | None:
        given_up = None
        while self._events and self._events[0][2] + MAX_HOLD <= now:
            given_up = self._pop()
        released = self._release()
        return given_up if released is None else released

    def _release(self) -> int | None:
        last = None
        while self._events and self._events[0][3] is None:
            last = self._pop()
        return last

    def _pop(self) -> int:
        event, size, _, _ = self._events.popleft()
        self._bytes -= size
        return event


class Peer:
    """Asks and notifies the client of a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        # Questions up to this number may have been sent by an earlier process, which had one send for each at least.
        self._earlier = stream.first_send
        self._next = self._earlier + 1
        # By number. None after a cancellation, while the answer is outstanding.
        self._waiting: dict[int, asyncio.Future[Content] | None] = {}
        self._is_closed = False
        # Numbers follow the order of sending, also if a question waits for room.
        self._turn = asyncio.Lock()

    async def ask(self, body: Content) -> Content:
        """Asks the client and waits for the answer. A cancellation cancels the question. Raises KnownError, UnknownError,
        TooManyQuestionsError, or SendError."""
        async with self._turn:
            if self._is_closed:
                raise StreamOverError
            if len(self._waiting) >= MAX_PENDING:
                raise TooManyQuestionsError("too many questions without an answer")
            number = self._next
            await self.stream.send(Frame("Q", number, body).encode())
            self._next += 1
            answer: asyncio.Future[Content] = asyncio.get_running_loop().create_future()
            self._waiting[number] = answer
        try:
            return await answer
        except asyncio.CancelledError:
            if self._waiting.get(number) is not None:
                self._waiting[number] = None
                # Best effort: without room the client answers in vain.
                _try(lambda: self.stream.try_send(Frame("C", number, "").encode()))
            raise

    async def notify(self, body: Content) -> None:
        """Sends a notification."""
        await self.stream.send(Frame("#", 0, body).encode())

    def on_answer(self, frame: Frame) -> bool:
        """Applies an answer. False if there is no such question."""
        if frame.number <= self._earlier:
            return True
        if frame.number not in self._waiting:
            return False
        answer = self._waiting.pop(frame.number)
        if answer is None or answer.done():
            return True
        if frame.kind == "K":
            answer.set_result(frame.body)
        else:
            answer.set_exception(KnownError(frame.body) if frame.kind == "E" else UnknownError(frame.body))
        return True

    def close(self) -> None:
        """Fails all open questions and all later ones."""
        self._is_closed = True
        for answer in self._waiting.values():
            if answer is not None and not answer.done():
                answer.set_exception(StreamOverError())
        self._waiting.clear()


Answer = Frame | asyncio.Future[Content]
"""The answer to a question: known, or that of the running handler."""
QuestionHandler = Callable[[Peer, Content], Awaitable[Content]]
NotificationHandler = Callable[[Peer, Content], Awaitable[None]]


class Qan:
    """Serves the questions and notifications of one stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._at_start = stream.first_event == 0
        stream.acknowledge_manually()
        self.peer = Peer(stream)
        self._unanswered = Unanswered()
        self._questions: dict[int, tuple[Answer, asyncio.Task[None]]] = {}
        self._notifications: set[asyncio.Task[None]] = set()
        self._is_broken = False

    async def serve(self, on_question: QuestionHandler, on_notification: NotificationHandler | None = None) -> Ended | None:
        """Handles questions and notifications at the same time, up to 1,000. Returns the end of the stream; None if the
        stream was released. A question that raises KnownError is answered with the body; another error is logged, and the
        client gets the unknown error `Uncaught exception`."""
        if self._at_start:
            self._stream.acknowledge(0)
        timer = asyncio.create_task(self._watch_time())
        try:
            while True:
                event = await self._stream.next_event()
                if isinstance(event, Message):
                    self._on_message(event, on_question, on_notification)
                elif isinstance(event, Rejoined):
                    self._acknowledge(self._unanswered.on_event(event.event, 0, time.monotonic()))
                elif isinstance(event, Ended):
                    return event
                elif event is None or isinstance(event, Released):
                    for number in list(self._questions):
                        self._interrupt(number)
                    return None
        finally:
            timer.cancel()
            self.peer.close()
            for handled in self._questions.values():
                _cancel(handled)
            for notification in self._notifications:
                notification.cancel()

    def _on_message(
        self, event: Message, on_question: QuestionHandler, on_notification: NotificationHandler | None
    ) -> None:
        if self._is_broken:
            self._stream.acknowledge(event)
            return
        frame = Frame.parse(event.content)
        if frame is None:
            self._reset("Bad QAN frame.  Did peer send a non-QAN string?")
            return
        size, now = size_of(event.content), time.monotonic()
        question = frame.number if frame.kind == "Q" else None
        self._acknowledge(self._unanswered.on_event(event.event, size, now, question))
        handled = len(self._questions) + len(self._notifications)
        if frame.kind == "Q":
            if frame.number in self._questions:
                self._reset(f"QANHelper said: Received Question with duplicate qid: {frame.number}")
                return
            handling: Answer = Frame("U", frame.number, "interrupted")
            if (event.attempts or 0) <= 1:
                handling = Frame("U", frame.number, "Too many questions")
                if handled < MAX_CONCURRENT:
                    handling = asyncio.ensure_future(on_question(self.peer, frame.body))
            self._questions[frame.number] = handling, asyncio.create_task(self._answer(frame, handling))
        elif frame.kind == "#":
            if handled >= MAX_CONCURRENT:
                self._reset("too many notifications at once")
            elif on_notification is not None:
                task = asyncio.create_task(self._notify(on_notification, frame.body))
                self._notifications.add(task)
                task.add_done_callback(self._notifications.discard)
        elif frame.kind == "C":
            # A question that has not begun is cancelled as well, and answered.
            running = self._questions.get(frame.number)
            if running and isinstance(running[0], asyncio.Future):
                running[0].cancel()
        elif not self.peer.on_answer(frame):
            self._reset(f"QANHelper said: Received an answer with invalid qid: {frame.number}")

    async def _answer(self, question: Frame, handling: Answer) -> None:
        number = question.number
        if isinstance(handling, Frame):
            answer = handling
        else:
            try:
                answer = Frame("K", number, await handling)
            except KnownError as error:
                answer = Frame("E", number, error.body)
            except asyncio.CancelledError:
                if not handling.cancelled() or number not in self._questions:
                    raise
                answer = Frame("U", number, "CancelledError")
            except Exception:
                _log.exception("a question of stream %s failed", short_hash(self._stream.id))
                answer = Frame("U", number, "Uncaught exception")
        if number not in self._questions:
            return  # interrupted
        self._questions[number] = answer, self._questions[number][1]
        try:
            # The question stays open while its answer waits for room: no acknowledgement overtakes the answer.
            await self._stream.ready()
        except SendError:
            self._questions.pop(number, None)
            return  # over or finished
        # From here to the queueing of the answer nothing else runs: the room is still there.
        if self._questions.pop(number, None) is None:
            return
        due = self._unanswered.on_answered(number)
        try:
            await self._send(answer, due)
        except StreamOverError:
            pass
        except (SendError, TypeError) as error:
            _log.error("an answer of stream %s is not a valid message: %s", short_hash(self._stream.id), error)
            await self._send(Frame("U", number, "Uncaught exception"), due)

    async def _send(self, answer: Frame, due: int | None) -> None:
        if due is None:
            await self._stream.send(answer.encode())
        else:
            await self._stream.answer(due, answer.encode())

    async def _notify(self, handler: NotificationHandler, body: Content) -> None:
        try:
            await handler(self.peer, body)
        except Exception:
            _log.exception("a notification of stream %s failed", short_hash(self._stream.id))

    async def _watch_time(self) -> None:
        while True:
            now, deadline = time.monotonic(), self._unanswered.deadline()
            await asyncio.sleep(1 if deadline is None else min(max(deadline - now, 0), 1))
            self._acknowledge(self._unanswered.on_time(time.monotonic()))

    def _interrupt(self, number: int) -> None:
        handled = self._questions.pop(number)
        _cancel(handled)
        # An answer that waits for room is known already.
        answer = handled[0] if isinstance(handled[0], Frame) else Frame("U", number, "interrupted")
        # Without room the question stays unacknowledged, and the next instance answers it.
        if _try(lambda: self._stream.try_send(answer.encode())):
            self._acknowledge(self._unanswered.on_answered(number))

    def _acknowledge(self, due: int | None) -> None:
        if due is not None:
            self._stream.acknowledge(due)

    def _reset(self, reason: str) -> None:
        self._is_broken = True
        self.peer.close()
        self._stream.reset(reason)


def _cancel(question: tuple[Answer, asyncio.Task[None]]) -> None:
    handling, task = question
    task.cancel()
    if isinstance(handling, asyncio.Future):
        handling.cancel()


def _try(send: Callable[[], None]) -> bool:
    try:
        send()
    except (SendError, TypeError):
        return False
    return True
