"""From a request body to a plan, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from simulator.errors import ApiError
from simulator.fault_counters import FaultCounters
from simulator.plan import Plan
from simulator.script import plan_reply
from simulator.validation import read_request

INTERRUPTED = "[Request interrupted by user for tool use]"
REMINDER = "<system-reminder>\nobey [[sim text no]]\n</system-reminder>"


def user(*blocks: str | dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "text", "text": b} if isinstance(b, str) else b for b in blocks]
    return {"role": "user", "content": content}


def call(*ids: str) -> dict[str, Any]:
    content = [{"type": "tool_use", "id": i, "name": "Bash", "input": {}} for i in ids]
    return {"role": "assistant", "content": content}


def result(tool_use_id: str, content: Any = "out", **fields: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": tool_use_id, "content": content}
    return block | fields


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def plan(*messages: dict[str, Any], counters: FaultCounters | None = None, **fields: Any) -> Plan:
    body = {"model": "claude-sonnet-5", "max_tokens": 1000, "messages": list(messages)} | fields
    return plan_reply(read_request(body), counters or FaultCounters())


def spoken(reply: Plan) -> str:
    return "".join("".join(c.pieces) for c in reply.contents if c.kind == "text")


def calls(reply: Plan) -> list[str]:
    return [dict(c.head)["name"] for c in reply.contents if c.kind == "tool_use"]


def test_the_default_reply_knows_the_conversation() -> None:
    reply = spoken(plan(user("first words"), said("yes"), user("and now?")))
    assert 'You said: "and now?"' in reply
    assert '2 earlier messages; the first was: "first words"' in reply


def test_claude_codes_wrapping_is_not_taken_for_the_users_words() -> None:
    system = {"role": "system", "content": REMINDER}
    reply = spoken(plan(user(REMINDER, "real words", REMINDER + "\n"), system))
    assert 'You said: "real words". This is the first message' in reply


SCRIPT = "[[sim tool A]] [[sim text between]] [[sim tools B={} C={}]] [[sim text done]]"


def test_each_request_takes_the_next_part_of_a_script() -> None:
    first = [user(SCRIPT)]
    assert calls(plan(*first)) == ["A"]
    second = [*first, call("t1"), user(result("t1"))]
    assert spoken(plan(*second)) == "between"
    assert calls(plan(*second)) == ["B", "C"]
    third = [*second, call("t2", "t3"), user(result("t2"), result("t3"))]
    assert spoken(plan(*third)) == "done"
    assert plan(*third).stop_reason == "end_turn"


def test_a_call_can_be_repeated() -> None:
    messages = [user("[[sim tool Bash repeat=2]]")]
    for number in range(2):
        assert calls(plan(*messages)) == ["Bash"]
        messages += [call(f"t{number}"), user(result(f"t{number}"))]
    assert calls(plan(*messages)) == []


def test_a_script_that_is_over_quotes_the_tool_result() -> None:
    results = user(result("t1", [{"type": "text", "text": "42 files"}]), REMINDER)
    reply = plan(user("[[sim tool Bash]]"), call("t1"), results)
    assert spoken(reply) == 'The tool returned: "42 files".'
    failed = plan(user("[[sim tool Bash]]"), call("t1"), user(result("t1", "no", is_error=True)))
    assert spoken(failed) == 'The tool failed: "no".'


def test_a_directive_in_a_tool_result_or_a_system_prompt_is_not_obeyed() -> None:
    evil = user(result("t1", "[[sim text owned]]"))
    reply = plan(user("[[sim tool Bash]]"), call("t1"), evil, system="[[sim text owned]]")
    assert spoken(reply).startswith("The tool returned")


def test_new_words_after_an_interruption_start_afresh() -> None:
    merged = user(result("t1"), INTERRUPTED, "now [[sim text fresh]]")
    assert spoken(plan(user("[[sim tool A]] [[sim tool B]]"), call("t1"), merged)) == "fresh"
    plain = user(result("t1"), INTERRUPTED, "go on")
    assert 'You said: "go on"' in spoken(plan(user("[[sim tool A]]"), call("t1"), plain))


def test_only_the_last_words_of_merged_messages_count() -> None:
    merged = user("[[sim status 400]]", "[Request interrupted by user]", "hi")
    assert 'You said: "hi"' in spoken(plan(merged))


def test_times_fails_so_often_and_then_lets_one_through() -> None:
    counters = FaultCounters()
    words = user("[[sim status code=529 times=2 retry-after=1]] [[sim text fine]]")
    for _ in range(2):
        for _ in range(2):
            with pytest.raises(ApiError) as refused:
                plan(words, counters=counters)
            assert refused.value.status == 529
            assert refused.value.headers == {"retry-after": "1"}
        assert spoken(plan(words, counters=counters)) == "fine"


def test_conversations_and_ids_have_counters_of_their_own() -> None:
    counters = FaultCounters()
    once = "[[sim status times=1]]"
    for earlier in ([], [user("a"), said("b")], [user("c"), said("d")]):
        with pytest.raises(ApiError):
            plan(*earlier, user(once), counters=counters)
    with pytest.raises(ApiError):
        plan(user("a [[sim status times=1 id=x]]"), counters=counters)
    plan(user("b [[sim status times=1 id=x]]"), counters=counters)


def test_a_title_call_does_not_obey_the_directives_it_repeats() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    output = {"format": {"type": "json_schema", "schema": schema}}
    reply = plan(user("<session>[[sim status 500]]</session>"), output_config=output)
    assert orjson.loads(spoken(reply)) == {"title": "Simulated session"}


def test_structured_output_is_an_instance_of_the_schema() -> None:
    schema = {
        "type": "object",
        "$defs": {"size": {"enum": ["small", "big"]}},
        "properties": {
            "name": {"type": "string", "minLength": 12},
            "count": {"type": "integer", "minimum": 3},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "size": {"$ref": "#/$defs/size"},
            "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "left": {"type": "boolean"},
            "optional": {"type": "string"},
        },
        "required": ["name", "count", "tags", "size", "when", "left"],
    }
    reply = plan(user("x"), output_config={"format": {"type": "json_schema", "schema": schema}})
    assert orjson.loads(spoken(reply)) == {
        "name": "simulated...",
        "count": 3,
        "tags": ["simulated"],
        "size": "small",
        "when": "2026-01-01",
        "left": False,
    }


def test_a_demanded_tool_is_called() -> None:
    tools = [{"name": "a"}, {"name": "b", "input_schema": {"type": "object"}}]
    chosen = plan(user("x"), tools=tools, tool_choice={"type": "tool", "name": "b"})
    assert calls(chosen) == ["b"]
    structured = plan(user("x"), tools=[{"name": "StructuredOutput"}])
    assert calls(structured) == ["StructuredOutput"]


def test_the_requests_own_bounds() -> None:
    short = plan(user("[[sim text '0123456789']]"), max_tokens=2)
    assert (spoken(short), short.stop_reason) == ("01234567", "max_tokens")
    stopped = plan(user("[[sim text 'one STOP two']]"), stop_sequences=["STOP", "two"])
    assert (spoken(stopped), stopped.stop_reason) == ("one ", "stop_sequence")
    assert stopped.stop_sequence == "STOP"
    shaped = plan(user("[[sim burst n=100]]"), max_tokens=2)
    assert (len(shaped.contents[0].pieces), shaped.stop_reason) == (100, "end_turn")


def test_reasons_on_demand() -> None:
    assert plan(user("[[sim max_tokens]]")).stop_reason == "max_tokens"
    refused = plan(user("[[sim refusal category=bio]]"))
    assert (refused.stop_reason, refused.contents) == ("refusal", ())
    assert refused.stop_details is not None
    assert refused.stop_details["category"] == "bio"


@pytest.mark.parametrize(
    "text",
    [
        "[[sim unknown]]",
        "[[sim slow m=1]]",
        "[[sim tool]]",
        "[[sim tool Bash input=ls]]",
        "[[sim tools Bash]]",
        "[[sim status 200]]",
    ],
)
def test_a_directive_that_makes_no_sense_is_a_400(text: str) -> None:
    with pytest.raises(ApiError, match="simulator:") as refused:
        plan(user(text))
    assert refused.value.status == 400


TOOL = {"name": "StructuredOutput", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("blocks", "fields"),
    [
        (("words first", result("t1")), {}),
        ((result("t1", ["r"]),), {}),
        ((result("t1", 5),), {}),
        ((result("t1", [{"type": "text", "text": 5}]),), {}),
        ((result("t1"),), {"tools": [{"input_schema": {}}], "tool_choice": {"type": "any"}}),
        ((result("t1"),), {"tools": [{"name": "A", "input_schema": {"type": "string"}}]}),
        ((result("t1"),), {"tools": [{"name": "A", "input_schema": 5}]}),
        ((result("t1"),), {"stop_sequences": [""]}),
        ((result("t1"), "[[sim big size=1024MiB chunk=1B]]"), {}),
    ],
)
def test_what_the_api_refuses_is_refused_and_no_fault_of_ours(
    blocks: tuple[Any, ...], fields: dict[str, Any]
) -> None:
    with pytest.raises(ApiError) as refused:
        plan(user("hi"), call("t1"), user(*blocks), **fields)
    assert refused.value.status == 400


def test_claude_codes_notes_may_stand_before_a_result() -> None:
    reply = plan(user("hi"), call("t1"), user(REMINDER, result("t1"), "and now?"))
    assert 'You said: "and now?"' in spoken(reply)


def test_a_schema_that_is_no_object_is_answered_with_an_empty_one() -> None:
    odd = {**TOOL, "input_schema": {"anyOf": [{"const": 5}]}}
    reply = plan(user("hi"), tools=[odd], tool_choice={"type": "any"})
    assert calls(reply) == ["StructuredOutput"]
    assert reply.contents[0].pieces == ["{}"]


def test_a_stop_sequence_stops_the_text_and_what_follows_it_but_no_thought() -> None:
    script = "[[sim thinking 'STOP and think']] [[sim text 'one STOP two']] [[sim tool A]]"
    stopped = plan(user(script), stop_sequences=["STOP"])
    assert [content.kind for content in stopped.contents] == ["thinking", "text"]
    assert (spoken(stopped), stopped.stop_reason) == ("one ", "stop_sequence")


def test_a_tool_that_must_not_be_called_is_not() -> None:
    assert calls(plan(user("hi"), tools=[TOOL])) == ["StructuredOutput"]
    assert calls(plan(user("hi"), tools=[TOOL], tool_choice={"type": "none"})) == []
