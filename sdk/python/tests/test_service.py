"""The SDK with a running `minerva`."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from minerva_app import (
    Message,
    OutboxFullError,
    SendOutcome,
    Service,
    SettingError,
    StartError,
    Stream,
    StreamOverError,
    Streams,
    StreamsError,
    Target,
    TransportChanged,
    UnavailableError,
    UnsupportedMessageError,
)

from .minerva_process import BIN, Client, MinervaProcess, free_port, running

pytestmark = pytest.mark.skipif(not BIN.exists(), reason=f"{BIN} is missing: cargo build --release")


@pytest.fixture(scope="module")
def minerva() -> Iterator[MinervaProcess]:
    with running() as process:
        yield process


@contextlib.asynccontextmanager
async def serving(cores: str, handler: Callable[[Stream], Awaitable[None]]) -> AsyncIterator[Service]:
    service = Service(cores, instance_id="test")
    await service.start()
    task = asyncio.create_task(service.run(handler, handle_signals=False))
    try:
        yield service
    finally:
        await service.stop()
        await task


async def echo(stream: Stream) -> None:
    async for event in stream.events():
        if isinstance(event, Message):
            await stream.answer(event, f"{event.event}:{event.content!r}")


def test_messages_are_answered_in_order(minerva: MinervaProcess) -> None:
    async def run() -> None:
        async with serving(minerva.cores, echo):
            client = await Client.connect(minerva.listen)
            for number in range(300):
                client.send(f"m{number}")
            assert [await client.recv() for _ in range(300)] == [f"{n + 1}:'m{n}'" for n in range(300)]
            client.close()

    asyncio.run(run())


def test_the_end_of_a_handler_delivers_all_messages(minerva: MinervaProcess) -> None:
    async def goodbye(stream: Stream) -> None:
        for number in range(200):
            await stream.send(str(number))

    async def run() -> None:
        async with serving(minerva.cores, goodbye):
            client = await Client.connect(minerva.listen)
            assert [await client.recv() for _ in range(200)] == [str(number) for number in range(200)]
            client.close()

    asyncio.run(run())


def test_the_error_of_a_handler_is_logged_and_resets_the_stream(
    minerva: MinervaProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(stream: Stream) -> None:
        raise ValueError("confidential")

    async def run() -> None:
        async with serving(minerva.cores, fail):
            client = await Client.connect(minerva.listen)
            assert await client.recv() == "the application failed|0!"
            client.close()

    with caplog.at_level(logging.ERROR, "minerva_app"):
        asyncio.run(run())
    assert "confidential" in caplog.text


def test_invalid_messages_and_names_are_rejected_and_the_stream_goes_on(minerva: MinervaProcess) -> None:
    async def check(stream: Stream) -> None:
        contents: list[tuple[str | bytes, int | None]] = [("é", 0), ("a\n", 1), (b"a", None)]
        for content, position in contents:
            with pytest.raises(UnsupportedMessageError) as problem:
                await stream.send(content)
            assert problem.value.position == position
        with pytest.raises(TypeError, match="send_json"):
            await stream.send({"a": 1})  # type: ignore[arg-type]
        with pytest.raises(SettingError):
            await stream.join("a b")
        with pytest.raises(SettingError):
            stream.reset("x" * 256)
        await stream.send_json({"é": 1})

    async def run() -> None:
        async with serving(minerva.cores, check):
            client = await Client.connect(minerva.listen)
            assert await client.recv() == '{"\\u00e9":1}'
            client.close()

    asyncio.run(run())


def test_a_full_outbox_is_reported_and_waited_for(minerva: MinervaProcess) -> None:
    outcome: asyncio.Future[int]

    async def flood(stream: Stream) -> None:
        stream.set_outbox(10_000, 50)
        sent = 0
        with contextlib.suppress(OutboxFullError):
            for sent in range(100_000):  # noqa: B007
                stream.try_send("x" * 100)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.ready(), 0.3)
        outcome.set_result(sent)
        stream.reset("enough")
        with pytest.raises(StreamOverError):
            await stream.send("more")

    async def run() -> None:
        nonlocal outcome
        outcome = asyncio.get_running_loop().create_future()
        async with serving(minerva.cores, flood):
            client = await Client.connect(minerva.listen)
            assert await asyncio.wait_for(outcome, 10) > 10
            client.close()

    asyncio.run(run())


def test_streams_reach_labels_and_groups(minerva: MinervaProcess) -> None:
    async def member(stream: Stream) -> None:
        await stream.set_label("ann")
        await stream.join("lobby")
        await stream.send("joined")
        async for _ in stream:
            pass

    async def run() -> None:
        async with serving(minerva.cores, member), Streams(minerva.cores, timeout=5) as streams:
            client = await Client.connect(minerva.listen)
            assert await client.recv() == "joined"
            ann = Target(label="ann")
            # A second send under one key takes effect once.
            for _ in range(2):
                assert list((await streams.send(ann, ["hello"], key=b"k")).values()) == [SendOutcome.TAKEN]
            assert (await streams.send_to_group("lobby", ["all"])).taken == 1
            assert [await client.recv() for _ in range(2)] == ["hello", "all"]
            (info,) = await streams.get(ann)
            assert (info.label, info.groups, info.is_served) == ("ann", ["lobby"], True)
            assert info.stream in [one.stream for one in await streams.list_streams()]
            assert (await streams.send_many([info.stream, 12345], ["many"]))[12345] is SendOutcome.NOT_FOUND
            assert await client.recv() == "many"
            assert await streams.leave(ann, "lobby") == [info.stream]
            assert (await streams.send_to_group("lobby", ["nobody"])).taken == 0
            assert await streams.reset(ann, "bye") == [info.stream]
            assert await client.recv() == "bye|1!"
            with pytest.raises(StreamsError) as problem:
                await streams.send(info.stream, ["late"])
            assert problem.value.reason in ("STREAM_ENDED", "STREAM_NOT_FOUND")
            with pytest.raises(StreamsError, match="group"):
                await streams.send_to_group("a b", ["x"])
            client.close()

    asyncio.run(run())


def test_transports_and_the_properties_of_a_stream(minerva: MinervaProcess) -> None:
    async def describe(stream: Stream) -> None:
        assert stream.id not in repr(stream)
        event = await stream.next_event()
        changed = isinstance(event, TransportChanged) and event.attached and event.transports == 1
        await stream.send_json([stream.credentials, stream.peer_address, stream.is_resumed, stream.first_event, changed])
        await stream.durable()

    async def run() -> None:
        async with serving(minerva.cores, describe):
            client = await Client.connect(minerva.listen, cred="secret")
            assert await client.recv() == '["secret","127.0.0.1",false,0,true]'
            client.close()

    asyncio.run(run())


def test_a_stop_releases_streams_to_the_next_start(minerva: MinervaProcess) -> None:
    async def run() -> None:
        async with serving(minerva.cores, echo):
            client = await Client.connect(minerva.listen)
            client.send("one")
            assert await client.recv() == "1:'one'"
        client.send("two")
        async with serving(minerva.cores, echo):
            assert await client.recv() == "2:'two'"
            client.close()

    asyncio.run(run())


def test_invalid_options_are_rejected_at_the_start() -> None:
    for invalid in ["", "ftp://a:1", "a:b", "http://a:1/x", ","]:
        with pytest.raises(StartError):
            Service(invalid)
    for options in [{"name": "A"}, {"name": ""}, {"instance_id": "a b"}, {"stream_window_bytes": 0}]:
        with pytest.raises(StartError):
            Service("a:1", **options)  # type: ignore[arg-type]


def test_a_refused_registration_and_an_unreachable_core(minerva: MinervaProcess) -> None:
    async def run() -> None:
        async with Streams(f"127.0.0.1:{free_port()}", timeout=1) as streams:
            with pytest.raises(UnavailableError):
                await streams.get(5)
        # The edges' port speaks no gRPC: the start waits.
        service = Service(f"127.0.0.1:{free_port()}")
        starting = asyncio.create_task(service.start())
        await asyncio.sleep(0.2)
        await asyncio.wait_for(service.stop(), 3)
        with pytest.raises(StartError):
            await starting

    asyncio.run(run())
