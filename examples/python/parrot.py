"""The parrot: an app service in Python that answers every message with a copy, without loss or duplicates.
examples/README.md describes the behaviour and the start; proto/minerva/app/v1/app.proto is the contract."""
import asyncio, os, pathlib, random, re, signal, sys, uuid
import grpc

sys.path.insert(0, os.environ.get("MINERVA_PROTO") or str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
pb, services = grpc.protos_and_services("minerva/app/v1/app.proto")  # compiled on import
SERVICE = os.environ.get("MINERVA_SERVICE", "default")
INSTANCE = os.environ.get("MINERVA_INSTANCE") or uuid.uuid4().hex  # constant while this process lives
CORES = os.environ.get("MINERVA_API", "http://127.0.0.1:7400").replace("http://", "").split(",")
OPTIONS = {"grpc.max_receive_message_length": 8 << 20, "grpc.keepalive_time_ms": 10_000,
           "grpc.max_reconnect_backoff_ms": 1_000}
streams = {}  # all streams of this instance, by number; they survive calls and move between cores


def answers_to(event, message):
    """Returns the messages that answer a message."""
    burst = re.fullmatch("burst:([0-9]{1,5})", message)
    return [str(number) for number in range(int(burst[1]))] if burst else [f"{event}:{message}"]


class Stream:
    """The stream of a client, attached to the call of its last Started. Unconfirmed answers survive a new attachment."""

    def __init__(self, started, call, old):
        self.number, self.id, self.epoch, self.call = started.stream, started.stream_id, started.epoch, call
        self.first, self.room = started.next_send, started.send_state
        self.delivered = max(started.next_event, 1) - 1  # last event delivered on this call, or acknowledged before
        self.answered = max(self.delivered, old.answered if old else 0)  # last event with an answer
        self.answers = old.answers[self.first - old.first:] if old else []  # (message, event, last of its event)
        self.sent = self.first  # next message to send; earlier ones are in flight
        if started.credentials.startswith("refuse:"):
            self.reset(started.credentials[7:])

    def reset(self, reason):
        self.call.put_nowait({"reset": pb.Reset(stream=self.number, reason=reason[:255], application_level=True)})

    def on_message(self, event, message):
        self.delivered = event
        if message.startswith("reset:"):
            self.reset(message[6:])
        elif event > self.answered:  # otherwise redelivered after a lost call
            messages, self.answered = answers_to(event, message), event
            self.answers += [(message, event, count == len(messages)) for count, message in enumerate(messages, 1)]
            if not self.answers:  # no message can carry the acknowledgement
                self.call.put_nowait({"acknowledge": pb.Acknowledge(stream=self.number, event=event)})

    def send(self):
        """Sends messages within the credit, one Send at a time. The last message of an answer carries the acknowledgement
        of its event: the core takes both or neither, so an event redelivered after a crash has no answer yet."""
        if self.room.next_send != self.sent or self.room.paused or self.room.bytes_left == 0:
            return
        del self.answers[:self.sent - self.first]  # durable
        self.first, batch, size, acknowledged = self.sent, [], 0, None
        for message, event, is_last in self.answers[:self.room.messages_left]:
            size += len(message)
            if event > self.delivered or batch and size > min(self.room.bytes_left, 128 << 10):
                break
            batch.append(message.encode())
            acknowledged = event if is_last else acknowledged
        if batch:
            send = pb.Send(stream=self.number, first=self.sent, messages=batch, acknowledge=acknowledged)
            self.call.put_nowait({"send": send})
            self.sent += len(batch)


def on_event(kind, body, call):
    stream = streams.get(getattr(body, "stream", None))
    if kind == "registered":
        print(f"parrot: serving `{SERVICE}`", flush=True)
    elif kind == "partition_owned":  # streams not started by the owner have moved or are lost
        for old in [old for old in streams.values() if old.number >> 48 == body.partition]:
            if old.call is not call and old.epoch <= body.epoch:
                del streams[old.number]
    elif kind == "started" and (not stream or stream.call in (None, call) or body.epoch >= stream.epoch):
        streams[body.stream] = Stream(body, call, stream if stream and stream.id == body.stream_id else None)
    elif stream and stream.call is call:  # events of other calls are stale
        if kind == "messages":
            for event, message in enumerate(body.messages, body.first_event):
                stream.on_message(event, message.decode())
        elif kind == "send_state":
            stream.room = body
        elif kind == "send_refused" and body.reason == pb.SEND_REFUSED_REASON_INVALID:
            stream.reset("invalid message")  # a repetition would be refused again
        elif kind == "send_refused" and body.reason != pb.SEND_REFUSED_REASON_ENDED:
            raise RuntimeError(f"a Send was refused: {body.reason}")  # a defect; the next call repeats all commands
        elif kind == "ended":
            call.put_nowait({"acknowledge": pb.Acknowledge(stream=body.stream, event=body.event)})
        stream.send()
        if kind in ("ended", "released"):
            del streams[body.stream]


async def serve(address):
    stub = services.AppServiceStub(grpc.aio.insecure_channel(address, options=list(OPTIONS.items())))
    while True:  # one call after another
        call = asyncio.Queue()  # commands: bounded, with one Send in flight per stream
        call.put_nowait({"register": pb.Register(service=SERVICE, instance_id=INSTANCE)})
        try:
            async for response in stub.Serve(requests(call)):
                for event in response.events:
                    kind = event.WhichOneof("event")  # None: an event newer than this program
                    on_event(kind, kind and getattr(event, kind), call)
        except (grpc.aio.AioRpcError, RuntimeError) as error:
            print(f"parrot: the call to {address} failed: {error}", file=sys.stderr, flush=True)
        for stream in [stream for stream in streams.values() if stream.call is call]:
            stream.call = None
        await asyncio.sleep(random.uniform(0, 1))


async def requests(call):
    while True:
        yield pb.ServeRequest(commands=[pb.Command(**await call.get())])


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)  # unanswered events are redelivered
    await asyncio.gather(*map(serve, CORES))


asyncio.run(main())
