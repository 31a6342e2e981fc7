"""The API as clients see it: over a socket, with the official SDK."""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from simulator.testing import MODEL, Probe, request_body
from simulator.tokens import REPLY_OVERHEAD_TOKENS


async def test_a_stream_has_every_event_in_order(probe: Probe) -> None:
    response = await probe.post("[[sim thinking hm]] hi", stream=True)
    events = [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert [event for event, _ in groupby(events)] == [
        *["message_start", "ping"],
        *[*block, *block],
        *["message_delta", "message_stop"],
    ]
    assert response.headers["request-id"].startswith("req_")
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_the_sdk_assembles_text_thinking_and_tools(sdk: AsyncAnthropic) -> None:
    prompt = """[[sim thinking "so be it"]] [[sim text "Look: "]]
        [[sim tools Bash='{"command":"ls -l /tmp","n":1}' Read='{}']]"""
    for message in (
        await sdk.messages.create(**request_body(prompt)),
        await (await _stream(sdk, prompt)).get_final_message(),
    ):
        thinking, text, bash, read = message.content
        assert thinking.type == "thinking"
        assert (thinking.thinking, bool(thinking.signature)) == ("so be it", True)
        assert text.type == "text"
        assert text.text == "Look: "
        assert bash.type == read.type == "tool_use"
        assert (bash.name, bash.input) == ("Bash", {"command": "ls -l /tmp", "n": 1})
        assert bash.id != read.id
        assert message.stop_reason == "tool_use"
        assert message.usage.input_tokens > 10
        assert message.usage.output_tokens > 5


async def _stream(sdk: AsyncAnthropic, prompt: str) -> Any:
    return await sdk.messages.stream(**request_body(prompt)).__aenter__()


async def test_a_repeated_prefix_is_read_from_the_cache(probe: Probe, sdk: AsyncAnthropic) -> None:
    first = request_body("a long question " * 50, cache_control={"type": "ephemeral"})
    usage = (await sdk.messages.create(**first)).usage
    created = usage.cache_creation_input_tokens
    assert created is not None
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (REPLY_OVERHEAD_TOKENS, 0)
    assert created > 100
    longer: list[Any] = [
        *first["messages"],
        {"role": "assistant", "content": "an answer"},
        {"role": "user", "content": "another question"},
    ]
    usage = (await sdk.messages.create(**first | {"messages": longer})).usage
    assert usage.cache_read_input_tokens == created
    assert usage.cache_creation_input_tokens
    bob = AsyncAnthropic(api_key="sk-bob", base_url=probe.url)
    async with bob:
        usage = (await bob.messages.create(**first)).usage
    assert usage.cache_read_input_tokens == 0


async def test_tokens_are_counted(sdk: AsyncAnthropic) -> None:
    counted = await sdk.messages.count_tokens(
        model=MODEL, messages=[{"role": "user", "content": "hello"}]
    )
    message = await sdk.messages.create(**request_body("hello"))
    assert counted.input_tokens == message.usage.input_tokens > 0


async def test_models_are_paged(sdk: AsyncAnthropic) -> None:
    everything = [model.id async for model in sdk.models.list(limit=5)]
    assert len(everything) == len(set(everything)) > 15
    assert everything[0] == "claude-fable-5-2"
    page = await sdk.models.list(limit=2, after_id=everything[3])
    assert [model.id for model in page.data] == everything[4:6]
    page = await sdk.models.list(limit=2, before_id=everything[3])
    assert [model.id for model in page.data] == everything[1:3]
    assert page.has_more
    one = await sdk.models.retrieve("claude-opus-5-5")
    assert one.display_name == "Claude Opus 5.5"
    with pytest.raises(anthropic.NotFoundError):
        await sdk.models.retrieve("claude-9")


async def test_keys(probe: Probe, base_url: str) -> None:
    for key in ("invalid", "sk-invalid-1"):
        async with AsyncAnthropic(api_key=key, base_url=base_url) as mallory:
            with pytest.raises(anthropic.AuthenticationError) as refused:
                await mallory.messages.create(**request_body())
            assert refused.value.request_id
    bare = await probe.http.get("/v1/models", headers={"x-api-key": ""})
    assert bare.json()["error"]["type"] == "authentication_error"
    bearer = {"x-api-key": "", "authorization": "Bearer token"}
    assert (await probe.http.get("/v1/models", headers=bearer)).status_code == 200


async def test_unknown_models_and_paths_are_404(probe: Probe, sdk: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="nonexistent"):
        await sdk.messages.create(**request_body(model="claude-nonexistent"))
    for path in ("/v1/elsewhere", "/elsewhere"):
        body = (await probe.http.get(path)).json()
        assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
        assert body["request_id"]


TEXT = {"type": "text", "text": "hi"}
CALL = {"type": "tool_use", "id": "t1", "name": "x", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "y"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": None}, "model"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "at least one message"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "first message must use"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "role"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        ({"messages": [{"role": "user", "content": [TEXT | {"text": ""}]}]}, "must be non-empty"),
        ({"messages": [{"role": "user", "content": "  "}]}, "non-whitespace"),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "unexpected `tool_use_id`"),
        (
            {
                "messages": [
                    {"role": "user", "content": "hi"},
                    {"role": "assistant", "content": [CALL]},
                    {"role": "user", "content": "hi"},
                ]
            },
            "without `tool_result` blocks",
        ),
        ({"tools": "Bash"}, "tools"),
        ({"system": 5}, "system"),
        ({"stop_sequences": [None]}, "stop_sequences"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "schema"),
        ({"cache_control": {"type": "ephemeral", "ttl": "2h"}}, "cache_control"),
    ],
)
async def test_what_the_real_api_refuses(
    probe: Probe, fields: dict[str, Any], message: str
) -> None:
    response = await probe.post(**fields)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert message in error["message"]


