import asyncio

from minerva_app import Service, Stream


async def greet(stream: Stream) -> None:
    await stream.send(f"hello, {stream.credentials}")
    async for message in stream:
        await stream.send(message)


asyncio.run(Service().run(greet))
