"""A running `minerva`, and a client of version 2 over TCP (docs/protocol.md, sections 2 and 3)."""

import asyncio
import contextlib
import json
import os
import pathlib
import secrets
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator

TREE = pathlib.Path(__file__).parents[3]
BIN = pathlib.Path(os.environ.get("MINERVA_BIN") or TREE / "target" / "release") / "minerva"
READY_TIMEOUT = 20.0


class MinervaProcess:
    """The process with its ports."""

    def __init__(self) -> None:
        self.listen, self.api, self.admin = (free_port() for _ in range(3))
        options = {"listen": self.listen, "api": self.api, "admin": self.admin}
        arguments = [f"--{name}=127.0.0.1:{port}" for name, port in options.items()]
        self._data = tempfile.TemporaryDirectory()
        self._command = [str(BIN), *arguments, "--demo=off", "--app-grace=1s", f"--data-dir={self._data.name}"]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_TIMEOUT
        while not self._is_ready():
            assert time.monotonic() < deadline, "minerva is not ready"
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._data.cleanup()

    @property
    def cores(self) -> str:
        return f"127.0.0.1:{self.api}"

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=1).status == 200)
        return False


class Client:
    """A client of version 2 over one TCP transport, which acknowledges nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._sent = 0

    @classmethod
    async def connect(cls, port: int, **hello: object) -> "Client":
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client._writer.write(b"<int32/>\n")
        keys = {"ver": 2, "tnum": 0, "id": secrets.token_hex(13), "new": True, "ming": True, "maxia": 10}
        client._frame(json.dumps({**keys, "eeds": None, "seenack": "|-1", **hello}) + "H")
        return client

    def send(self, text: str) -> None:
        if self._sent == 0:
            self._frame("0N")
        self._sent += 1
        self._frame(text + " ")

    async def recv(self) -> str:
        """The next message, or the frame that ends the stream."""
        while True:
            length = int.from_bytes(await asyncio.wait_for(self._reader.readexactly(4), 10), "big")
            frame = (await self._reader.readexactly(length)).decode()
            if frame[-1] in " !":
                return frame.removesuffix(" ")

    def close(self) -> None:
        self._writer.close()

    def _frame(self, frame: str) -> None:
        self._writer.write(len(frame).to_bytes(4, "big") + frame.encode())


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextlib.contextmanager
def running() -> Iterator[MinervaProcess]:
    process = MinervaProcess()
    try:
        yield process
    finally:
        process.kill()
