"""Plays sdk/vectors/session.json, recorded from the session machine of the Rust SDK: same inputs, same outputs."""

import base64
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format

from minerva_app import errors
from minerva_app.events import Ended, Event, Identity, Message, Rejoined, TransportChanged
from minerva_app.proto import app_pb2 as pb
from minerva_app.session import (
    Arrived,
    ContractError,
    EndedSignal,
    NoRoomError,
    OverError,
    QueueError,
    Readable,
    ReleasedSignal,
    Session,
    Signal,
)
from minerva_app.session.settings import TooManyGroupsError

VECTORS = pathlib.Path(__file__).parents[2] / "vectors" / "session.json"
SCENARIOS = json.loads(VECTORS.read_text())["scenarios"]
UNBOUNDED = 1 << 62


class Player:
    """A session with named calls."""

    def __init__(self) -> None:
        self.session = Session(1000)
        self.calls: dict[str, int] = {}

    def play(self, step: dict[str, Any]) -> Any:
        kind, value = next(item for item in step.items() if hasattr(self, f"on_{item[0]}"))
        return getattr(self, f"on_{kind}")(value, step)

    def on_begin(self, name: str, _: dict[str, Any]) -> Any:
        self.calls[name], numbers = self.session.begin()
        held = self.session.held(sorted(numbers))
        return {"held_streams": sorted(numbers), "held": [as_json(each) for each in held]}

    def on_end(self, name: str, _: dict[str, Any]) -> None:
        self.session.end(self.calls.pop(name))

    def on_event(self, event: dict[str, Any], step: dict[str, Any]) -> Any:
        is_broken = False
        try:
            self.session.on_event(self.calls[step["call"]], json_format.ParseDict(event, pb.Event()))
        except ContractError:
            is_broken = True
        return {"signals": [text_of(signal) for signal in self.session.take_signals()], "broken": is_broken}

    def on_take(self, name: str, step: dict[str, Any]) -> Any:
        commands = self.session.take_commands(self.calls[name], step.get("budget", UNBOUNDED))
        return [as_json(command) for command in commands]

    def on_probes(self, name: str, _: dict[str, Any]) -> Any:
        return [as_json(command) for command in self.session.probes(self.calls[name])]

    def on_read(self, number: int, _: dict[str, Any]) -> Any:
        try:
            event = self.session.read(number)
        except OverError:
            return "over"
        return "waiting" if event is None else event_json(event)

    def on_acknowledge(self, number: int, step: dict[str, Any]) -> None:
        self.change(number, lambda stream: stream.acknowledge(step["number"]))

    def on_send(self, number: int, step: dict[str, Any]) -> Any:
        content, respect_pause = content_of(step), not step.get("force")
        return self.queue(number, content, lambda stream: stream.send(content, respect_pause))

    def on_answer(self, number: int, step: dict[str, Any]) -> Any:
        content = content_of(step)
        return self.queue(number, content, lambda stream: stream.answer(step["number"], content))

    def on_reset(self, number: int, step: dict[str, Any]) -> None:
        self.change(number, lambda stream: stream.reset(step.get("text", ""), True))

    def on_finish(self, number: int, step: dict[str, Any]) -> None:
        self.change(number, lambda stream: stream.finish(step.get("text", "")))

    def on_abandon(self, number: int, _: dict[str, Any]) -> None:
        self.change(number, lambda stream: stream.abandon())

    def on_idle(self, number: int, step: dict[str, Any]) -> None:
        limits = pb.SetLimits(max_idle_ms=step["number"])
        self.change(number, lambda stream: stream.settings.set_limits(limits))

    def on_label(self, number: int, step: dict[str, Any]) -> Any:
        return self.change(number, lambda stream: stream.settings.set_label(step["text"]))

    def on_join(self, number: int, step: dict[str, Any]) -> Any:
        try:
            return self.change(number, lambda stream: stream.settings.join(step["text"]))
        except TooManyGroupsError:
            return "too many groups"

    def on_leave(self, number: int, step: dict[str, Any]) -> Any:
        return self.change(number, lambda stream: stream.settings.leave(step["text"]))

    def on_confirmed(self, number: int, _: dict[str, Any]) -> Any:
        end = 0
        try:
            while True:
                self.session.check_confirmed(number, end + 1)
                end += 1
        except OverError:
            return None
        except NoRoomError:
            return end

    def on_changed(self, number: int, step: dict[str, Any]) -> Any:
        try:
            self.session.check_change(number, step["number"])
        except QueueError as error:
            return name_of(error)
        return "ok"

    def on_flushed(self, _: bool, __: dict[str, Any]) -> bool:
        return self.session.is_flushed()

    def on_unsettled(self, _: bool, __: dict[str, Any]) -> Any:
        unsettled = self.session.unsettled_calls()
        return [name for name, call in sorted(self.calls.items()) if call in unsettled]

    def change(self, number: int, then: Callable[[Any], Any]) -> Any:
        try:
            return self.session.change(number, then)
        except OverError:
            return None

    def queue(self, number: int, content: str | bytes, then: Callable[[Any], int]) -> Any:
        try:
            self.session.check(number, content)
            return self.session.change(number, then)
        except errors.MessageTooLongError:
            return "too long"
        except errors.UnsupportedMessageError:
            return "unsupported"
        except QueueError as error:
            return name_of(error)


