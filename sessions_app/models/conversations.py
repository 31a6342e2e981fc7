"""Sessions, and their runs: each knows the other."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import models
from django.db.models import Case, Q, When
from django.utils import timezone

from keys_app.models import ApiKey
from sessions_app.fields import JsonText


class SessionStatus(models.TextChoices):
    """`ended` by its owner or an operator, `expired` by being idle."""

    ACTIVE = "active"
    ENDED = "ended"
    EXPIRED = "expired"


class SessionQuerySet(models.QuerySet["Session"]):
    """Reads that several places share."""

    def owned_by(self, key: ApiKey) -> SessionQuerySet:
        """The sessions this key may see: its own, or all with the admin scope."""
        return self if "admin" in key.scopes else self.filter(key=key)

    def active(self) -> SessionQuerySet:
        """Active, and not idle past their lifetime (the sweep may be a moment late)."""
        alive = Q(expires_at__gt=timezone.now()) | _at_work()
        return self.filter(alive, status=SessionStatus.ACTIVE)

    def overdue(self) -> SessionQuerySet:
        """Idle past their lifetime, still marked active, and not at work."""
        return self.filter(~_at_work(), status=SessionStatus.ACTIVE, expires_at__lte=timezone.now())

    def shown_as(self, status: str) -> SessionQuerySet:
        """Those whose status a client sees as `status`; `all` is every one."""
        if status == SessionStatus.ACTIVE:
            return self.active()
        if status == SessionStatus.EXPIRED:
            late = Q(status=SessionStatus.ACTIVE, expires_at__lte=timezone.now())
            return self.filter(Q(status=status) | (late & ~_at_work()))
        return self if status == "all" else self.filter(status=status)


class Session(models.Model):
    """A conversation, owned by a key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="sessions")
    engine = models.CharField(max_length=32)
    model = models.CharField(max_length=128)
    status = models.CharField(
        max_length=16, choices=SessionStatus.choices, default=SessionStatus.ACTIVE
    )
    title = models.CharField(max_length=200, blank=True)
    system_prompt = models.TextField(blank=True)
    append_system_prompt = models.TextField(blank=True)
    config = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    max_budget_usd = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, blank=True, help_text="US dollars"
    )
    timeout_ms = models.PositiveBigIntegerField(help_text="idle lifetime, milliseconds")
    created_at = models.DateTimeField(default=timezone.now)
    last_activity = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    claude_session_id = models.CharField(max_length=64, blank=True)
    forked_from = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="forks"
    )

    message_count = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(default=0)
    cache_creation_tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, default=0)

    last_event_id = models.PositiveBigIntegerField(default=0, help_text="highest number written")
    reserved_event_id = models.PositiveBigIntegerField(
        default=0, help_text="highest number that may have been given out"
    )
    writer = models.UUIDField(
        null=True, blank=True, editable=False, help_text="the run that writes the log now"
    )

    objects = SessionQuerySet.as_manager()

    class Meta:
        """Indexes for the lists: by owner and activity, by status and expiry."""

        indexes: ClassVar = [
            models.Index(fields=["key", "status", "-last_activity", "-id"], name="session_list"),
            models.Index(fields=["key", "-last_activity", "-id"], name="session_list_all"),
            models.Index(fields=["-last_activity", "-id"], name="session_recent"),
            models.Index(fields=["status", "expires_at"], name="session_expiry"),
            models.Index(fields=["ended_at"], name="session_over"),
            models.Index(fields=["claude_session_id"], name="session_claude_id"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)

    @property
    def current_status(self) -> str:
        """The status as a client sees it, right also before the sweep has come by."""
        if self.status == SessionStatus.ACTIVE and self.expires_at <= timezone.now():
            busy = self.runs.filter(status__in=UNFINISHED).exists()
            return SessionStatus.ACTIVE.value if busy else SessionStatus.EXPIRED.value
        return self.status

    def lifetime(self, now: datetime) -> datetime:
        """When it expires if nothing more happens after `now`."""
        return now + timedelta(milliseconds=self.timeout_ms)

    def close(self, status: str) -> bool:
        """Move from active to `status`; True for the one caller that did it."""
        now = timezone.now()
        won = Session.objects.filter(pk=self.pk, status=SessionStatus.ACTIVE).update(
            status=status, ended_at=now
        )
        return won == 1


class RunStatus(models.TextChoices):
    """A run's life; `waiting` is for somebody's yes."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = (RunStatus.RUNNING.value, RunStatus.WAITING.value)
UNFINISHED = (RunStatus.QUEUED.value, *LIVE)


def _at_work() -> Q:
    """Whether a session has a run that has not ended.

    Not a correlated EXISTS: PostgreSQL thinks that so dear that it compiles the query first.
    """
    return Q(pk__in=Run.objects.filter(status__in=UNFINISHED).values("session_id"))


class RunQuerySet(models.QuerySet["Run"]):
    """Reads that several places share."""

    def unfinished(self) -> RunQuerySet:
        """Queued, running or waiting."""
        return self.filter(status__in=UNFINISHED)

    def live(self) -> RunQuerySet:
        """Running or waiting."""
        return self.filter(status__in=LIVE)

    def without_texts(self) -> RunQuerySet:
        """Without what was asked and answered, which may be 10 MiB each, until it is read."""
        return self.defer("prompt", "response")

    def in_turn(self) -> RunQuerySet:
        """The live one, then those queued as they are taken: what shall stop takes no time."""
        waits = Case(When(status=RunStatus.QUEUED, then=1), default=0)
        stays = Case(When(cancel_reason="", then=1), default=0)
        return self.order_by(waits, stays, "-goes_first", "created_at", "id")


class Run(models.Model):
    """One message being answered. It has one owner, a process with a heartbeat."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="runs")
    key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+")
    message_id = models.UUIDField(default=uuid.uuid4, editable=False)
    status = models.CharField(max_length=16, choices=RunStatus.choices, default=RunStatus.QUEUED)
    prompt = JsonText(help_text="the user's content blocks")
    model = models.CharField(max_length=128, blank=True, help_text="the model that served")
    owner = models.CharField(max_length=32, blank=True)
    timeout_ms = models.PositiveBigIntegerField(default=0, help_text="0: none")
    request_id = models.CharField(max_length=128, blank=True)
    goes_first = models.BooleanField(
        default=False, help_text="it interrupted: answered before what was queued earlier"
    )
    cancel_reason = models.CharField(max_length=32, blank=True, help_text="set: it shall stop")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    first_delta_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    stop_reason = models.CharField(max_length=64, blank=True)
    error = JsonText(null=True, blank=True)
    response = models.TextField(blank=True, help_text="the final text")
    first_event_id = models.PositiveBigIntegerField(default=0)
    last_event_id = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(default=0)
    cache_creation_tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, default=0)

    objects = RunQuerySet.as_manager()

    class Meta:
        """One live run a session is the database's promise, not ours."""

        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session"], condition=Q(status__in=LIVE), name="one_live_run_a_session"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["session", "-created_at", "-id"], name="run_list"),
            # Not partial ones: SQLite can't tell that they fit, as it plans before it has values.
            models.Index(fields=["key", "status"], name="run_status_of_key"),
            models.Index(fields=["status", "owner"], name="run_status"),
            models.Index(fields=["key", "finished_at"], name="run_finished_of_key"),
            models.Index(fields=["finished_at"], name="run_finished"),
            models.Index(fields=["-created_at", "-id"], name="run_recent"),
            models.Index(fields=["key", "-created_at", "-id"], name="run_recent_of_key"),
            models.Index(fields=["request_id"], name="run_request"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def finished(self) -> bool:
        """True once nothing more will happen."""
        return self.status not in UNFINISHED

    @property
    def seconds_left(self) -> float | None:
        """Until its caller's bound runs out, which counts from the message; None without one."""
        if not self.timeout_ms:
            return None
        due = self.created_at + timedelta(milliseconds=self.timeout_ms)
        return (due - timezone.now()).total_seconds()

    @property
    def duration_ms(self) -> int:
        """Milliseconds from start to end, 0 while it runs or where it never began."""
        if self.finished_at is None or self.started_at is None:
            return 0
        return max(0, round((self.finished_at - self.started_at).total_seconds() * 1000))
