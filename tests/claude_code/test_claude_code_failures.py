"""What can go wrong, and what it becomes."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from claudeapi.core.errors import (
    ApiError,
    BudgetExceeded,
    MaxTurnsReached,
    PolicyDenied,
    RunLost,
    Unavailable,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)
from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code import actor, run
from sessions_app.engines.events import Delta
from tests.claude_code.cast import Session, Told, bash, processes_with, until
from tests.claude_code.conftest import OPERATORS_KEY, MakeEngine

pytestmark = pytest.mark.slow


@pytest.fixture
def impatient(make_engine: MakeEngine, upstream: Upstream) -> Session:
    """A session whose agent tries a failed request once more, not four times."""
    return Session(make_engine(retries=1), upstream)


FAILURES: list[tuple[str, type[ApiError], int | None]] = [
    ("status 400 message='Bad thing.'", UpstreamRejected, 400),
    ("status 401", UpstreamRejected, 401),
    ("status 403", UpstreamRejected, 403),
    ("status 404", UpstreamRejected, 404),
    ("status 413", UpstreamRejected, 413),
    ("status 429 retry-after=60", UpstreamOverloaded, 429),
    ("status 529", UpstreamOverloaded, 529),
    ("status 500", UpstreamError, 500),
    ("cut", UpstreamError, None),
]


async def test_each_failure_of_the_upstream_gets_its_own_code(impatient: Session) -> None:
    for directive, expected, status in FAILURES:
        told = await impatient.say(f"[[sim {directive}]]")

        assert type(told.error) is expected, (directive, told.of("result"))
        assert status is None or told.error.details["status"] == status
        assert OPERATORS_KEY not in str(told.error.details)
        if "retry-after" in directive:
            assert told.error.retry_after == 60
    assert (await impatient.say("[[sim text 'well again']]")).finished.text == "well again"


@pytest.mark.slow
async def test_an_overload_that_lasts_is_given_up_within_a_minute(alice: Session) -> None:
    began = time.monotonic()

    told = await alice.say("[[sim status 529]]")

    assert type(told.error) is UpstreamOverloaded
    assert len(told.of("system", "api_retry")) == 4
    assert time.monotonic() - began < 30


async def test_a_failure_that_passes_is_retried_and_the_retries_are_seen(alice: Session) -> None:
    told = await alice.say("[[sim status 529 times=2]] [[sim text 'third time lucky']]")

    assert told.finished.text == "third time lucky"
    assert [note["attempt"] for note in told.of("system", "api_retry")] == [1, 2]


async def test_an_upstream_that_cannot_be_reached_is_told_so(impatient: Session) -> None:
    alice = impatient
    alice.upstream = Upstream("http://127.0.0.1:9", OPERATORS_KEY, 30.0)

    told = await alice.say("Hello")

    assert type(told.error) is UpstreamError


async def test_an_upstream_that_stalls_is_given_up(alice: Session) -> None:
    patient = alice.upstream
    alice.upstream = replace(patient, idle_timeout=1.0)
    for directive in ("stall after=3", "stall after=3 pings=true every=50ms", "silence"):
        began = time.monotonic()

        told = await alice.say(f"[[sim {directive}]]")

        assert type(told.error) is UpstreamTimeout
        assert time.monotonic() - began < 10
    alice.upstream = patient
    assert (await alice.say("[[sim text 'well again']]")).finished.text == "well again"


async def test_an_agent_that_falls_silent_is_given_up(
    alice: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_GRACE", 0.5)
    await alice.say("Hello")
    own = alice.upstream = replace(alice.upstream)

    def stop(event: object) -> None:
        if isinstance(event, Delta) and b"tok3 " in event.raw:
            # Only now: an agent may be slow to begin.
            object.__setattr__(own, "idle_timeout", 0.5)
            for pid in processes_with(alice.claude_id):
                os.kill(pid, signal.SIGSTOP)

    told = await alice.say("[[sim slow n=500 delay=20ms]]", on_event=stop)

    assert type(told.error) is UpstreamTimeout
    await until(lambda: not processes_with(alice.claude_id))


async def test_an_idle_agent_that_does_not_answer_is_replaced(
    alice: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "SWITCH_TIMEOUT", 1.0)
    monkeypatch.setattr(actor, "TRUSTED_IDLE", 0.0)
    await alice.say("Remember the word heron.")
    for pid in processes_with(alice.claude_id):
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()

    told = await alice.say("Which word?")

    assert "heron" in told.finished.text
    assert time.monotonic() - began < 12


async def test_a_killed_agent_loses_the_run_and_the_next_message_carries_on(
    alice: Session,
) -> None:
    await alice.say("Remember the word heron.")

    def kill(event: object) -> None:
        if isinstance(event, Delta) and b"tok3 " in event.raw:
            for pid in processes_with(alice.claude_id):
                os.kill(pid, signal.SIGKILL)

    told = await alice.say("[[sim slow n=500 delay=20ms]]", on_event=kill)

    assert type(told.error) is RunLost
    assert told.spent.usage.output_tokens > 0
    assert told.spent.cost_usd > 0
    assert "heron" in (await alice.say("Which word?")).finished.text


async def test_an_agent_killed_in_its_first_run_can_go_on_too(alice: Session) -> None:
    def kill(event: object) -> None:
        if isinstance(event, Delta):
            for pid in processes_with(alice.claude_id):
                os.kill(pid, signal.SIGKILL)

    told = await alice.say("[[sim slow n=500 delay=20ms]]", on_event=kill)

    assert type(told.error) is RunLost
    assert (await alice.say("[[sim text 'here']]")).finished.text == "here"


async def test_a_missing_cli_is_told_with_what_to_do(
    make_engine: MakeEngine, upstream: Upstream, tmp_path: Path
) -> None:
    alice = Session(make_engine(cli=tmp_path / "nothing"), upstream)

    told = await alice.say("Hello")

    assert type(told.error) is Unavailable
    assert "claude-agent-sdk" in told.error.details["remedy"]


async def test_a_cli_that_refuses_to_start_is_told_with_its_own_words(
    make_engine: MakeEngine, upstream: Upstream, tmp_path: Path
) -> None:
    cli = tmp_path / "claude"
    cli.write_text('#!/bin/sh\necho "no, with $ANTHROPIC_API_KEY" >&2\nexit 3\n')
    cli.chmod(0o755)
    alice = Session(make_engine(cli=cli), upstream)

    told = await alice.say("Hello")

    assert type(told.error) is Unavailable
    assert told.error.details["reason"] == "no, with …"


async def test_a_line_longer_than_the_server_reads_loses_the_run(
    make_engine: MakeEngine, upstream: Upstream
) -> None:
    alice = Session(make_engine(max_line=200_000), upstream)

    told = await alice.say("[[sim big size=400KB]]")

    assert type(told.error) is RunLost
    assert "longer" in told.error.details["reason"]
    assert (await alice.say("[[sim text 'here']]")).finished.text == "here"


async def test_an_agent_that_uses_up_its_turns_is_stopped(alice: Session) -> None:
    alice.config = {"maxTurns": 2}

    told = await alice.say(" ".join(bash("ls") for _ in range(4)))

    assert type(told.error) is MaxTurnsReached
    assert told.spent.cost_usd > 0
    assert (await alice.say("[[sim text 'well again']]")).finished.text == "well again"


async def test_a_session_past_its_budget_takes_no_more_messages(alice: Session) -> None:
    await alice.say("Hello")
    alice.config = {"maxBudgetUsd": f"{alice.spent + 0.0001:.8f}"}

    past = await alice.say(" ".join(bash("ls") for _ in range(4)))
    after = await alice.say("Hello?")

    assert type(past.error) is BudgetExceeded
    assert 0 < past.spent.cost_usd < Decimal("0.05")
    assert type(after.error) is BudgetExceeded
    assert past.error.details == after.error.details == {"of": "session"}
    assert after.events == []


async def test_an_answer_that_is_whole_counts_though_it_has_spent_the_budget(
    alice: Session,
) -> None:
    alice.config = {"maxBudgetUsd": "0.0001"}

    told = await alice.say("[[sim text 'Paid for.']]")
    after = await alice.say("Hello?")

    assert (told.finished.status, told.finished.text) == ("completed", "Paid for.")
    assert type(after.error) is BudgetExceeded


async def test_an_error_in_mid_stream_is_made_good_by_the_agent_and_the_text_replaced(
    alice: Session,
) -> None:
    told = await alice.say("[[sim slow n=20 delay=1ms]] [[sim midstream-error after=5]]")

    assert told.finished.text.split()[-1] == "tok19"
    assert told.finished.text.count("tok3 ") == 1


async def test_a_refusal_is_how_a_run_can_end_not_an_error(alice: Session) -> None:
    told = await alice.say("[[sim refusal]]")

    assert told.finished.stop_reason == "refusal"


async def test_what_a_tool_asks_the_upstream_for_itself_is_paid_for_and_bounded(
    alice: Session,
) -> None:
    await alice.say("Hello")
    body = (
        '{"model":"claude-opus-5-5","max_tokens":9000,"messages":[{"role":"user","content":"X"}]}'
    )
    body = body.replace("X", "word " * 400)
    ask = (
        f"for n in 1 2 3 4; do curl -s -o /dev/null -w '%{{http_code}} ' -d '{body}' "
        '-H "x-api-key: $ANTHROPIC_API_KEY" -H "anthropic-version: 2023-06-01" '
        "--unix-socket /run/upstream.sock http://x/v1/messages; done"
    )

    free = await alice.say(bash(ask))
    told = sum(_told_by_the_agent(free))
    bound = await alice.say(bash(ask), keyBudgetUsd=f"{told + 0.001:.6f}")

    assert free.tool_texts[0].split() == ["200"] * 4
    assert float(free.spent.cost_usd) > told + 4 * 0.002
    assert "403" in bound.tool_texts[0]
    assert type(bound.error) is BudgetExceeded
    assert bound.error.details == {"of": "key"}


def _told_by_the_agent(told: Told) -> list[float]:
    models = told.of("result")[0]["model_usage_since_last_result"]
    return [usage["costUSD"] for usage in models.values()]


async def test_one_run_alone_cannot_fill_the_disk(
    make_engine: MakeEngine, upstream: Upstream
) -> None:
    alice = Session(make_engine(quota=5_000_000, quota_seconds=0.2), upstream)

    told = await alice.say(bash("for n in $(seq 600); do head -c 1000000 /dev/zero >$n; done"))

    assert type(told.error) is PolicyDenied
    assert told.error.details["field"] == "workspaceBytes"
    assert 5 < len(alice.files()) < 600
