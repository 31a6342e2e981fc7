"""What is going on now, for the front page: indexed counts, sums and the processes' own facts.

True for all processes together: it comes from rows, and from what each process wrote there at
its last heartbeat.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Min, Sum
from django.utils import timezone

from claudeapi import __version__
from claudeapi.conf import options
from claudeapi.core.errors import RunCancelled
from console.overview import upstream
from sessions_app import processes, runstats, sandbox, stats, switch
from sessions_app.models import (
    UNFINISHED,
    Approval,
    ApprovalStatus,
    Run,
    RunStat,
    ServerProcess,
)

MINUTE = timedelta(minutes=1)
HASTE_WINDOW = timedelta(minutes=15)
ERROR_WINDOW = timedelta(hours=1)
# Nothing went wrong: it went well, or somebody stopped it.
NO_ERRORS = ("", RunCancelled.code)
SHOWN_SECONDS = 300
"""So long a process that is gone stays listed."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A server process, as of its last heartbeat."""

    name: str
    version: str
    started_at: str
    runs: int
    streams: int
    agents: int
    memory: int
    silent_seconds: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the front page shows. Counts are of now; money is in US dollars.

    Attributes:
        tokens, cost: of the runs that ended within the last 60 seconds.
        errors: failed runs of the last hour, by code.
        first_delta: p50 and p95 in seconds, of the last 15 minutes.
        upstream: how it stands, by the outcomes since the processes that live now started.
    """

    sessions: int
    running: int
    queued: int
    waiting: int
    approvals: int
    streams: int
    runs_ended: int
    tokens: int
    cost: str
    errors: list[dict[str, Any]]
    first_delta: dict[str, float | None]
    agents: int
    agents_memory: int
    memory: int
    upstream: dict[str, Any]
    version: str
    upstream_kind: str
    upstream_host: str
    sandbox_warning: str
    service: dict[str, str]
    workers: list[Worker]

    def as_json(self) -> dict[str, Any]:
        """For the feed and the template alike."""
        return asdict(self)


def take() -> Overview:
    """Look at everything: about nine queries, each on an index. Sync."""
    now = timezone.now()
    workers = _workers(now)
    alive = [worker for worker, _ in workers if worker.alive]
    by_status = dict(
        Run.objects.filter(status__in=UNFINISHED)
        .values_list("status")
        .annotate(n=Count("pk"))
        .order_by()
    )
    minute = _ended_within_a_minute(now)
    service = switch.current()
    configured = options().upstream
    return Overview(
        sessions=stats.active_sessions(),
        running=by_status.get("running", 0),
        queued=by_status.get("queued", 0),
        waiting=by_status.get("waiting", 0),
        approvals=pending_approvals(now),
        streams=sum(worker.streams for worker in alive),
        runs_ended=minute["runs"],
        tokens=minute["tokens"] or 0,
        cost=f"{minute['cost'] or Decimal(0):.4f}",
        errors=_errors(now),
        first_delta=_first_delta(now),
        agents=sum(worker.agents for worker in alive),
        agents_memory=sum(size for worker, size in workers if worker.alive),
        memory=sum(worker.memory for worker in alive),
        upstream=upstream.since(_oldest_start(now), now).as_json(),
        version=__version__,
        upstream_kind=configured.kind,
        upstream_host=configured.base_url.partition("://")[2].partition("/")[0],
        sandbox_warning=sandbox.shelter().warning,
        service={"state": str(service.state), "reason": service.reason, "by": service.changed_by},
        workers=[worker for worker, _ in workers],
    )


def pending_approvals(now: datetime | None = None) -> int:
    """How many tool calls wait for a yes."""
    waiting = Approval.objects.filter(status=ApprovalStatus.PENDING)
    return waiting.filter(expires_at__gt=now or timezone.now()).count()


def _ended_within_a_minute(now: datetime) -> dict[str, Any]:
    ended = Run.objects.filter(finished_at__gt=now - MINUTE)
    tokens = (
        F("input_tokens") + F("output_tokens") + F("cache_read_tokens") + F("cache_creation_tokens")
    )
    return ended.aggregate(runs=Count("pk"), tokens=Sum(tokens), cost=Sum("cost_usd"))


def _errors(now: datetime) -> list[dict[str, Any]]:
    failed = RunStat.objects.filter(at__gt=now - ERROR_WINDOW).exclude(code__in=NO_ERRORS)
    found = failed.values_list("code").annotate(n=Sum("runs")).order_by("-n", "code")
    return [{"code": code, "runs": count} for code, count in found]


def _first_delta(now: datetime) -> dict[str, float | None]:
    recent = RunStat.objects.filter(at__gt=now - HASTE_WINDOW, haste__gte=0)
    counts = dict(recent.values_list("haste").annotate(n=Sum("runs")).order_by())
    return {
        "p50": runstats.percentile(counts, 0.5),
        "p95": runstats.percentile(counts, 0.95),
    }


def _oldest_start(now: datetime) -> datetime | None:
    lively = ServerProcess.objects.filter(
        heartbeat_at__gt=now - timedelta(seconds=processes.LEASE_SECONDS)
    )
    started: datetime | None = lively.aggregate(at=Min("started_at"))["at"]
    return started


def _workers(now: datetime) -> list[tuple[Worker, int]]:
    found = []
    shown = ServerProcess.objects.filter(heartbeat_at__gt=now - timedelta(seconds=SHOWN_SECONDS))
    for row in shown.order_by("host", "pid")[:100]:
        silent = max(0.0, (now - row.heartbeat_at).total_seconds())
        facts = row.facts
        worker = Worker(
            name=str(row),
            version=row.version,
            started_at=upstream.moment(row.started_at),
            runs=facts.get("runs", 0),
            streams=facts.get("streams", 0),
            agents=facts.get("agents", 0),
            memory=facts.get("memory", 0),
            silent_seconds=round(silent),
            alive=silent < processes.LEASE_SECONDS,
        )
        found.append((worker, facts.get("agentsMemory", 0)))
    return found
