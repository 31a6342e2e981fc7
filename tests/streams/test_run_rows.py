"""The database side of runs, where a process would have to fail at the wrong moment."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import orjson
import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from claudeapi.core import machine
from claudeapi.core.errors import ConcurrencyLimitExceeded, UpstreamRejected
from keys_app.models import ApiKey
from sessions_app import (
    cleanup,
    eventlog,
    homes,
    payloads,
    processes,
    recovery,
    runs,
    switch,
    transcripts,
    turns,
)
from sessions_app import queued as queued_runs
from sessions_app.actions import messages
from sessions_app.actions.approvals import decide
from sessions_app.actions.messages import NewMessage, send_message
from sessions_app.actions.origins import NewSession, copy_for
from sessions_app.actions.service import turn_switch
from sessions_app.actions.sessions import create_session, stop_runs
from sessions_app.models import Approval, Message, Run, RunStatus, ServerProcess, Session
from sessions_app.recovery import Driven
from sessions_app.runner import runner
from sessions_app.runs import Outcome

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _forgotten_switch() -> Iterator[None]:
    switch.forget()
    yield
    switch.forget()


def queued(session: Session, **fields: object) -> Run:
    of = {"owner": runs.PROCESS_ID, **fields}
    made: Run = Run.objects.create(session=session, key=session.key, prompt=[], **of)
    return made


def test_what_shall_stop_does_so_while_the_service_is_paused(session: Session) -> None:
    patient, late = queued(session), queued(session, timeout_ms=1)
    turn_switch("paused", by="alice")
    switch.forget()
    assert runs.claim_next(session.id) is None
    queued_runs.time_out_late()
    claim = runs.claim_next(session.id)
    assert claim is not None
    assert (claim.run, claim.run.cancel_reason) == (late, "timeout")
    patient.refresh_from_db()
    assert (patient.status, patient.cancel_reason) == (RunStatus.QUEUED, "")


def test_an_interrupt_stops_what_is_about_to_begin_and_nothing_else(session: Session) -> None:
    first, second = queued(session), queued(session)
    message = NewMessage([], on_busy="interrupt")
    third = send_message(session.key, session.pk, message)
    fourth = send_message(session.key, session.pk, message)
    told = dict(Run.objects.values_list("pk", "cancel_reason"))
    assert [told[run.pk] for run in (first, second, third, fourth)] == [
        "interrupted", "", "interrupted", "",
    ]  # fmt: skip
    assert session.runs.filter(cancel_reason="").in_turn().first() == fourth


@pytest.mark.parametrize("on_busy", ["enqueue", "interrupt"])
def test_a_queue_has_an_end(
    session: Session, on_busy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_QUEUED", 3)
    queued(session, status=RunStatus.RUNNING)
    for _ in range(3):
        send_message(session.key, session.pk, NewMessage([], on_busy="enqueue"))
    with pytest.raises(ConcurrencyLimitExceeded) as refused:
        send_message(session.key, session.pk, NewMessage([], on_busy=on_busy))
    assert refused.value.details == {"limit": 3, "of": "session"}
    assert not session.runs.exclude(cancel_reason="").exists()
    session.runs.filter(status=RunStatus.QUEUED)[0].delete()
    send_message(session.key, session.pk, NewMessage([], on_busy=on_busy))


def test_stopping_many_reads_no_prompt_and_tells_each_process_once(session: Session) -> None:
    live = queued(session, status=RunStatus.RUNNING)
    first = queued(session)
    far = queued(session, owner="another")
    for _ in range(3):
        queued(session)
        queued(session, owner="another")
    told: list[tuple[UUID, str]] = []
    with (
        patch.object(runner, "nudge", lambda *run: told.append(run)),
        TestCase.captureOnCommitCallbacks(execute=True),
        CaptureQueriesContext(connection) as made,
    ):
        assert stop_runs(session, "cancelled") == live
    assert set(Run.objects.values_list("cancel_reason", flat=True)) == {"cancelled"}
    assert not any('"prompt"' in query["sql"] for query in made)
    assert sorted(told) == sorted((run.pk, run.owner) for run in (live, first, far))


def a_process(**fields: object) -> str:
    """Of this host by its name, with a process id that nobody has."""
    made = {"id": uuid4().hex, "host": socket.gethostname(), "pid": 2**22 + 1, **fields}
    return ServerProcess.objects.create(heartbeat_at=Now(), **made).pk


def test_only_on_its_own_machine_a_missing_pid_is_proof_of_an_end() -> None:
    twin, unknown = a_process(machine="another boot"), a_process()
    ours = a_process(machine=machine.IDENTITY)
    assert {twin, unknown} <= processes.living()
    assert ours not in processes.living()


def test_heartbeats_are_compared_by_the_databases_clock() -> None:
    processes.beat({})
    here = a_process(machine="another boot")
    with patch.object(timezone, "now", lambda: datetime.now(UTC) + timedelta(hours=1)):
        assert here in processes.living()
    ServerProcess.objects.filter(pk=here).update(heartbeat_at=Now() - timedelta(seconds=20))
    assert here not in processes.living()


def test_a_process_learns_at_its_next_heartbeat_that_it_was_thought_dead() -> None:
    assert not processes.beat({})  # nobody knew of it
    assert processes.beat({})
    ServerProcess.objects.update(heartbeat_at=Now() - timedelta(seconds=20))
    assert not processes.beat({})
    assert processes.beat({})


def test_a_runs_end_does_not_shorten_what_was_extended_meanwhile(session: Session) -> None:
    queued(session)
    claim = runs.claim_next(session.id)
    assert claim is not None
    until = timezone.now() + timedelta(days=1)
    Session.objects.update(expires_at=until)
    encoder = payloads.Encoder(session.id, claim.run.id, "")
    runs.conclude(claim, Outcome(RunStatus.COMPLETED), encoder, [], [], claim.start - 1)
    session.refresh_from_db()
    assert session.expires_at == until


def test_a_conversation_longer_than_any_upstream_takes_is_not_read(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"role": "user", "content": "x" * 1000}
    Message.objects.create(session=session, sequence=1, type="user", content={"message": said})
    Session.objects.update(reserved_event_id=1)
    queued(session)
    claim = runs.claim_next(session.id)
    assert claim is not None
    assert turns.turn_of(claim).history == [said]
    monkeypatch.setattr(turns, "MAX_HISTORY", 1000)
    with CaptureQueriesContext(connection) as made, pytest.raises(UpstreamRejected) as refusal:
        turns.turn_of(claim)
    assert len(made) == 1
    assert (refusal.value.details["type"], refusal.value.details["status"]) == (
        "request_too_large", 413,
    )  # fmt: skip


def test_a_session_is_removed_without_reading_what_was_said(session: Session) -> None:
    for _ in range(3):
        Approval.objects.create(session=session, run=queued(session), expires_at=timezone.now())
    with CaptureQueriesContext(connection) as made:
        assert cleanup.remove(session)
    assert not Run.objects.exists()
    assert not any('"prompt"' in query["sql"] for query in made)


def test_a_claim_whose_answer_was_lost_ends_as_lost(session: Session) -> None:
    run = queued(session)
    assert runs.claim_next(session.id) is not None  # and nobody hears of it
    nothing = Driven([], [])
    assert recovery.recover_undriven(nothing) == []  # it may still be on its way to its driver
    Run.objects.update(started_at=timezone.now() - timedelta(seconds=10))
    assert recovery.recover_undriven(Driven([run.id], [])) == []
    assert recovery.recover_undriven(Driven([], [session.id])) == []
    assert [lost for lost, _ in recovery.recover_undriven(nothing)] == [session.id]
    run.refresh_from_db()
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, "RUN_LOST")


def test_a_process_that_signs_in_while_we_look_keeps_its_run(session: Session) -> None:
    there, living = uuid4().hex, processes.living
    run = queued(session, status=RunStatus.RUNNING, owner=there)

    def asked_too_early() -> set[str]:
        alive = living()
        if there not in alive:
            a_process(id=there, machine="another boot")
        return alive

    with patch.object(processes, "living", asked_too_early):
        assert recovery.recover() == ([], [])
    run.refresh_from_db()
    assert run.status == RunStatus.RUNNING
    ServerProcess.objects.filter(pk=there).delete()
    assert [lost for lost, _ in recovery.recover()[0]] == [session.id]


def told_of(session: Session) -> list[tuple[str, str]]:
    """The tools and states that the log's approval events tell of."""
    said = [event for event in eventlog.read(session.id, 0) if event.name == "approval"]
    return [(body["toolName"], body["status"]) for body in (orjson.loads(one.data) for one in said)]


