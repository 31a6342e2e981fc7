"""Tool calls that wait for a yes: asked for a run, answered from any process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone

from claudeapi.conf import options
from claudeapi.core.database import in_db
from sessions_app import runs
from sessions_app.engines.base import Decision, Question
from sessions_app.logwriter import Act
from sessions_app.models import Approval, ApprovalStatus, Run

UNANSWERED = {
    ApprovalStatus.EXPIRED.value: "Nobody approved this in time, so it was denied.",
    ApprovalStatus.CANCELLED.value: "The run was cancelled.",
    ApprovalStatus.DENIED.value: "The user denied this.",
}

Settlement = tuple[str, str]
"""What becomes of a question that nobody has answered: its status, and why."""

ANSWERED: Settlement = ("", "")
EXPIRED: Settlement = (ApprovalStatus.EXPIRED.value, UNANSWERED[ApprovalStatus.EXPIRED.value])
RUN_ENDED: Settlement = (
    ApprovalStatus.CANCELLED.value,
    UNANSWERED[ApprovalStatus.CANCELLED.value],
)
WITHDRAWN: Settlement = (ApprovalStatus.CANCELLED.value, "The agent took its question back.")

Tell = Callable[[Approval, Act | None], Awaitable[None]]
"""Writes an approval's event; what is to be done with it goes into the same transaction."""


class ApprovalDesk:
    """The open questions of one run.

    A question is a row and an event, written together; its answer is a change of the row, made
    by whoever is first, in any process. The desk only waits for that, and fails closed.
    """

    def __init__(self, run: Run, tell: Tell) -> None:
        self._run = run
        self._tell = tell
        self._open: dict[UUID, asyncio.Future[Settlement]] = {}
        self._asked: set[asyncio.Task[Decision]] = set()
        self._closed = False

    async def decide(self, question: Question) -> Decision:
        """Ask, and wait for an answer, the time limit, or the run's end.

        An agent that takes its question back cancels the caller; the question is settled and
        told of all the same.
        """
        approval_id = uuid4()
        answered = asyncio.get_running_loop().create_future()
        self._open[approval_id] = answered
        if self._closed:
            answered.set_result(RUN_ENDED)
        asked = asyncio.create_task(self._decide(approval_id, question, answered))
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            self._answer(approval_id, WITHDRAWN)
            raise

    async def _decide(
        self, approval_id: UUID, question: Question, answered: asyncio.Future[Settlement]
    ) -> Decision:
        try:
            row = self._row(approval_id, question)
            try:
                await self._tell(row, partial(self._ask, row))
            except Exception:
                row.status, row.message = RUN_ENDED  # also if it is written later on
                await in_db(self._withdraw, row)
                raise
            await asyncio.wait({answered}, timeout=options().approval_timeout)
        finally:
            del self._open[approval_id]
        row = await in_db(self._settled, row, answered.result() if answered.done() else EXPIRED)
        await self._tell(row, None)
        return decision(row)

    async def look(self) -> None:
        """See which questions have been answered."""
        if self._open:
            for approval_id in await in_db(settled_ids, list(self._open)):
                self._answer(approval_id, ANSWERED)

    def cancel_all(self) -> None:
        """The run ends: what is open, and what may still be asked, is denied."""
        self._closed = True
        for approval_id in list(self._open):
            self._answer(approval_id, RUN_ENDED)

    async def close(self) -> None:
        """Deny what is still open, and see every outcome told of."""
        self.cancel_all()
        await asyncio.gather(*self._asked, return_exceptions=True)

    def _answer(self, approval_id: UUID, settlement: Settlement) -> None:
        answered = self._open.get(approval_id)
        if answered is not None and not answered.done():
            answered.set_result(settlement)

    def _row(self, approval_id: UUID, question: Question) -> Approval:
        return Approval(
            id=approval_id,
            session_id=self._run.session_id,
            run_id=self._run.id,
            tool_use_id=_text(question.tool_use_id)[:128],
            tool_name=_text(question.tool_name)[:128],
            input=question.input,
            reason=_text(question.reason),
            suggestions=list(question.suggestions),
            expires_at=timezone.now() + timedelta(seconds=options().approval_timeout),
        )

    def _ask(self, row: Approval) -> None:
        """Open the question. Inside the transaction that writes its event; it may come twice."""
        if row.status == ApprovalStatus.PENDING:
            runs.set_waiting(self._run.id, True)
        Approval.objects.bulk_create([row], ignore_conflicts=True)

    @transaction.atomic
    def _withdraw(self, row: Approval) -> None:
        """Nobody shall answer what nobody has heard of, if it was written at all."""
        runs.lock(self._run.id)
        row.settle(row.status, message=row.message)
        self._go_on()

    @transaction.atomic
    def _settled(self, row: Approval, settlement: Settlement) -> Approval:
        """The row as it was decided; as we settle it if nobody did. Somebody's answer wins."""
        status, message = settlement
        runs.lock(self._run.id)  # a question asked meanwhile waits for us, or we see it
        if status:
            row.settle(status, message=message)
        row.refresh_from_db()
        self._go_on()
        return row

    def _go_on(self) -> None:
        """The run works again, unless another question of it is open."""
        if not Approval.objects.filter(run=self._run, status=ApprovalStatus.PENDING).exists():
            runs.set_waiting(self._run.id, False)


def _text(said: str) -> str:
    """As a text that every database takes: a row that is refused would hold up the log."""
    return said.replace("\x00", "")


def settled_ids(ids: list[UUID]) -> list[UUID]:
    """Those of the approvals that are no longer pending."""
    rows = Approval.objects.filter(pk__in=ids).exclude(status=ApprovalStatus.PENDING)
    return list(rows.values_list("pk", flat=True))


def decision(row: Approval) -> Decision:
    """What the engine hears."""
    if row.status == ApprovalStatus.ALLOWED:
        return Decision(True, row.message, row.scope or "once", row.updated_input)
    return Decision(False, row.message or UNANSWERED.get(row.status, ""))
