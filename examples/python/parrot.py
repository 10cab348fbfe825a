"""The parrot: an app service in Python that answers every message with a copy, without loss or duplicates.
examples/README.md describes the behaviour and the start."""

import asyncio
import os
import re

from minerva_app import Message, Service, SettingError, Stream, StreamOverError

NAME = os.environ.get("MINERVA_SERVICE", "default")


async def parrot(stream: Stream) -> None:
    """Serves one stream from the current position to the end. An event that an earlier process left unacknowledged is
    delivered again and has no answer yet, because `answer` does both in one durable step."""
    if stream.credentials.startswith("refuse:"):
        stream.reset(stream.credentials[7:])
    async for event in stream.events():
        if isinstance(event, Message):
            try:
                await answer(stream, event)
            except StreamOverError:
                pass  # the next event is the end


async def answer(stream: Stream, event: Message) -> None:
    message = event.content
    if isinstance(message, bytes):
        await stream.answer(event, message)
    elif message.startswith("reset:"):
        try:
            stream.reset(message[6:])
        except SettingError:
            stream.reset("no reason")
    elif burst := re.fullmatch("burst:([0-9]{1,5})", message):
        # `send` waits for a slow client. The next event acknowledges this one, so a burst interrupted by a crash is repeated
        # from the start. An app that must not repeat messages sends a single answer, or stores the progress.
        for number in range(int(burst[1])):
            await stream.send(str(number))
    else:
        await stream.answer(event, f"{event.event}:{message}")


async def main() -> None:
    # A constant id of this instance, such as the name of a host or pod: the streams return at once after a restart.
    service = Service(name=NAME, instance_id=os.environ.get("MINERVA_INSTANCE"))
    await service.start()
    print(f"parrot: serving `{NAME}`", flush=True)
    await service.run(parrot)


asyncio.run(main())