def test_a_yes_that_the_agent_has_not_heard_when_its_process_dies_is_none(
    session: Session,
) -> None:
    run = queued(session)
    claim = runs.claim_next(session.id)
    assert claim is not None
    encoder = payloads.Encoder(session.id, run.id, "")
    later = timezone.now() + timedelta(hours=1)
    rows = [
        Approval.objects.create(session=session, run=run, tool_name=name, expires_at=later)
        for name in ("heard", "unheard", "refused", "waiting")
    ]
    heard, unheard, refused, _ = rows
    events = [encoder.approval(number, row) for number, row in enumerate(rows, claim.start)]
    for row in (heard, unheard):
        decide(row, allow=True, scope="session", decided_by="Alice")
    decide(refused, allow=False, decided_by="Alice")
    events.append(encoder.approval(claim.start + 4, heard))
    eventlog.flush(session.id, run.id, events, [], claim.limit)

    Run.objects.update(owner=a_process(machine=machine.IDENTITY))
    recovery.recover()

    assert told_of(session)[5:] == [
        ("unheard", "cancelled"), ("refused", "denied"), ("waiting", "cancelled"),
    ]  # fmt: skip
    unheard.refresh_from_db()
    assert (unheard.scope, unheard.message) == ("", "The run was lost.")
    last = eventlog.read(session.id, 0)[-1]
    assert (last.name, b"RUN_LOST" in last.data) == ("error", True)


