"""What an agent cannot see or do, tried by agents that may call any tool unasked."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from claudeapi.core.errors import PolicyDenied, Unavailable
from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code import sandbox
from tests.claude_code.cast import Session, TestHost, bash, no, processes_with, tool, until
from tests.claude_code.conftest import OPERATORS_KEY, MakeEngine

pytestmark = [
    pytest.mark.filterwarnings("ignore::claude_agent_sdk.CanUseToolShadowedWarning"),
    pytest.mark.slow,
]

FREE = {"permissionMode": "bypassPermissions"}
SECRET = "django-insecure-0123456789"


async def output(session: Session, command: str) -> str:
    """What a command says inside a session's sandbox."""
    told = await session.say(bash(command), **FREE)
    assert told.error is None, told.error
    return told.tool_texts[0]


async def test_nothing_of_the_servers_environment_is_seen(
    alice: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SECRET_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", OPERATORS_KEY)

    seen = await output(alice, "env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'")

    assert "ANTHROPIC_API_KEY=" in seen
    assert SECRET not in seen
    assert OPERATORS_KEY not in seen
    assert "DJANGO" not in seen


async def test_another_sessions_files_processes_and_sockets_are_out_of_reach(
    alice: Session, mallory: Session
) -> None:
    await alice.say(tool("Write", file_path=f"{alice.workspace}/diary.txt", content="dear diary"))
    data = alice.engine.workspaces.data_dir
    assert (alice.workspace / "diary.txt").exists()

    seen = await output(
        mallory,
        f"cat {alice.workspace}/diary.txt {data}/agents/{alice.session_id}/config/*; "
        f"ls {data} {data}/*; ls -R {data}/workspaces; "
        "ls /tmp /run; ps -eo comm; cat /etc/shadow /etc/hostname; echo done",
    )

    assert "dear diary" not in seen.replace(f"{alice.workspace}/diary.txt", "")
    assert f"{data}/workspaces/mallory:\n{mallory.session_id}" in seen
    assert f"{data}/workspaces:\nmallory" in seen
    assert f"{data}/agents:\n{mallory.session_id}" in seen
    assert "capi-" not in seen
    assert "python" not in seen
    assert "root:" not in seen
    assert seen.rstrip().endswith("done")


async def test_the_read_tool_and_a_link_do_not_lead_out(alice: Session, mallory: Session) -> None:
    await alice.say(tool("Write", file_path=f"{alice.workspace}/diary.txt", content="dear diary"))
    diary = f"{alice.workspace}/diary.txt"

    await output(mallory, f"ln -s {diary} here")
    told = await mallory.say(
        f"{tool('Read', file_path=diary)} {tool('Read', file_path=f'{mallory.workspace}/here')}",
        **FREE,
    )

    assert len(told.tool_texts) == 2
    assert "dear diary" not in str(told.wholes)


async def test_the_only_network_is_the_relay_and_it_forwards_only_messages(
    alice: Session, upstream: Upstream
) -> None:
    port = upstream.base_url.rpartition(":")[2]

    seen = await output(
        alice,
        f"(echo >/dev/tcp/127.0.0.1/{port}) 2>&1; "
        "curl -s -o /dev/null --unix-socket /run/upstream.sock http://x/v1/models "
        "-w ' %{http_code}\\n'; "
        'h="x-api-key: $ANTHROPIC_API_KEY"; v="anthropic-version: 2023-06-01"; '
        'for path in /v1/files /v1/organizations/me /sim/requests "/v1/../sim/requests"; do '
        "curl -s --path-as-is -o /dev/null -w '%{http_code} ' "
        '-H "$h" --unix-socket /run/upstream.sock "http://x$path"; done; '
        'curl -s -o /dev/null -w \'%{http_code}\' -H "$h" -H "$v" '
        "--unix-socket /run/upstream.sock http://x/v1/models",
    )

    assert "refused" in seen or "unreachable" in seen
    assert " 401" in seen
    assert "404 404 404 404 200" in seen


async def test_nothing_outside_the_sessions_own_folders_can_be_written(alice: Session) -> None:
    seen = await output(alice, "touch /x /usr/x /etc/x /run/x; ls /tmp; touch /tmp/x here; echo ok")

    assert seen.count("Read-only file system") == 4
    assert seen.rstrip().endswith("ok")
    assert (alice.workspace / "here").exists()


async def test_the_server_writes_through_no_link_that_an_agent_has_made(
    mallory: Session, tmp_path: Path
) -> None:
    victim = tmp_path / "victims" / f"{mallory.claude_id}.jsonl"
    victim.parent.mkdir()
    victim.write_text("precious")
    mallory.system_prompt = mallory.append_system_prompt = "Be brief."
    replaced = "mv projects old; mkdir projects; ln -s {0} projects/$(ls old); "
    for attack in (
        "ln -sf {1} system-prompt.md; ln -sf {1} append-system-prompt.md; "
        "ln -sf {1} ../prompts/system-prompt.md; ln -sf {1} projects/*/*.jsonl; ",
        replaced,
        "rm -r old projects; ln -s {0} projects; ",
    ):
        links = attack.format(victim.parent, victim)
        await output(mallory, f"cd $CLAUDE_CONFIG_DIR; {links} chmod 500 . projects; true")
        await mallory.engine.release(mallory.session_id)

        assert "earlier message" in (await mallory.say("And now?")).finished.text, attack
        assert victim.read_text() == "precious"
        assert [file.name for file in victim.parent.iterdir()] == [victim.name]


async def test_hooks_settings_servers_and_memory_of_the_workspace_are_not_loaded(
    alice: Session,
) -> None:
    work = alice.workspace
    (work / ".claude").mkdir(parents=True)
    hook = {"hooks": [{"type": "command", "command": f"touch {work}/hooked"}]}
    (work / ".claude" / "settings.json").write_text(
        f'{{"hooks": {{"UserPromptSubmit": [{str(hook).replace(chr(39), chr(34))}]}}}}'
    )
    (work / ".mcp.json").write_text('{"mcpServers": {"evil": {"command": "/bin/true"}}}')

    told = await alice.say("Hello")

    assert told.finished.status == "completed"
    assert told.of("system", "init")[0]["mcp_servers"] == []
    assert not (work / "hooked").exists()


async def test_commands_and_files_typed_into_a_prompt_are_only_words(alice: Session) -> None:
    note = alice.workspace / "note.txt"
    await alice.say("Hello")
    note.write_text("the heron flies")

    cleared = await alice.say("/clear")
    mentioned = await alice.say(f"What is in @{note} and @note.txt?")

    assert "/clear" in cleared.finished.text
    assert cleared.of("result")[0]["session_id"] == alice.claude_id
    kept = await alice.engine.transcripts.load(alice.claude_id, "")
    after = str(kept[-12:])
    assert "What is in @" in after
    assert "heron" not in str(mentioned.wholes)
    assert "heron" not in after


async def test_bypassing_permissions_needs_the_sandbox(
    make_engine: MakeEngine, upstream: Upstream
) -> None:
    alice = Session(make_engine(sandbox_mode="off"), upstream)

    told = await alice.say("Hello", **FREE)

    assert type(told.error) is PolicyDenied


async def test_without_a_sandbox_the_environment_is_still_made_from_nothing(
    make_engine: MakeEngine, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SECRET_KEY", SECRET)
    alice = Session(make_engine(sandbox_mode="off"), upstream)

    told = await alice.say(bash("env; pwd"))

    assert "DJANGO" not in told.tool_texts[0]
    assert OPERATORS_KEY not in told.tool_texts[0]
    assert str(alice.workspace) in told.tool_texts[0]


async def test_a_required_sandbox_that_does_not_work_stops_the_engine(
    make_engine: MakeEngine, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    alice = Session(make_engine(), upstream)

    told = await alice.say("Hello")

    assert type(told.error) is Unavailable
    assert "bubblewrap" in told.error.details["reason"]


@pytest.mark.parametrize("mode", ["required", "off"])
async def test_when_the_server_is_killed_nothing_of_a_session_survives(
    mode: str, tmp_path: Path, simulator: str
) -> None:
    mark = f"7{os.getpid()}"
    command = f"(setsid sleep {mark} &) ; sleep {mark}"
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.claude_code.host_process"),
        *(str(tmp_path), simulator, mode, command),
    )
    await until(lambda: len(processes_with(f"sleep\0{mark}")) == 2)

    server.send_signal(signal.SIGKILL)
    await server.wait()

    await until(lambda: not processes_with(str(tmp_path)) and not processes_with(f"sleep\0{mark}"))


async def test_a_closed_session_leaves_no_process(alice: Session) -> None:
    mark = f"8{os.getpid()}"
    saying = asyncio.create_task(alice.say(bash(f"(setsid sleep {mark} &); sleep {mark}")))
    await until(lambda: len(processes_with(f"sleep\0{mark}")) == 2)

    await alice.engine.release(alice.session_id)

    await saying
    await until(
        lambda: not processes_with(f"sleep\0{mark}") and not processes_with(alice.claude_id)
    )


async def test_without_a_sandbox_writing_elsewhere_is_asked_for(
    make_engine: MakeEngine, upstream: Upstream, tmp_path: Path
) -> None:
    alice, host = Session(make_engine(sandbox_mode="off"), upstream), TestHost(no)

    await alice.say(tool("Write", file_path=str(tmp_path / "x"), content="x"), host)

    assert len(host.asked) == 1


@pytest.mark.parametrize("mode", ["required", "off"])
async def test_no_tool_asks_other_hosts(
    mode: str, make_engine: MakeEngine, upstream: Upstream
) -> None:
    alice, host = Session(make_engine(sandbox_mode=mode), upstream), TestHost()

    told = await alice.say(tool("WebFetch", url=f"{upstream.base_url}/fetched", prompt="?"), host)

    assert host.asked == []
    assert "WebFetch" not in told.of("system", "init")[0]["tools"]
    assert "No such tool available" in told.tool_texts[0]


async def test_no_tool_reaches_a_model_that_the_policy_lacks(alice: Session) -> None:
    alice.model, alice.config = "haiku", {"models": ["haiku", "claude-haiku-*"]}
    body = '{"model":"claude-opus-5-5","max_tokens":9,"messages":[{"role":"user","content":"X"}]}'
    ask = (
        f"curl -s -d '{body}' -H \"x-api-key: $ANTHROPIC_API_KEY\" "
        "--unix-socket /run/upstream.sock http://x/v1/messages"
    )

    told = await alice.say(bash(ask))

    assert told.finished.status == "completed"
    assert "does not allow this model" in told.tool_texts[0]
    assert told.spent.model.startswith("claude-haiku")
