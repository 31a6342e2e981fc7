"""The pure parts: ends of runs, answers to questions, lines, and the probe."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from claude_agent_sdk import (
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionUpdate,
    ToolPermissionContext,
)

from claudeapi.core.errors import (
    BudgetExceeded,
    MaxTurnsReached,
    RunCancelled,
    Unavailable,
    UpstreamError,
    UpstreamOverloaded,
)
from sessions_app.engines.base import Decision, Question
from sessions_app.engines.claude_code import guard, probe, sandbox
from sessions_app.engines.claude_code.failures import Failure
from sessions_app.engines.claude_code.outcome import Ledger, cost_of, problem_of
from sessions_app.engines.claude_code.permissions import answer_of, question_of
from sessions_app.engines.claude_code.process import parsed
from sessions_app.engines.claude_code.sandbox import try_bubblewrap
from sessions_app.engines.claude_code.sniffer import Tally
from sessions_app.sandbox import shelter
from tests.conftest import require_program


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"subtype": "success", "terminal_reason": "completed"}, None),
        ({"subtype": "success", "is_error": True, "api_error_status": 529}, UpstreamOverloaded),
        ({"subtype": "success", "is_error": True}, UpstreamError),
        ({"terminal_reason": "max_turns", "is_error": True}, MaxTurnsReached),
        ({"subtype": "error_max_budget_usd", "is_error": True}, BudgetExceeded),
        ({"subtype": "error_max_budget_usd", "stop_reason": "end_turn"}, None),
        ({"terminal_reason": "aborted_tools", "is_error": True}, RunCancelled),
        ({"stop_reason": "refusal", "is_error": True}, None),
        ({"stop_reason": "max_tokens"}, None),
    ],
)
def test_is_error_and_the_terminal_reason_decide_how_a_run_ended(
    result: dict[str, Any], expected: type[Exception] | None
) -> None:
    problem = problem_of(result, None)

    assert (None if problem is None else type(problem)) is expected


def test_what_the_relay_saw_says_more_than_the_agent() -> None:
    failure = Failure("status", 429, "rate_limit_error", "slow down", 7)

    problem = problem_of({"is_error": True, "api_error_status": 500}, failure)

    assert type(problem) is UpstreamOverloaded
    assert problem.retry_after == 7
    assert problem.details["message"] == "slow down"


def test_costs_are_what_came_since_the_last_result() -> None:
    models = {"a": {"costUSD": 0.1}, "b": {"costUSD": 0.2}}

    assert cost_of({"total_cost_usd": 9, "model_usage_since_last_result": models}) == Decimal("0.3")
    assert cost_of({}) == 0


@pytest.mark.parametrize(
    ("told", "cost"), [(-3, "0.5"), (0.1, "0.5"), (0.75, "0.75"), (1_000_000, "2")]
)
def test_what_the_agent_tells_counts_within_the_bounds_of_what_the_relay_has_counted(
    told: float, cost: str
) -> None:
    ledger = Ledger()
    models = {"a": {"costUSD": told, "outputTokens": 10**9}}
    ledger.note({"type": "result", "model_usage_since_last_result": models})

    assert ledger.cost_beside(Tally(cost=Decimal("0.5"))) == Decimal(cost)


def test_the_text_is_that_of_the_last_message_whatever_was_said_before() -> None:
    ledger = Ledger()
    for message_id, text in (("1", "Let me look. "), ("2", "It is "), ("2", "a heron.")):
        content = [{"type": "text", "text": text}]
        ledger.note({"type": "assistant", "message": {"id": message_id, "content": content}})
    ledger.note(
        {
            "type": "assistant",
            "parent_tool_use_id": "t",
            "message": {"id": "3", "content": [{"type": "text", "text": "a subagent's"}]},
        }
    )

    assert ledger.text == "It is a heron."


def asked() -> Question:
    return Question("t", "Bash", {"command": "ls -l"})


def updates(answer: PermissionResultAllow | PermissionResultDeny) -> list[dict[str, Any]]:
    assert isinstance(answer, PermissionResultAllow)
    return [update.to_dict() for update in answer.updated_permissions or []]


def test_allowing_once_changes_no_permission() -> None:
    assert updates(answer_of(asked(), Decision(allow=True))) == []


def granted(
    name: str, tool_input: dict[str, Any], *suggested: dict[str, Any], modes: Any = ()
) -> Any:
    """What a yes for the session grants: what the question shows, and what the agent is told."""
    context = ToolPermissionContext(
        suggestions=[PermissionUpdate.from_dict(each) for each in suggested], tool_use_id="t"
    )
    question = question_of(name, tool_input, context, {}, modes)
    told = updates(answer_of(question, Decision(allow=True, scope="session"), modes))
    assert told == list(question.suggestions)
    assert {update["destination"] for update in told} <= {"session"}
    return told


@pytest.mark.parametrize(
    ("name", "tool_input", "rule"),
    [
        ("Bash", {"command": "ls -l"}, "ls -l"),
        ("Write", {"file_path": "/w/a.txt"}, "//w/a.txt"),
        ("NotebookEdit", {"notebook_path": "/w/a.ipynb"}, "//w/a.ipynb"),
        ("Skill", {"name": "x"}, None),
    ],
)
def test_without_a_suggestion_only_calls_like_this_one_are_granted(
    name: str, tool_input: dict[str, Any], rule: str | None
) -> None:
    [update] = granted(name, tool_input)

    assert [each.get("ruleContent") for each in update["rules"]] == [rule]


@pytest.mark.parametrize(
    ("name", "tool_input"),
    [
        ("Bash", {"command": "rm *"}),
        ("Bash", {}),
        ("Write", {"file_path": "/w/*.txt"}),
        ("Write", {"file_path": "a.txt"}),
    ],
)
def test_what_a_rule_cannot_say_exactly_is_allowed_once(
    name: str, tool_input: dict[str, Any]
) -> None:
    assert granted(name, tool_input) == []


def test_a_suggestion_is_never_kept_longer_than_the_session() -> None:
    suggestion = {
        "type": "addRules",
        "behavior": "allow",
        "rules": [{"toolName": "Bash", "ruleContent": "ls *"}],
        "destination": "localSettings",
    }

    [update] = granted("Bash", {"command": "ls -l"}, suggestion)

    assert update["rules"][0]["ruleContent"] == "ls *"


@pytest.mark.parametrize("mode", ["acceptEdits", "bypassPermissions"])
def test_a_suggested_mode_that_the_policy_does_not_allow_is_not_taken_up(mode: str) -> None:
    suggestion = {"type": "setMode", "mode": mode, "destination": "session"}
    file = {"file_path": "/w/a.txt"}

    assert [each["type"] for each in granted("Write", file, suggestion)] == ["addRules"]
    allowed = ("default", "acceptEdits", "bypassPermissions")
    [update] = granted("Write", file, suggestion, modes=allowed)
    assert update["type"] == ("setMode" if mode == "acceptEdits" else "addRules")


def test_plans_are_not_begun_where_there_are_only_plans_or_none() -> None:
    for name, modes in (("ExitPlanMode", ("plan",)), ("EnterPlanMode", ("default",))):
        assert isinstance(
            answer_of(Question("t", name, {}), Decision(allow=True), modes), PermissionResultDeny
        )


def test_several_answers_to_one_question_are_joined() -> None:
    question = Question("t", "AskUserQuestion", {"questions": []})
    given = {"answers": {"Which?": ["Red", "Blue"]}}

    answer = answer_of(question, Decision(allow=True, updated_input=given))

    assert isinstance(answer, PermissionResultAllow)
    assert answer.updated_input == {"questions": [], "answers": {"Which?": "Red, Blue"}}


def test_lines_that_are_no_frames_are_skipped_and_half_a_character_is_mended() -> None:
    assert parsed(b"") is None
    assert parsed(b"[SandboxDebug] hello") is None
    assert parsed(b'{"a": ') is None
    assert parsed(b'{"a":"\\ud83d\\ude00 \\ud83d!"}') == {"a": "\U0001f600 \ufffd!"}


def test_characters_that_no_database_takes_are_replaced() -> None:
    assert parsed(b'{"a":["x\\u0000y"],"b\\u0000":{"c":1}}') == {
        "a": ["x\ufffdy"],
        "b\ufffd": {"c": 1},
    }
    assert parsed(b'{"a":"\\\\u0000"}') == {"a": "\\u0000"}


def test_an_agent_without_a_sandbox_starts_where_the_server_is_the_first_process() -> None:
    """As in a container."""
    server = (
        "import os, subprocess, sys; assert os.getpid() == 1; "
        "sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"
    )
    command = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    done = subprocess.run(
        [*command, sys.executable, "-c", server, guard.__file__, "1", "/", "/bin/echo", "hello"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "hello\n")


async def test_the_probe_tells_versions_and_whether_the_sandbox_works() -> None:
    facts = await probe.probe()

    assert facts.cli_version == probe.TESTED_CLI
    assert facts.sdk_version == probe.TESTED_SDK
    assert (facts.sandbox_problem, facts.cli_problem) == ("", "")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("#!/bin/sh\necho 'No GLIBC.' >&2; exit 1\n", "No GLIBC."),
        ("no program", "Exec format error"),
    ],
)
async def test_a_cli_that_does_not_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    program = tmp_path / "claude"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setattr(probe, "find_cli", lambda: program)

    facts = await probe.probe()

    assert (facts.cli_version, facts.cli_problem) == ("", words)


async def test_a_sandbox_that_does_not_work_says_why(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2; exit 1\n")
    program.chmod(0o755)

    assert "namespace" in await try_bubblewrap(str(program))


async def test_a_first_try_that_failed_is_not_remembered_and_all_go_by_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = require_program("bwrap")
    program, broken = tmp_path / "bwrap", tmp_path / "broken"
    broken.touch()
    program.write_text(f'#!/bin/sh\ntest -e {broken} && exit 1; exec {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sandbox, "trial", sandbox.Trial())

    assert not (await sandbox.choose("auto", tmp_path)).closed
    assert not (await sync_to_async(shelter)()).active
    broken.unlink()
    assert (await sync_to_async(shelter)()).active
    broken.touch()
    assert (await sandbox.choose("auto", tmp_path)).closed


async def test_no_answer_is_no_reason_to_do_without_a_sandbox(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(sandbox, "trial", sandbox.Trial())
    monkeypatch.setattr(sandbox, "TRIAL_SECONDS", 0.2)

    with pytest.raises(Unavailable):
        await sandbox.choose("auto", tmp_path)
