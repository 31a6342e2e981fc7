"""What a client sends in great length is read away from the event loop."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from claudeapi.core.aside import LARGE
from claudeapi.core.errors import InvalidJson
from claudeapi.core.request_id import request_id_var
from sessions_app.api import serializers as wire
from sessions_app.streaming import exchange, frames
from sessions_app.streaming.exchange import HttpExchange
from sessions_app.streaming.frames import ClientFrame

TEXTS = [("x", True), ("x" * LARGE, False)]


@pytest.fixture
def in_loop(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each text that was parsed, whether the event loop had to wait for it."""
    seen: list[bool] = []
    parse = exchange.parse_json

    def parse_json(body: bytes) -> Any:
        assert request_id_var.get() == "r", "it is the same request"
        seen.append(threading.current_thread() is threading.main_thread())
        return parse(body)

    monkeypatch.setattr(exchange, "parse_json", parse_json)
    monkeypatch.setattr(frames, "parse_json", parse_json)
    return seen


def exchange_with(body: bytes) -> HttpExchange:
    made = HttpExchange()
    made.scope = {"headers": [(b"content-type", b"application/json")]}
    made._body.append(body)
    made._whole.set()
    return made


@pytest.mark.parametrize(("text", "here"), TEXTS)
async def test_a_large_body_is_read_in_a_thread(text: str, here: bool, in_loop: list[bool]) -> None:
    request_id_var.set("r")
    sent = {"prompt": text}
    raw, body = await exchange_with(json.dumps(sent).encode()).json(wire.SendMessage)
    assert (raw, body["prompt"]) == (sent, [{"type": "text", "text": text}])
    assert in_loop == [here]


@pytest.mark.parametrize(("text", "here"), TEXTS)
async def test_a_large_frame_is_read_in_a_thread(
    text: str, here: bool, in_loop: list[bool]
) -> None:
    request_id_var.set("r")
    frame = ClientFrame(json.dumps({"type": "message", "prompt": text, "ref": 7}))
    await frame.read()
    assert (frame.kind, frame.ref) == ("message", 7)
    assert frame.body["prompt"] == [{"type": "text", "text": text}]
    assert in_loop == [here]


async def test_a_large_frame_that_is_no_json_is_not_read_twice(in_loop: list[bool]) -> None:
    request_id_var.set("r")
    frame = ClientFrame('{"ref": 7, "prompt": "' + "x" * LARGE)
    assert not frame.is_free
    with pytest.raises(InvalidJson):
        await frame.read()
    assert frame.legible_ref is None
    assert in_loop == [False]
