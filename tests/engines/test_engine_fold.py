"""From events to the finished message."""

from __future__ import annotations

from typing import Any

import pytest

from sessions_app.engines.events import Usage
from sessions_app.engines.fold import Fold, MalformedStream

Event = dict[str, Any]

START: Event = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 300,
            "cache_creation_input_tokens": 20,
            "output_tokens": 1,
        },
    },
}
END: list[Event] = [
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 42, "cache_read_input_tokens": None},
    },
    {"type": "message_stop"},
]


def opened(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def grown(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def closed(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


THINKING = [
    opened(0, type="thinking", thinking="", signature=""),
    grown(0, type="thinking_delta", thinking="Let me "),
    grown(0, type="thinking_delta", thinking="see."),
    grown(0, type="signature_delta", signature="c2ln"),
    closed(0),
]
TEXT = [
    opened(1, type="text", text=""),
    grown(1, type="text_delta", text="Hello, "),
    grown(1, type="text_delta", text="Alice."),
    closed(1),
]
TOOL = [
    opened(2, type="tool_use", id="toolu_1", name="Bash", input={}),
    grown(2, type="input_json_delta", partial_json='{"command": '),
    grown(2, type="input_json_delta", partial_json='"ls"}'),
    closed(2),
]


def folded(*events: dict[str, Any]) -> Fold:
    fold = Fold()
    for event in events:
        fold.apply(event)
    return fold


def test_a_whole_reply_becomes_the_message() -> None:
    fold = folded(START, *THINKING, *TEXT, *TOOL, *END)

    assert fold.complete
    assert fold.text == "Hello, Alice."
    assert fold.stop_reason == "end_turn"
    assert fold.usage == Usage(10, 42, 300, 20)
    assert fold.message()["content"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"},
        {"type": "text", "text": "Hello, Alice."},
        {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
    ]
    assert fold.message()["id"] == "msg_1"
    assert fold.message()["usage"]["output_tokens"] == 42


def test_a_broken_reply_keeps_its_text_and_drops_half_thoughts_and_half_calls() -> None:
    fold = folded(START, *TEXT[:2], *THINKING[:2], *TOOL[:2])

    assert fold.message()["content"] == [{"type": "text", "text": "Hello, "}]
    assert fold.message()["stop_reason"] is None
    assert not fold.complete


def test_a_stop_reason_without_message_stop_is_no_end() -> None:
    fold = folded(START, *TEXT, END[0])

    assert not fold.complete
    assert fold.message()["stop_reason"] is None


def test_the_tokens_of_a_broken_reply_are_estimated_from_its_text() -> None:
    assert folded(START, *TEXT[:2]).usage.output_tokens == 2
    assert folded(START).usage.output_tokens == 1


@pytest.mark.parametrize(
    ("lifetimes", "hour"),
    [
        ({"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15}, 15),
        ({"ephemeral_1h_input_tokens": 21}, 20),
        ({"ephemeral_1h_input_tokens": "15"}, 0),
        ([15], 0),
        (None, 0),
    ],
)
def test_what_is_cached_for_an_hour_is_counted_apart(lifetimes: object, hour: int) -> None:
    usage = {**START["message"]["usage"], "cache_creation": lifetimes}
    fold = folded({**START, "message": {**START["message"], "usage": usage}}, *TEXT, *END)

    assert fold.usage == Usage(10, 42, 300, 20, hour)


def test_citations_are_collected() -> None:
    cited = grown(1, type="citations_delta", citation={"cited_text": "x"})

    fold = folded(START, TEXT[0], cited, cited, *TEXT[1:], *END)

    assert fold.message()["content"][0]["citations"] == [{"cited_text": "x"}] * 2


def test_a_tool_without_input_has_an_empty_one() -> None:
    assert folded(START, TOOL[0], TOOL[3], *END).message()["content"][0]["input"] == {}


def test_what_is_unknown_is_skipped_and_counted() -> None:
    fold = folded(START, {"type": "novelty"}, TEXT[0], grown(1, type="aroma_delta"), *TEXT[1:])

    assert fold.skipped == 2
    assert fold.text == "Hello, Alice."


@pytest.mark.parametrize(
    "events",
    [
        [TEXT[0]],
        [START, START],
        [START, TEXT[1]],
        [START, {"type": "content_block_start", "index": 0, "content_block": "text"}],
        [START, TEXT[0], grown(1, type="text_delta")],
        [START, TEXT[0], grown(1, type="text_delta", text=7)],
        [START, TEXT[0], {"type": "content_block_delta", "index": 1, "delta": None}],
        [START, {"type": "message_delta", "delta": "end"}],
        [START, {"index": 0}],
        [{"type": "message_start", "message": "hello"}],
        [START, {"type": ["message_stop"], "index": {}}, {"type": "content_block_stop"}],
    ],
)
def test_nonsense_is_refused(events: list[dict[str, Any]]) -> None:
    with pytest.raises(MalformedStream):
        folded(*events)
