"""Runs that nobody drives any more: found, and ended truthfully as `RUN_LOST`.

All functions here are sync, and each run's end is one transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import orjson
from django.db import transaction
from django.utils import timezone

from claudeapi.core import errors
from claudeapi.core.process import PROCESS_ID
from sessions_app import eventlog, metrics, payloads, processes
from sessions_app.hub import Event
from sessions_app.models import Approval, ApprovalStatus, Run, RunStatus, Session
from sessions_app.runs import Claim, Outcome, conclude

CLAIM_SECONDS = 5.0  # that a claim may take to become a driven run


def recover(session_id: UUID | None = None) -> tuple[list[tuple[UUID, int]], list[UUID]]:
    """End truthfully, as `RUN_LOST`, the live runs whose process is gone.

    Returns:
        Each lost run's session and last event, and the sessions with a queued run that nobody
        drives.
    """
    alive = processes.living()
    orphans = Run.objects.unfinished().exclude(owner__in=alive)
    if session_id is not None:
        orphans = orphans.filter(session_id=session_id)
    lost: list[tuple[UUID, int]] = []
    waiting: list[UUID] = []
    for run in orphans.select_related("session"):
        if run.status == RunStatus.QUEUED:
            if not Run.objects.live().filter(session_id=run.session_id, owner__in=alive).exists():
                waiting.append(run.session_id)
        elif event := _lose(run):
            lost.append((run.session_id, event.id))
    return lost, waiting


@dataclass(frozen=True, slots=True)
class Driven:
    """What this process drives, as it is at one moment.

    Attributes:
        runs: those that have a driver.
        claiming: sessions whose next run is being claimed.
    """

    runs: Collection[UUID]
    claiming: Collection[UUID]
    at: datetime = field(default_factory=timezone.now)


def recover_undriven(driven: Driven) -> list[tuple[UUID, int]]:
    """End as lost the runs of this process that it does not drive.

    A claim whose commit went through and whose answer did not makes such a run, and so does
    an end that can't be written.

    Returns:
        Each lost run's session and last event.
    """
    # Of what has begun since it says nothing, however late we come to ask.
    settled = driven.at - timedelta(seconds=CLAIM_SECONDS)
    ours = Run.objects.live().filter(owner=PROCESS_ID, started_at__lt=settled)
    found = ours.exclude(pk__in=driven.runs).exclude(session_id__in=driven.claiming)
    lost = [(run.session_id, _lose(run)) for run in found.select_related("session")]
    return [(session_id, event.id) for session_id, event in lost if event]


def _lose(run: Run) -> Event | None:
    with transaction.atomic():
        session = Session.objects.select_for_update().get(pk=run.session_id)
        owner = run.owner
        run = Run.objects.get(pk=run.pk)
        if run.finished or run.owner != owner:
            return None
        if owner != PROCESS_ID and owner in processes.living():
            return None  # it has signed in, or come back, since we asked who lives
        start, _ = eventlog.acquire(session.id, run.id)
        outcome = Outcome(RunStatus.FAILED.value, errors.RunLost())
        encoder = payloads.Encoder(session.id, run.id, session.claude_session_id)
        claim = Claim(run, session, start, start)
        told = [
            encoder.approval(number, row)
            for number, row in enumerate(_untold_approvals(run), start=start)
        ]
        end = conclude(claim, outcome, encoder, told, [], start - 1 + len(told))
        transaction.on_commit(partial(metrics.count_run, run, session.engine))
        return end


def _untold_approvals(run: Run) -> list[Approval]:
    """The run's approvals of which the log has no outcome: its agent has heard none either.

    What was answered by another process may be among them. Now nothing of it is allowed.
    """
    rows = {str(row.pk): row for row in Approval.objects.filter(run=run).order_by("created_at")}
    if not rows:
        return []
    for event in eventlog.of_run(run.session_id, run.id, "approval", run.first_event_id - 1):
        told = orjson.loads(event.data)
        if told["status"] != ApprovalStatus.PENDING:
            rows.pop(told["approvalId"], None)
    for row in rows.values():
        row.call_off("The run was lost.")
        row.refresh_from_db()
    return list(rows.values())