async def test_claude_codes_empty_system_messages_are_taken(probe: Probe) -> None:
    """It sends them after `/compact`, and so after any conversation that became too long."""
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": []},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "[[sim text 'and on']]"},
    ]
    response = await probe.post(messages=messages)
    assert response.json()["content"] == [{"type": "text", "text": "and on"}]


@pytest.mark.parametrize("field", ["model", "max_tokens", "messages"])
async def test_required_fields(probe: Probe, field: str) -> None:
    body = request_body()
    del body[field]
    response = await probe.http.post("/v1/messages", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"] == f"{field}: Field required"


async def test_bodies_that_are_no_json(probe: Probe) -> None:
    for content in (b"", b"{", b"[]"):
        assert (await probe.http.post("/v1/messages", content=content)).status_code == 400


async def test_consecutive_user_messages_and_beta_fields_are_taken(probe: Probe) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    body = request_body(messages=messages, betas=["x"], context_management={"edits": []})
    response = await probe.http.post(
        "/v1/messages?beta=true", json=body, headers={"anthropic-beta": "unheard-of-2031-01-01"}
    )
    assert 'You said: "b"' in response.json()["content"][0]["text"]


async def test_the_journal_shows_requests_but_no_keys(probe: Probe) -> None:
    await probe.post("remember me")
    journal = await probe.http.get("/sim/requests")
    assert "sk-alice" not in journal.text
    (entry,) = journal.json()["requests"]
    assert entry["key_sha256"] == hashlib.sha256(b"sk-alice").hexdigest()[:16]
    assert entry["credential"] == "x-api-key"
    assert entry["body"]["messages"][0]["content"] == "remember me"
    assert (entry["status"], entry["outcome"]) == (200, "completed")
    assert entry["ended_monotonic"] >= entry["received_monotonic"]
    stats = await probe.stats()
    assert (stats["total"], stats["completed"], stats["in_flight"]) == (1, 1, 0)
    await probe.http.delete("/sim/requests")
    assert (await probe.stats())["total"] == 0
