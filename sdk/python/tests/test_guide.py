"""Runs the snippets in Python of docs/app-guide.md."""

import asyncio
import os
import pathlib
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest

from minerva_app import Stream

from .guide import snippets
from .minerva_process import BIN, Client, MinervaProcess, running
from .test_service import serving

pytestmark = pytest.mark.skipif(not BIN.exists(), reason=f"{BIN} is missing: cargo build --release")


@pytest.fixture
def minerva() -> Iterator[MinervaProcess]:
    with running() as process:
        yield process


def play(minerva: MinervaProcess, handler: Callable[[Stream], Awaitable[None]], steps: list[str], **hello: object) -> None:
    """Serves one client: `>text` is sent, other texts must arrive."""

    async def run() -> None:
        async with serving(minerva.cores, handler):
            client = await Client.connect(minerva.listen, **hello)
            for step in steps:
                if step.startswith(">"):
                    client.send(step[1:])
                else:
                    assert await client.recv() == step
            client.close()

    asyncio.run(run())


def test_the_first_program(minerva: MinervaProcess) -> None:
    program = pathlib.Path(__file__).with_name("guide") / "hello.py"
    environment = {**os.environ, "MINERVA_API": minerva.cores, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, program], env=environment)

    async def run() -> None:
        client = await Client.connect(minerva.listen, cred="ann")
        client.send("good morning")
        assert [await client.recv() for _ in range(2)] == ["hello, ann", "good morning"]
        client.close()

    try:
        asyncio.run(run())
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_clients_are_accepted_and_refused(minerva: MinervaProcess) -> None:
    play(minerva, snippets.accept, ["log in first|1!"], cred="wrong")
    play(minerva, snippets.accept, [">hi", "hi"], cred="token of ann")


def test_kinds(minerva: MinervaProcess) -> None:
    play(minerva, snippets.kinds, [">hello", "5 characters"])


def test_groups(minerva: MinervaProcess) -> None:
    snippets.API = minerva.cores

    async def handler(stream: Stream) -> None:
        await stream.set_label("ann")
        await snippets.groups(stream)

    play(minerva, handler, ["the game begins", "it is your turn"])


def test_a_suspect_message(minerva: MinervaProcess) -> None:
    play(minerva, snippets.suspect, [">a", "a"])


def test_effects_happen_once(minerva: MinervaProcess) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE streams (number INTEGER PRIMARY KEY, next INTEGER)")
    database.execute("CREATE TABLE effects (text TEXT)")
    play(minerva, lambda stream: snippets.exactly_once(stream, database), [">a", ">b", "stored 1", "stored 2"])
    assert database.execute("SELECT text FROM effects").fetchall() == [("a",), ("b",)]
