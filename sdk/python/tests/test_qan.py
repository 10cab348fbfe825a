"""QAN: the form of frames, the held events, and a service that answers questions."""

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minerva_app import Content, Message, Stream
from minerva_app.qan import MAX_HELD_EVENTS, MAX_HOLD, Frame, KnownError, Peer, Qan, Unanswered

from .minerva_process import BIN, Client, MinervaProcess, running
from .test_service import serving


@given(st.sampled_from("QKEU#"), st.integers(0, 1 << 53), st.one_of(st.text(), st.binary()))
def test_a_frame_is_parsed_as_it_was_written(kind: str, number: int, body: Content) -> None:
    frame = Frame(kind, 0 if kind == "#" else number, body)
    assert Frame.parse(frame.encode()) == frame
    assert type(frame.encode()) is type(body)


@pytest.mark.parametrize(
    "text", ["", "Q", "1Q", "|Q", "x|01Q", "x|9007199254740993Q", "xC", "C", "x|1C", "x|1Z", "x|1", "x|1é", "x|\u0661Q"]
)
def test_other_messages_are_no_frames(text: str) -> None:
    assert Frame.parse(text) is None
    assert Frame.parse(text.encode()) is None


def test_events_are_acknowledged_in_order_once_handled() -> None:
    held = Unanswered()
    assert held.on_event(1, 5, 0, question=1) is None
    assert held.on_event(2, 5, 0) is None
    assert held.on_event(3, 5, 0, question=2) is None
    assert held.on_answered(2) is None
    assert held.on_answered(1) == 3
    assert held.on_event(4, 5, 0) == 4
    assert held.deadline() is None


def test_the_hold_is_bounded_in_time_count_and_bytes() -> None:
    held = Unanswered()
    held.on_event(1, 5, 10, question=1)
    assert (held.deadline(), held.on_time(10 + MAX_HOLD - 0.1), held.on_time(10 + MAX_HOLD)) == (10 + MAX_HOLD, None, 1)
    for count, given_up in [(MAX_HELD_EVENTS, None), (MAX_HELD_EVENTS + 1, MAX_HELD_EVENTS + 1)]:
        held = Unanswered()
        outcomes = [held.on_event(n, 1, 0, question=1 if n == 1 else None) for n in range(1, count + 1)]
        assert outcomes[-1] == given_up
    held = Unanswered()
    assert [held.on_event(n, size, 0, question=n) for n, size in [(1, 60_000), (2, 5_536), (3, 1)]] == [None, None, 1]


class FullStream:
    """A stream without room, until `room` is set. Records what is sent and acknowledged."""

    id, first_event, first_send = "stream", 1, 0

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.room = asyncio.Event()
        self.done: list[object] = []

    def acknowledge_manually(self) -> None:
        pass

    async def next_event(self) -> Any:
        return await self.events.get()

    def acknowledge(self, event: int) -> None:
        self.done.append(event)

    async def ready(self) -> None:
        await self.room.wait()

    async def send(self, content: Content) -> None:
        await self.room.wait()
        self.done.append(content)

    async def answer(self, event: int, content: Content) -> None:
        await self.room.wait()
        self.done.append((event, content))

    def try_send(self, content: Content) -> None:
        self.done.append(content)

    def deliver(self, event: int, content: str) -> None:
        self.events.put_nowait(Message(event, content))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_no_acknowledgement_overtakes_an_answer_that_waits_for_room() -> None:
    async def run() -> None:
        stream = FullStream()
        serving = asyncio.create_task(Qan(cast(Stream, stream)).serve(on_question))
        stream.deliver(1, "a|1Q")
        await settle()
        stream.deliver(2, "b#")
        stream.deliver(3, "c|2Q")
        await settle()
        assert stream.done == []
        stream.room.set()
        await settle()
        assert stream.done == [(2, "a answered|1K"), (3, "c answered|2K")]
        stream.events.put_nowait(None)
        assert await serving is None

    asyncio.run(run())


def test_a_stop_sends_the_answer_that_waits_for_room() -> None:
    async def run() -> None:
        stream = FullStream()
        serving = asyncio.create_task(Qan(cast(Stream, stream)).serve(on_question))
        stream.deliver(1, "a|1Q")
        await settle()
        stream.events.put_nowait(None)
        assert await serving is None
        assert stream.done == ["a answered|1K", 1]

    asyncio.run(run())


@pytest.fixture(scope="module")
def minerva() -> Iterator[MinervaProcess]:
    if not BIN.exists():
        pytest.skip(f"{BIN} is missing: cargo build --release")
    with running() as process:
        yield process


async def on_question(peer: Peer, body: Content) -> Content:
    if body == "known":
        raise KnownError("because")
    if body == "fail":
        raise ValueError(body)
    if body == "slow":
        await asyncio.sleep(60)
    if body == "back":
        return f"{await peer.ask('what?')!s}!"
    return f"{body!s} answered"


async def serve(stream: Stream) -> None:
    await Qan(stream).serve(on_question)


def test_questions_in_both_directions(minerva: MinervaProcess) -> None:
    async def run() -> None:
        async with serving(minerva.cores, serve):
            client = await Client.connect(minerva.listen)
            for question, answer in [
                ("a|1Q", "a answered|1K"),
                ("known|2Q", "because|2E"),
                ("fail|3Q", "Uncaught exception|3U"),
                ("back|4Q", "what?|1Q"),
                ("that|1K", "that!|4K"),
                ("back|5Q", "what?|2Q"),
                ("no|2U", "Uncaught exception|5U"),
            ]:
                client.send(question)
                assert await client.recv() == answer
            client.send("slow|6Q")
            client.send("6C")
            assert await client.recv() == "CancelledError|6U"
            client.send("x|9K")
            assert "invalid qid: 9" in await client.recv()
            client.close()

    asyncio.run(run())


def test_an_open_question_is_interrupted_by_a_stop(minerva: MinervaProcess) -> None:
    async def run() -> None:
        async with serving(minerva.cores, serve):
            client = await Client.connect(minerva.listen)
            client.send("a|1Q")
            assert await client.recv() == "a answered|1K"
            client.send("slow|2Q")
            await asyncio.sleep(0.3)
        assert await client.recv() == "interrupted|2U"
        async with serving(minerva.cores, serve):
            client.send("b|3Q")
            assert await client.recv() == "b answered|3K"
            client.close()

    asyncio.run(run())
