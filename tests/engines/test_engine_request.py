"""What is sent upstream."""

from __future__ import annotations

from typing import Any

import pytest

from sessions_app.engines.messages import MessagesEngine
from sessions_app.engines.messages.request import acceptable, body
from simulator.testing import Probe
from tests.engines.conformance import MakeTurn
from tests.engines.driving import drive

ALICE = {"role": "user", "content": [{"type": "text", "text": "hello"}]}
BOB = {"role": "assistant", "content": [{"type": "text", "text": "hello, Alice"}]}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}


def test_a_plain_history_is_sent_as_it_is() -> None:
    assert acceptable([ALICE, BOB]) == [ALICE, BOB]


def test_consecutive_messages_are_not_merged() -> None:
    assert acceptable([ALICE, ALICE, BOB]) == [ALICE, ALICE, BOB]


def test_texts_without_text_and_messages_without_content_are_left_out() -> None:
    empty = {"role": "assistant", "content": [{"type": "text", "text": " \n"}]}
    assert acceptable([ALICE, empty, {"role": "user", "content": ""}, BOB]) == [ALICE, BOB]


def test_earlier_thinking_is_left_out() -> None:
    thoughts: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "thinking", "thinking": "half"},
        {"type": "redacted_thinking", "data": "x"},
    ]
    thoughtful = {"role": "assistant", "content": [*thoughts, *BOB["content"]]}
    assert acceptable([ALICE, thoughtful]) == [ALICE, BOB]


def test_a_call_stays_with_its_result_and_neither_stays_alone() -> None:
    called = {"role": "assistant", "content": [CALL]}
    answered = {"role": "user", "content": [RESULT]}

    assert acceptable([ALICE, called, answered]) == [ALICE, called, answered]
    assert acceptable([ALICE, called, ALICE]) == [ALICE, ALICE]
    assert acceptable([ALICE, answered, BOB]) == [ALICE, BOB]
    assert acceptable([ALICE, called, ALICE, answered]) == [ALICE, ALICE]


def test_cache_marks_of_earlier_turns_are_taken_off() -> None:
    marked = {"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}
    history = [{"role": "user", "content": [marked]}]

    assert acceptable(history) == [ALICE]
    assert "cache_control" in marked


@pytest.mark.parametrize("content", [None, 7, {"type": "text"}, [], [{"type": "text"}]])
def test_a_message_without_proper_content_is_left_out(content: object) -> None:
    assert acceptable([{"role": "user", "content": content}, ALICE]) == [ALICE]


def test_aliases_and_both_system_prompts_are_resolved(make_turn: MakeTurn) -> None:
    turn = make_turn(
        "hi", model="haiku", system_prompt="Be kind.", append_system_prompt="Be brief."
    )

    request = body(turn)

    assert request["model"] == "claude-haiku-5-5"
    assert request["system"] == "Be kind.\n\nBe brief."
    assert "system" not in body(make_turn("hi", system_prompt="  "))


async def test_the_upstream_gets_the_conversation_and_nothing_of_our_surroundings(
    engine: MessagesEngine,
    make_turn: MakeTurn,
    probe: Probe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-the-operators-own")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-ours: secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    turn = make_turn("and now?", history=[ALICE, BOB])

    outcome = await drive(engine, turn)

    (request,) = await probe.requests()
    assert outcome.finished.status == "completed"
    assert request["body"]["messages"][:2] == [ALICE, BOB]
    assert request["body"]["messages"][2]["content"][0]["text"] == "and now?"
    assert request["body"]["cache_control"] == {"type": "ephemeral"}
    assert request["body"]["stream"] is True
    assert request["headers"]["accept-encoding"] == "identity"
    assert "x-ours" not in request["headers"]
    assert request["credential"] in ("authorization", "x-api-key")


async def test_a_long_conversation_does_not_pay_for_its_history_again(
    engine: MessagesEngine, make_turn: MakeTurn
) -> None:
    long = {"role": "user", "content": [{"type": "text", "text": "word " * 4000}]}
    first = await drive(engine, make_turn("one", history=[long, BOB]))
    one = {"role": "user", "content": [{"type": "text", "text": "one"}]}
    reply = {"role": "assistant", "content": first.assistant["content"]}
    second = await drive(engine, make_turn("two", history=[long, BOB, one, reply]))

    assert first.finished.usage.cache_creation_tokens > 0
    assert second.finished.usage.cache_read_tokens > 0
    assert second.finished.cost_usd < first.finished.cost_usd