def an_agent(key: ApiKey, **fields: Any) -> Session:
    later = timezone.now() + timedelta(hours=1)
    of = {"engine": "claude-code", "claude_session_id": "c", **fields}
    made: Session = Session.objects.create(key=key, timeout_ms=1, expires_at=later, **of)
    return made


def test_a_conversation_carried_on_is_answered_where_its_agent_lives(session: Session) -> None:
    there = a_process(machine="another boot")
    ended = an_agent(session.key, status="ended")
    queued(ended, status="completed", started_at=timezone.now(), owner=there)
    resumed = an_agent(session.key)
    assert homes.owner_for(resumed) == there
    assert homes.other_holders(resumed) == {there}


def test_a_session_that_has_moved_once_is_at_home_where_it_is(session: Session) -> None:
    agent, there = an_agent(session.key), a_process(machine="another boot")
    for owner in (there, runs.PROCESS_ID):
        queued(agent, status="completed", started_at=timezone.now(), owner=owner)
    queued(agent)
    claim = runs.claim_next(agent.id)
    assert claim is not None
    assert claim.config["moved"] is False
    assert homes.other_holders(agent) == set()


def test_what_an_ended_sessions_run_still_writes_is_branched_from(session: Session) -> None:
    ended = an_agent(session.key, status="ended", model="m")
    begun = queued(ended, status="running", started_at=timezone.now())
    wanted = NewSession(resume=str(ended.pk))
    with copy_for(session.key, wanted) as copy:
        branch = create_session(session.key, wanted, copy)
    assert branch.claude_session_id not in ("c", "")
    Run.objects.filter(pk=begun.pk).update(status="cancelled")
    assert create_session(session.key, wanted).claude_session_id == "c"


def test_a_line_that_comes_twice_in_one_batch_is_kept_once() -> None:
    line = {"uuid": "a", "type": "user"}
    transcripts.append("c", "", [line, line, {"type": "note"}, {"type": "note"}])
    assert len(transcripts.load("c", "") or []) == 3
