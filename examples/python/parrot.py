"""The parrot: an app service in Python that says every string again; examples/README.md tells how to run it.

N:STRING answers event N, reset:REASON ends the stream, burst:N is answered by N strings, the credentials refuse:REASON
are not welcome. What matters is that nothing is lost or doubled; proto/minerva/app/v1/app.proto is the contract."""
import asyncio, os, pathlib, random, signal, sys, uuid
import grpc

sys.path.insert(0, os.environ.get("MINERVA_PROTO") or str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
pb, services = grpc.protos_and_services("minerva/app/v1/app.proto")  # compiled when it is loaded
SERVICE = os.environ.get("MINERVA_SERVICE", "default")
INSTANCE = os.environ.get("MINERVA_INSTANCE") or uuid.uuid4().hex  # the same as long as this process lives
CORES = os.environ.get("MINERVA_API", "http://127.0.0.1:7400").replace("http://", "").split(",")
OPTIONS = {"grpc.max_receive_message_length": 8 << 20, "grpc.keepalive_time_ms": 10_000,
           "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 3_000}
streams = {}  # all that this instance holds, by number; they outlive calls, and move from core to core


def say(event, string):
    """The strings that answer a string."""
    word, _, count = string.partition(":")
    if word == "burst" and count.isdigit() and len(count) < 6:
        return [str(number) for number in range(int(count))]
    return [f"{event}:{string}"]


class Stream:
    """One client's stream on the call on which it was started last. Of what was before only `answers` remain."""

    def __init__(self, started, call, answers):
        self.number, self.id, self.epoch, self.call = started.stream, started.stream_id, started.epoch, call
        self.expected = max(started.next_event, 1)  # the next event, 0 being Started itself
        self.done = self.expected - 1  # the last event that is answered and acknowledged on this call
        self.sent = self.queued = started.next_send  # the next string to send, and the next to be thought of
        self.room = started.send_state
        # By event: the number of its answer's first string, and all of them. Kept until the event is acknowledged.
        self.answers = {event: answer for event, answer in answers.items() if event >= started.next_event}
        if started.credentials.startswith("refuse:"):
            self.reset(started.credentials[7:])
        elif started.next_event == 0:
            self.tell(acknowledge=pb.Acknowledge(stream=self.number, event=0))

    def tell(self, **command):
        self.call.put_nowait(pb.Command(**command))

    def reset(self, reason):
        self.answers.clear()
        self.tell(reset=pb.Reset(stream=self.number, reason=reason[:255], application_level=True))

    def on_string(self, event, string):
        if event < self.expected:
            return
        self.expected = event + 1
        if string.startswith("reset:"):
            return self.reset(string[6:])
        # An event that comes again, after a lost call, is not thought of again: it has the answer that it had.
        if event not in self.answers:
            self.answers[event] = self.queued, say(event, string)
        first, strings = self.answers[event]
        self.queued = first + len(strings)

    def send(self):
        """Sends what there is room for, once all before is confirmed. An answer's end carries the acknowledgement of
        its event: the core takes both or neither, so an event that comes again after a crash has no answer yet."""
        room, batch, size, full, done = self.room, [], 0, False, None
        if room.next_send != self.sent or room.paused or room.bytes_left == 0:
            return
        for event in [event for event in self.answers if event <= self.done]:  # durable, and acknowledged with it
            del self.answers[event]
        for event, (first, strings) in self.answers.items():
            if full or event >= self.expected:  # one that has not come again yet
                break
            for string in strings[self.sent + len(batch) - first:]:  # of a burst, what was not taken yet
                size += len(string)
                full = len(batch) == room.strings_left or len(batch) > 0 and size > min(room.bytes_left, 128 << 10)
                if full:
                    break
                batch.append(string.encode())
            done = done if full else event
        if batch:
            self.tell(send=pb.Send(stream=self.number, first=self.sent, strings=batch, acknowledge=done))
        elif done:
            self.tell(acknowledge=pb.Acknowledge(stream=self.number, event=done))
        self.sent, self.done = self.sent + len(batch), done or self.done


def on_event(kind, body, call):
    stream = streams.get(getattr(body, "stream", None))
    if kind == "registered":
        print(f"parrot: serving `{SERVICE}`", flush=True)
    elif kind in ("partition_owned", "partition_left"):
        for stream in [stream for stream in streams.values() if stream.number >> 48 == body.partition]:
            if kind == "partition_left":  # another core will start it
                stream.call = None if stream.call is call else stream.call
            elif stream.epoch < body.epoch:  # the new owner has not started it: it is elsewhere, or lost
                del streams[stream.number]
    elif kind == "started":
        if not stream or stream.call in (None, call) or body.epoch >= stream.epoch:  # else from a former owner
            same = stream and stream.id == body.stream_id
            streams[body.stream] = Stream(body, call, stream.answers if same else {})
    elif stream and stream.call is call:  # what another call says of it does not count
        if kind == "strings":
            for event, string in enumerate(body.strings, body.first_event):
                stream.on_string(event, string.decode())
        elif kind == "send_state":
            stream.room = body
        elif kind == "send_refused" and body.reason != pb.SEND_REFUSED_REASON_ENDED:
            raise RuntimeError(f"a Send was refused: {body.reason}")  # cannot be; all is told again on the next call
        elif kind == "ended":
            stream.tell(acknowledge=pb.Acknowledge(stream=body.stream, event=body.event))
        if kind in ("ended", "released"):
            del streams[body.stream]
        elif kind in ("strings", "send_state"):
            stream.send()


async def requests(call):
    while True:
        yield pb.ServeRequest(commands=[await call.get()])


async def serve(address):
    """One call to one core after the other, with random pauses that grow while it cannot be reached."""
    pause, stub = 0.1, services.AppServiceStub(grpc.aio.insecure_channel(address, options=list(OPTIONS.items())))
    while True:
        call = asyncio.Queue()  # what is to be told: bounded, as each stream has one Send under way
        held = [number for number, stream in streams.items() if stream.call is None]
        call.put_nowait(pb.Command(register=pb.Register(service=SERVICE, instance_id=INSTANCE, held_streams=held)))
        try:
            async for response in stub.Serve(requests(call)):
                pause = 0.1
                for event in response.events:
                    kind = event.WhichOneof("event")  # None: one that is newer than this program
                    on_event(kind, kind and getattr(event, kind), call)
        except (grpc.aio.AioRpcError, RuntimeError) as error:
            print(f"parrot: the call to {address} is lost: {error}", file=sys.stderr, flush=True)
        for stream in [stream for stream in streams.values() if stream.call is call]:
            stream.call = None
        await asyncio.sleep(random.uniform(0, pause))
        pause = min(2 * pause, 3)


async def main():
    # What is not acknowledged comes again, to another instance or to this one when it is started again.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    await asyncio.gather(*map(serve, CORES))


asyncio.run(main())
