#!/usr/bin/env python3
"""Writes the inputs of session.json: named scenarios, and random ones from fixed seeds. The Rust machine records the outputs:
see README.md."""

import base64
import json
import pathlib
import random

A, B = "a", "b"
ROOM = {"bytes_left": 1000, "messages_left": 100}
FEATURES = ["claim-tags", "finish", "sync", "message-kinds", "sessions"]


def stream(partition: int, count: int) -> int:
    return partition << 48 | count


S = stream(1, 1)


def registered(call: str, features: list[str] = FEATURES) -> dict:
    limits = {"outbox_bytes": 1000, "outbox_messages": 100, "max_message_bytes": 1048576}
    return event(call, registered={**limits, "core_id": call, "max_version": 1, "features": features})


def event(call: str, **body: object) -> dict:
    return {"event": body, "call": call}


def started(call: str, number: int = S, **fields: object) -> dict:
    body = {"stream": number, "stream_id": "a" * 20, "epoch": 1, "send_state": {"stream": number, **ROOM}, "created_tag": 7}
    return event(call, started={**body, "assignment": 1, "accepts": "ACCEPTS_TEXT_AND_BINARY", "attempts": 1, **fields})


def messages(call: str, first: int, *texts: str, number: int = S, **fields: object) -> dict:
    contents = [{"text": text} for text in texts]
    return event(call, messages={"stream": number, "first_event": first, "contents": contents, "tag": 7, **fields})


def state(call: str, next_send: int, number: int = S, **fields: object) -> dict:
    return event(call, send_state={"stream": number, "next_send": next_send, **ROOM, "tag": 7, **fields})


def ended(call: str, at: int, number: int = S, **fields: object) -> dict:
    return event(call, ended={"stream": number, "event": at, "reason": "bye", "by": "ENDED_BY_CLIENT", **fields})


def resumed(call: str, next_event: int, next_send: int, number: int = S, **fields: object) -> dict:
    room = {"stream": number, "next_send": next_send, **ROOM}
    return started(call, number, **{"resumed": True, "next_event": next_event, "next_send": next_send, "send_state": room, **fields})


START = [{"begin": A}, registered(A), started(A), {"read": S}]
AGAIN = [{"end": A}, {"begin": A}, registered(A)]
TAKE = {"take": A}


def send(text: str, number: int = S) -> dict:
    return {"send": number, "content": text}


def acknowledge(at: int, number: int = S) -> dict:
    return {"acknowledge": number, "number": at}


