"""The application of the drill. A client's message names what goes wrong: `die` kills the first three processes that
receive the message, `hang` blocks the handler of the first one; every other message is answered."""
import asyncio
import os
import signal

from minerva_app import Message, Service, Stream


async def serve(stream: Stream) -> None:
    async for event in stream.events():
        if not isinstance(event, Message):
            continue
        if event.content == "die" and (event.attempts or 1) <= 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if event.content == "hang" and (event.attempts or 1) == 1:
            await asyncio.sleep(3600)
        await stream.answer(event, event.content)


asyncio.run(Service(os.environ["MINERVA_API"].split(",")).run(serve))
