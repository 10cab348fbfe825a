"""The snippets in Python of docs/app-guide.md, as the page shows them. tests/pages compares; test_guide.py runs them."""

import sqlite3

from minerva_app import Content, Message, Stream, Streams, Target

API = ""


def user_of(token: str) -> str | None:
    return token.removeprefix("token of ") if token.startswith("token of ") else None


async def accept(stream: Stream) -> None:
    user = user_of(stream.credentials)
    if user is None:
        stream.reset("log in first")
        return
    await stream.set_label(user)  # `Streams` addresses the stream by this label
    stream.set_max_idle(600)
    stream.set_outbox(64 << 10, 100)  # bytes and messages; less than the default
    async for message in stream:
        await stream.send(message)


async def kinds(stream: Stream) -> None:
    async for message in stream:
        if isinstance(message, str):
            await stream.send(f"{len(message)} characters")
        else:
            await stream.send(message)  # the same bytes, binary


async def groups(stream: Stream) -> None:
    await stream.join("lobby")  # a later group send of any program reaches the stream

    async with Streams(API) as streams:  # from this program, or any other one
        sent = await streams.send_to_group("lobby", ["the game begins"])
        for number in sent.full:
            print(f"the outbox of stream {number} is full: the client did not get the message")
        await streams.send(Target(label="ann"), ["it is your turn"])


async def suspect(stream: Stream) -> None:
    if (stream.attempts or 0) > 3:
        stream.reset("this message cannot be processed")
        return
    async for message in stream:
        await stream.send(message)


async def exactly_once(stream: Stream, database: sqlite3.Connection) -> None:
    async for event in stream.events():
        if not isinstance(event, Message):
            continue
        with database:  # one transaction
            if event.event >= next_event(database, stream.number):
                insert_effect(database, event.content)
                set_next_event(database, stream.number, event.event + 1)
        await stream.answer(event, f"stored {event.event}")


def next_event(database: sqlite3.Connection, stream: int) -> int:
    row: tuple[int] | None = database.execute("SELECT next FROM streams WHERE number = ?", (stream,)).fetchone()
    return row[0] if row else 0


def set_next_event(database: sqlite3.Connection, stream: int, event: int) -> None:
    database.execute("INSERT OR REPLACE INTO streams VALUES (?, ?)", (stream, event))


def insert_effect(database: sqlite3.Connection, content: Content) -> None:
    database.execute("INSERT INTO effects VALUES (?)", (content,))