SCENARIOS = {
    "a message is delivered, answered and acknowledged in one step": [
        *START, acknowledge(0), TAKE, messages(A, 1, "one"), {"read": S}, {"answer": S, "number": 1, "content": "1:one"},
        TAKE, state(A, 1), {"flushed": True}, TAKE,
    ],
    "an event is delivered once, and acknowledged again after a lost call": [
        *START, messages(A, 1, "one", "two"), {"read": S}, acknowledge(1), TAKE, *AGAIN, resumed(A, 1, 0), messages(A, 1, "one", "two"),
        TAKE, {"read": S}, {"read": S}, TAKE,
    ],
    "unconfirmed messages are sent again after a lost call": [
        *START, send("one"), send("two"), send("three"), TAKE, state(A, 1), *AGAIN, resumed(A, 0, 2), TAKE,
    ],
    "an acknowledgement does not overtake a message": [
        *START, messages(A, 1, "one"), {"read": S}, send("first"), send("second"), acknowledge(1), state(A, 0, messages_left=1), TAKE,
        state(A, 1), TAKE,
        *AGAIN, resumed(A, 1, 0, send_state={"stream": S}), messages(A, 1, "one"), TAKE, state(A, 0), TAKE,
    ],
    "an earlier acknowledgement changes nothing": [
        *START, messages(A, 1, "one", "two"), acknowledge(2), acknowledge(1), *AGAIN, resumed(A, 1, 0), messages(A, 1, "one", "two"), TAKE,
    ],
    "an answer waits for its event on a new call": [
        *START, messages(A, 1, "one"), {"read": S}, {"answer": S, "number": 1, "content": "1"}, *AGAIN, resumed(A, 0, 0), TAKE,
        messages(A, 1, "one"), TAKE,
    ],
    "credit in messages and bytes": [
        *START, state(A, 0, messages_left=2), send("a"), send("b"), send("c"), state(A, 0, bytes_left=3), send("long"), send("x"), TAKE,
        state(A, 1, paused=True, bytes_left=1), send("paused"), {**send("forced"), "force": True}, TAKE,
    ],
    "a message beyond the credit travels alone": [
        *START, state(A, 0, bytes_left=5), send("abc"), send("0123456789"), TAKE, TAKE, state(A, 1, bytes_left=5), TAKE,
    ],
    "a refused send for want of room is sent again": [
        *START, send("a"), send("b"), TAKE, send("c"), TAKE,
        event(A, send_refused={"stream": S, "first": 0, "reason": "SEND_REFUSED_REASON_RESOURCE_EXHAUSTED"}), TAKE,
        event(A, send_refused={"stream": S, "first": 2, "reason": "SEND_REFUSED_REASON_OUT_OF_ORDER"}), TAKE, state(A, 0), TAKE,
    ],
    "a refused send repeats its acknowledgement": [
        *START, messages(A, 1, "one"), {"read": S}, {"answer": S, "number": 1, "content": "1"}, TAKE,
        event(A, send_refused={"stream": S, "first": 0, "reason": "SEND_REFUSED_REASON_OUT_OF_ORDER"}), TAKE,
    ],
    "an invalid send resets the stream": [
        *START, send("a"), TAKE, event(A, send_refused={"stream": S, "reason": "SEND_REFUSED_REASON_INVALID"}), TAKE, send("b"),
    ],
    "a send to an ended stream": [
        *START, send("a"), TAKE, event(A, send_refused={"stream": S, "reason": "SEND_REFUSED_REASON_ENDED"}), send("b"), TAKE, ended(A, 1),
        {"read": S}, acknowledge(1), TAKE, {"read": S},
    ],
    "the end is acknowledged, and repeated if the acknowledgement was lost": [
        *START, ended(A, 1), {"read": S}, acknowledge(1), TAKE, *AGAIN, resumed(A, 1, 0), ended(A, 1), TAKE,
    ],
    "a lost end resets the stream of a tombstone": [
        *START, ended(A, 1), {"read": S}, acknowledge(1), TAKE, *AGAIN, resumed(A, 1, 0), TAKE, messages(A, 1, "more"), TAKE,
    ],
    "finish is sent behind the confirmed messages": [
        *START, send("a"), {"finish": S, "text": "done"}, send("b"), TAKE, state(A, 1), TAKE, *AGAIN, resumed(A, 0, 1), TAKE,
        *AGAIN, resumed(A, 0, 1, finishing=True, finish_reason="done"), TAKE, ended(A, 1), {"read": S},
    ],
    "finish at a core without it resets the stream once the outbox is empty": [
        {"begin": A}, registered(A, []), started(A, accepts=0), {"finish": S}, TAKE, {"probes": A}, state(A, 0, messages_left=1), TAKE,
        {"probes": A}, state(A, 0), TAKE,
    ],
    "a stream that was finished before runs no handler": [
        {"begin": A}, registered(A), resumed(A, 0, 3, finishing=True, finish_reason="x"), messages(A, 1, "one"), TAKE, ended(A, 2), TAKE,
    ],
    "an abandoned stream acknowledges all events unread": [
        *START, messages(A, 1, "one"), {"finish": S}, {"abandon": S}, TAKE, messages(A, 2, "two"), TAKE, ended(A, 3), TAKE, {"read": S},
    ],
    "reset is sent once on each call": [
        *START, send("a"), {"reset": S, "text": "why"}, {"reset": S, "text": "other"}, TAKE, TAKE, *AGAIN, resumed(A, 0, 0), TAKE, ended(A, 1),
    ],
    "settings are sent in front of messages, and again on each call": [
        *START, {"idle": S, "number": 500}, {"label": S, "text": "ann"}, {"join": S, "text": "b"}, {"join": S, "text": "a"},
        {"leave": S, "text": "b"}, send("hi"), TAKE, {"changed": S, "number": 4}, event(A, synced={"stream": S, "token": 3}),
        {"changed": S, "number": 3}, {"changed": S, "number": 4}, *AGAIN, resumed(A, 0, 0), TAKE,
    ],
    "a refused group": [
        *START, {"join": S, "text": "g"}, TAKE, event(A, group_refused={"stream": S, "group": "g"}), *AGAIN, resumed(A, 0, 0), TAKE,
    ],
    "a change at a core without sync is confirmed by sends": [
        {"begin": A}, registered(A, ["finish"]), started(A, accepts=0), {"label": S, "text": "x"}, {"changed": S, "number": 1}, {"probes": A},
        TAKE, {"probes": A}, state(A, 0), {"changed": S, "number": 1},
    ],
    "a stream moves to a core with a higher epoch": [
        {"begin": A}, {"begin": B}, registered(A), registered(B), started(A), send("a"), TAKE, resumed(B, 0, 1, epoch=2), {"take": B},
        messages(A, 1, "late"), {"read": S}, messages(B, 1, "one"), {"read": S}, acknowledge(1), TAKE, {"take": B}, resumed(A, 0, 0), TAKE,
    ],
    "a claim under a lower epoch than that of a lost call": [
        {"begin": A}, {"begin": B}, registered(A), registered(B), event(B, partition_owned={"partition": 1, "epoch": 5}), {"end": B},
        started(A, epoch=4), {"end": A}, {"begin": A}, registered(A), started(A, epoch=4),
    ],
    "an ignored claim is unsettled once the higher one is gone": [
        {"begin": A}, {"begin": B}, registered(A), registered(B), event(B, partition_owned={"partition": 1, "epoch": 5}),
        event(A, partition_owned={"partition": 1, "epoch": 4}), {"unsettled": True}, event(B, partition_left={"partition": 1}), {"unsettled": True},
    ],
    "the owner withdraws streams that it has not started": [
        *START, started(A, stream(1, 2)), *AGAIN, resumed(A, 0, 0, epoch=2),
        event(A, partition_owned={"partition": 1, "epoch": 2, "streams_made": "9"}), {"read": stream(1, 2)},
    ],
    "a stream that the store has never counted is lost": [
        *START, messages(A, 1, "one"), *AGAIN, event(A, partition_owned={"partition": 1, "epoch": 2, "streams_made": "0"}), {"read": S},
        {"read": S}, {"begin": B}, acknowledge(2), {"read": S},
    ],
    "a stream that is released as lost": [
        *START, *AGAIN, event(A, released={"stream": S, "lost": True, "epoch": 3}), {"read": S}, send("x"), acknowledge(1), {"read": S},
    ],
    "a released stream": [*START, send("a"), event(A, released={"stream": S}), {"read": S}, send("b"), TAKE],
    "another instance had the stream": [
        *START, send("a"), TAKE, *AGAIN, resumed(A, 0, 0, assignment=2), TAKE, {"read": S},
    ],
    "another stream has the number": [*START, send("a"), *AGAIN, started(A, created_tag=8), TAKE],
    "an event under another tag: the core has lost events": [
        *START, messages(A, 1, "one", "two"), *AGAIN, resumed(A, 1, 0, epoch=2), messages(A, 1, "other", tag=9), TAKE, messages(A, 2, "more", tag=9),
        {"read": S}, {"read": S}, {"read": S}, ended(A, 3), {"read": S}, TAKE,
    ],
    "a confirmed message under another tag: the core has lost messages": [
        *START, send("a"), TAKE, state(A, 1), *AGAIN, resumed(A, 0, 1, send_state={"stream": S, "next_send": 1, **ROOM, "tag": 9}), TAKE,
    ],
    "the core has lost confirmed messages": [*START, send("a"), TAKE, state(A, 1), *AGAIN, resumed(A, 0, 0), TAKE],
    "an end before received events": [
        *START, messages(A, 1, "one", "two"), {"read": S}, ended(A, 2), {"read": S}, {"read": S}, acknowledge(3), TAKE,
    ],
    "kinds, and what the client does not accept": [
        *START, send("é"), {"send": S, "content": {"binary": "/w=="}}, {"send": S, "content": {"binary": ""}}, send(""), TAKE,
        started(A, stream(1, 2), accepts="ACCEPTS_ASCII_TEXT"), send("é", stream(1, 2)), send("a\u001f", stream(1, 2)), send(" ~", stream(1, 2)),
        {"send": stream(1, 2), "content": {"binary": "YQ=="}}, TAKE,
    ],
    "a queued message that a new core does not accept": [
        *START, send("é"), *AGAIN, resumed(A, 0, 0, accepts="ACCEPTS_ASCII_TEXT"), TAKE,
    ],
    "a rejoined event is acknowledged like a message": [
        *START, event(A, rejoined={"stream": S, "event": 1, "generation": 1, "from": 4, "complete": True}), {"read": S}, acknowledge(1), TAKE,
        event(A, rejoined={"stream": S, "event": 1, "generation": 1}), messages(A, 2, "next"), {"read": S},
    ],
    "transport changes are informative": [
        *START, event(A, transport_changed={"stream": S, "transport_number": 1, "attached": True, "transports": 1}), {"read": S}, {"read": S},
    ],
    "a skipped event breaks the call": [*START, messages(A, 3, "three")],
    "an unknown stream breaks the call": [*START, messages(A, 1, "x", number=stream(1, 5))],
    "an event before the registration breaks the call": [{"begin": A}, started(A)],
    "a confirmation of unsent messages breaks the call": [*START, send("a"), state(A, 2)],
    "unknown events change nothing": [*START, event(A), send("a"), TAKE],
    "streams take turns": [
        *START, started(A, stream(1, 2)), *[send("x" * 80) for _ in range(3)], send("other", stream(1, 2)), {**TAKE, "budget": 100},
        {**TAKE, "budget": 100}, TAKE,
    ],
}


