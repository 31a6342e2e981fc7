"""The real Claude Code CLI against the simulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from claude_agent_sdk import (
    ClaudeAgentOptions,
    ClaudeSDKClient,
    PermissionResultAllow,
    ResultMessage,
)

from simulator.testing import KEY, MODEL, Probe

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def options(base_url: str, tmp_path: Path) -> ClaudeAgentOptions:
    work = tmp_path / "work"
    work.mkdir()
    return ClaudeAgentOptions(
        cwd=work,
        model=MODEL,
        permission_mode="acceptEdits",
        tools=["Write", "Bash"],
        setting_sources=[],
        strict_mcp_config=True,
        env={
            "ANTHROPIC_BASE_URL": base_url,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CONFIG_DIR": str(tmp_path / "config"),
            "CLAUDE_CODE_TMPDIR": str(tmp_path),
            "XDG_RUNTIME_DIR": str(tmp_path),
            "HOME": str(tmp_path),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "2",
        },
    )


async def ask(client: ClaudeSDKClient, prompt: str) -> ResultMessage:
    await client.query(prompt)
    return await result_of(client)


async def test_a_conversation_with_tools_and_a_fault(
    probe: Probe, options: ClaudeAgentOptions, tmp_path: Path
) -> None:
    async with ClaudeSDKClient(options) as client:
        plain = await ask(client, "hello there")
        assert plain.result is not None
        assert 'You said: "hello there". This is the first message' in plain.result

        target = tmp_path / "work" / "note.txt"
        write = json.dumps({"file_path": str(target), "content": "written by the simulator"})
        wrote = await ask(client, f"[[sim text 'Writing. ']] [[sim tool Write input='{write}']]")
        assert target.read_text() == "written by the simulator"
        assert wrote.result is not None
        assert wrote.result.startswith('The tool returned: "File created successfully')

        parallel = """[[sim tools Bash='{"command":"echo one"}' Bash='{"command":"echo two"}']]"""
        both = await ask(client, parallel)
        assert both.result == 'The tool returned: "one". The tool returned: "two".'

        retried = await ask(client, "[[sim midstream-error after=2]]")
        assert not retried.is_error

        refused = await ask(client, "[[sim refusal]]")
        assert (refused.is_error, refused.stop_reason) == (True, "refusal")

        again = await ask(client, "do you remember?")
        assert again.result is not None
        assert 'the first was: "hello there"' in again.result
    assert (await probe.stats())["in_flight"] == 0


async def result_of(client: ClaudeSDKClient) -> ResultMessage:
    results = [m async for m in client.receive_response() if isinstance(m, ResultMessage)]
    return results[-1]


async def test_after_an_interruption_the_next_prompt_starts_afresh(
    probe: Probe, options: ClaudeAgentOptions
) -> None:
    asked = asyncio.Event()

    async def hold(*_: object) -> PermissionResultAllow:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("never answered")

    options.can_use_tool = hold
    options.permission_mode = "default"
    async with ClaudeSDKClient(options) as client:
        await client.query("[[sim slow n=2000 delay=10ms]]")
        await probe.until(lambda stats: stats["in_flight"] == 1)
        await client.interrupt()
        assert (await result_of(client)).terminal_reason == "aborted_streaming"
        assert (await probe.until(lambda stats: stats["in_flight"] == 0))["cancelled"] == 1

        await client.query("""[[sim tool Bash input='{"command":"python -c 1"}']]""")
        await asyncio.wait_for(asked.wait(), timeout=60)
        await client.interrupt()
        assert (await result_of(client)).terminal_reason == "aborted_tools"

        fresh = await ask(client, "and now?")
        assert fresh.result is not None
        assert 'You said: "and now?"' in fresh.result
    merged = (await probe.requests())[-1]["body"]["messages"]
    last = [message for message in merged if message["role"] == "user"][-1]["content"]
    assert last[0]["type"] == "tool_result"


async def test_structured_output(probe: Probe, options: ClaudeAgentOptions) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    options.output_format = {"type": "json_schema", "schema": schema}
    async with ClaudeSDKClient(options) as client:
        result = await ask(client, "hello")
    assert result.structured_output == {"a": "simulated"}


async def test_a_directive_after_a_picture_is_obeyed(
    probe: Probe, options: ClaudeAgentOptions
) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": "[[sim text seen]]"}]

    async def prompt() -> AsyncIterator[dict[str, object]]:
        yield {"type": "user", "message": {"role": "user", "content": blocks}}

    async with ClaudeSDKClient(options) as client:
        await client.query(prompt())
        assert (await result_of(client)).result == "seen"
    [asked] = [row["body"]["messages"] for row in await probe.requests() if row["body"]["tools"]]
    assert "[Image: source: " in asked[0]["content"][-1]["text"]