def as_json(message: Any) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def content_of(step: dict[str, Any]) -> str | bytes:
    content = step["content"]
    return content if isinstance(content, str) else base64.b64decode(content["binary"])


def name_of(error: QueueError) -> str:
    return {"NoRoomError": "no room", "OverError": "over", "FinishedError": "finished"}[type(error).__name__]


def text_of(signal: Signal) -> str:
    if isinstance(signal, Arrived):
        return f"arrived {signal.started.stream} {signal.assignment}"
    if isinstance(signal, EndedSignal):
        return f"ended {signal.stream} {signal.ended.reason}"
    if isinstance(signal, ReleasedSignal):
        return f"released {signal.stream}"
    return f"{'readable' if isinstance(signal, Readable) else 'writable'} {signal.stream}"


def event_json(event: Event) -> Any:
    if isinstance(event, Message):
        is_text = isinstance(event.content, str)
        content = event.content if isinstance(event.content, str) else base64.b64encode(event.content).decode()
        return {"event": event.event, "text" if is_text else "binary": content, "attempts": event.attempts}
    if isinstance(event, Rejoined):
        return {"event": event.event, "generation": event.generation, "from": event.first}
    if isinstance(event, TransportChanged):
        return {"transports": event.transports}
    if isinstance(event, Ended):
        return {"event": event.event, "reason": event.reason, "application_level": event.application_level}
    return "released"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario["name"] for scenario in SCENARIOS])
def test_the_session_reproduces_the_vectors(scenario: dict[str, Any]) -> None:
    player = Player()
    for index, step in enumerate(scenario["steps"]):
        assert player.play(step) == step["out"], f"step {index}: {step}"


def test_an_event_of_a_feature_that_is_not_listed_is_skipped() -> None:
    player = Player()
    player.on_begin("a", {})
    events: list[dict[str, Any]] = [{"registered": {}}, {"renewed": {"stream": 1}}, {}]
    for event in events:
        assert player.on_event(event, {"call": "a"}) == {"signals": [], "broken": False}


def test_the_identity_of_a_client_has_the_selected_claims() -> None:
    claims = [pb.Claim(name="roles", value='["a"]')]
    identity = Identity.of(pb.Identity(issuer="i", subject="ann", audience=["x"], expires_at=5, claims=claims))
    assert (identity.subject, identity.audience, identity.expires_at) == ("ann", ("x",), 5)
    assert identity.claims == {"roles": ["a"]}