class Random:
    """Random inputs that follow the contract most of the time: the numbers of a simple model core, sometimes changed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.steps: list[dict] = []
        self.calls: set[str] = set()
        self.events = {number: 1 for number in self.streams()}
        self.sends = {number: 0 for number in self.streams()}
        self.epoch = {1: 1, 2: 1}

    @staticmethod
    def streams() -> list[int]:
        return [stream(1, 1), stream(1, 2), stream(2, 1)]

    def near(self, number: int) -> int:
        return max(0, number + self.random.choice([0, 0, 0, 0, 0, 0, 0, 0, -1, 1]))

    def run(self, count: int) -> list[dict]:
        while len(self.steps) < count:
            if not self.calls or self.random.random() < 0.04:
                self.connect(self.random.choice([A, B]))
            elif self.random.random() < 0.5:
                self.handler()
            else:
                self.core(self.random.choice(sorted(self.calls)))
        return self.steps

    def connect(self, call: str) -> None:
        if call in self.calls:
            self.steps.append({"end": call})
        self.calls.add(call)
        self.steps += [{"begin": call}, registered(call, self.random.choice([FEATURES, FEATURES, FEATURES, ["message-kinds"]]))]

    def core(self, call: str) -> None:
        number = self.random.choice(self.streams())
        partition, kind = number >> 48, self.random.randrange(13)
        if kind < 3:
            if self.random.random() < 0.2:
                self.epoch[partition] = max(1, self.epoch[partition] + self.random.choice([1, 1, 1, -1]))
            fields = {"epoch": self.epoch[partition], "assignment": self.random.choice([0, 1, 1, 1, 2]), "stream_id": str(number) + "b" * 12}
            fields["finishing"] = self.random.random() < 0.05
            next_event = self.random.randrange(self.events[number] + 1)
            self.steps.append(resumed(call, self.near(next_event), self.near(self.sends[number]), number, **fields))
        elif kind < 7:
            first, count = self.near(self.events[number]), self.random.randrange(3)
            self.events[number] = max(self.events[number], first + count)
            texts = [self.random.choice(["", "m", "é", "z" * 30]) for _ in range(count)]
            self.steps.append(messages(call, first, *texts, number=number, tag=self.random.choice([7, 7, 7, 7, 7, 9])))
        elif kind < 10:
            self.sends[number] += self.random.randrange(3)
            room = {"bytes_left": self.random.choice([0, 5, 60]), "messages_left": self.random.choice([0, 1, 100])}
            tag = self.random.choice([7, 7, 7, 7, 7, 9])
            self.steps.append(state(call, self.near(self.sends[number]), number, paused=self.random.random() < 0.2, tag=tag, **room))
        elif kind == 10:
            reasons = ["RESOURCE_EXHAUSTED", "OUT_OF_ORDER", "OUT_OF_ORDER", "ENDED", "INVALID", "UNSUPPORTED"]
            reason = "SEND_REFUSED_REASON_" + self.random.choice(reasons)
            first = self.near(self.sends[number])
            self.steps.append(event(call, send_refused={"stream": number, "first": first, "next_send": self.sends[number], "reason": reason}))
        elif kind == 11:
            body = self.random.choice([
                {"ended": {"stream": number, "event": self.events[number], "reason": "bye"}},
                {"released": {"stream": number}},
                {"released": {"stream": number, "lost": True, "epoch": self.epoch[partition]}},
                {"synced": {"stream": number, "token": self.random.randrange(4)}},
                {"rejoined": {"stream": number, "event": self.near(self.events[number]), "generation": 1}},
                {"transport_changed": {"stream": number, "transports": 1}},
            ])
            self.steps.append({"event": body, "call": call})
        else:
            body = self.random.choice([
                {"partition_left": {"partition": partition}},
                {"partition_owned": {"partition": partition, "epoch": self.epoch[partition], "streams_made": self.random.choice([0, 1, 9, 9])}},
            ])
            self.steps += [{"event": body, "call": call}, {"unsettled": True}]

    def handler(self) -> None:
        number, kind = self.random.choice(self.streams()), self.random.randrange(20)
        at = self.near(self.random.randrange(self.events[number] + 1))
        content: object = self.random.choice(["", "text", "é", "y" * 40, {"binary": base64.b64encode(b"\xff" * 9).decode()}])
        if kind < 5:
            self.steps.append({"read": number})
        elif kind < 8:
            self.steps.append({"send": number, "content": content, "force": self.random.random() < 0.2})
        elif kind < 10:
            self.steps.append({"answer": number, "number": at, "content": content})
        elif kind < 13:
            self.steps.append({"acknowledge": number, "number": at})
        elif kind < 17:
            self.steps.append({"take": self.random.choice(sorted(self.calls)), "budget": self.random.choice([50, 200, 100000])})
        elif kind == 17:
            self.steps.append({self.random.choice(["join", "leave"]): number, "text": self.random.choice(["g", "h"])})
        elif kind == 18:
            self.steps.append({self.random.choice(["label", "finish", "reset"]): number, "text": "t"})
        else:
            self.steps.append(self.random.choice([{"flushed": True}, {"confirmed": number}, {"abandon": number}, {"idle": number, "number": 5}]))


def main() -> None:
    scenarios = [{"name": name, "steps": steps} for name, steps in SCENARIOS.items()]
    scenarios += [{"name": f"random {seed}", "steps": Random(seed).run(60)} for seed in range(60)]
    file = pathlib.Path(__file__).with_name("session.json")
    file.write_text(json.dumps({"scenarios": scenarios}))


main()
