"""What is read off a passing answer: content, tokens, cost, its end."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from sessions_app.engines import prices
from sessions_app.engines.claude_code.sniffer import StreamSniffer, Tally, count_whole
from sessions_app.engines.events import Usage
from tests.claude_code.streams import COUNTED, DELTA, PING, START, STOP


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_events_are_counted_however_they_are_cut(newline: bytes) -> None:
    stream = (START + PING + DELTA + STOP).replace(b"\n", newline)
    for size in (1, 7, 64, 1000):
        tally = Tally()
        sniffer = StreamSniffer(tally)
        for start in range(0, len(stream), size):
            sniffer.feed(stream[start : start + size])
        assert tally.usage == COUNTED
        assert sniffer.ended


def test_a_ping_is_no_content() -> None:
    sniffer = StreamSniffer(Tally())

    assert sniffer.feed(START)
    assert not sniffer.feed(PING)
    assert not sniffer.feed(PING[:10])
    assert not sniffer.feed(PING[10:])


def test_what_the_cache_keeps_for_an_hour_has_its_own_price() -> None:
    written = b'"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_1h_input_tokens":9},'
    by_lifetime = {}
    for name, usage in (("hour", written), ("minutes", written.replace(b"1h", b"5m"))):
        tally = Tally()
        sniffer = StreamSniffer(tally)
        sniffer.feed(START.replace(b'"usage":{', b'"usage":{' + usage) + DELTA + STOP)
        assert tally.usage.cache_creation_tokens == 9
        by_lifetime[name] = tally.cost
    price = prices.price_of("m")
    assert by_lifetime["hour"] - by_lifetime["minutes"] == 9 * (
        2 * price.input - price.cache_write
    ).scaleb(-6)


def event(kind: str, **more: Any) -> bytes:
    return b"data: %b\n\n" % orjson.dumps({"type": kind, **more})


def said(**delta: Any) -> bytes:
    return event("content_block_delta", delta=delta)


SPOKEN = [
    (said(type="text_delta", text="word" * 100), 100),
    (said(type="text_delta", text="w") * 400, 100),
    (said(type="thinking_delta", thinking="word" * 100), 100),
    (said(type="thinking_delta", thinking="", estimated_tokens=100), 100),
    (said(type="input_json_delta", partial_json="word" * 100), 100),
    (said(type="signature_delta", signature="word" * 100), 0),
]


@pytest.mark.parametrize(("spoken", "tokens"), SPOKEN)
def test_an_answer_costs_what_has_passed_of_it_until_it_tells(spoken: bytes, tokens: int) -> None:
    tally = Tally()
    sniffer = StreamSniffer(tally)
    sniffer.feed(START + spoken)
    assert tally.usage.output_tokens == 1 + tokens
    assert tally.cost == prices.cost("m", tally.usage)

    sniffer.feed(DELTA)
    assert tally.usage == COUNTED
    assert tally.cost == prices.cost("m", COUNTED)


ADVICE = {"type": "advisor_message", "model": "claude-opus-5-5", "output_tokens": 900}
SUMMARY = {"type": "compaction", "input_tokens": 5000, "output_tokens": 300}
OWN = {"type": "message", "input_tokens": 10, "output_tokens": 20}
USAGE = {"input_tokens": 10, "output_tokens": 20}
BESIDE = {**USAGE, "iterations": [OWN, ADVICE, SUMMARY]}
COST_BESIDE = (
    prices.cost("claude-haiku-5-5", Usage(10, 20))
    + prices.cost("claude-opus-5-5", Usage(output_tokens=900))
    + prices.cost("claude-haiku-5-5", Usage(5000, 300))
)


def test_what_other_models_were_asked_beside_it_costs_what_they_cost() -> None:
    tally = Tally()
    sniffer = StreamSniffer(tally)
    message = {"model": "claude-haiku-5-5", "usage": {"input_tokens": 10, "output_tokens": 1}}
    sniffer.feed(event("message_start", message=message))
    sniffer.feed(event("message_delta", usage={**USAGE, "iterations": [OWN, ADVICE]}))
    sniffer.feed(event("message_delta", usage=BESIDE))

    whole = Tally()
    count_whole(orjson.dumps({"model": "claude-haiku-5-5", "usage": BESIDE}), whole)

    assert tally == whole
    assert tally.usage == Usage(5010, 1220)
    assert (tally.cost, tally.model) == (COST_BESIDE, "claude-haiku-5-5")
