"""What is not about one session: models, the caller's key, usage, health."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import TruncDate
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from claudeapi import __version__
from claudeapi.conf import options
from claudeapi.core import errors
from claudeapi.core.drf import HTTP_METHODS
from claudeapi.core.errors import timestamp
from claudeapi.core.lifecycle import state
from keys_app import budgets, describe, limits, scopes
from keys_app.budgets import money
from keys_app.drf import scope
from keys_app.models import ApiKey, UsageSum
from sessions_app import sandbox, stats, switch
from sessions_app.api import schema
from sessions_app.api import serializers as wire
from sessions_app.api.base import View
from sessions_app.models import Run, ServiceState, Session

SUMS = {
    name: Sum(name)
    for name in (
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_creation_tokens",
        "cost_usd",
    )
}


class ModelViewSet(View):
    """Models."""

    @schema.list_models
    def list(self, request: Request) -> Response:
        """The upstream's models, within what the key allows."""
        raise errors.Unavailable("This route is answered by the ASGI application only.")


class MeViewSet(View):
    """The caller's key."""

    permission_classes = ()

    @schema.get_me
    def list(self, request: Request) -> Response:
        """Name, scopes, policy, limits, and what is left of them."""
        key, rate = self.key, self.rate_state
        return Response(
            {
                "id": str(key.pk),
                "name": key.name,
                "prefix": key.prefix,
                "scopes": key.scopes,
                "policy": describe.policy_facts(key),
                "expiresAt": timestamp(key.expires_at) if key.expires_at else None,
                "limits": {
                    "rateLimit": _rate(rate) if rate else None,
                    "sessions": _left(key.max_sessions, Session.objects.active().filter(key=key)),
                    "runs": _left(key.max_runs, Run.objects.unfinished().filter(key=key)),
                    "budget": budgets.remaining(key),
                },
            }
        )


class UsageViewSet(View):
    """Token and cost sums."""

    reads_query = ("list",)
    permission_classes = (scope(scopes.USAGE_READ),)

    @schema.get_usage
    def list(self, request: Request) -> Response:
        """The key's sums, by day, model, session or key; whole hours, in UTC."""
        query = self.query(wire.UsageQuery)
        since, until = query["from"], query["to"]
        rows, groups = self._grouped(query["groupBy"], since, until)
        return Response(
            {
                "from": timestamp(since),
                "to": timestamp(until),
                "groupBy": query["groupBy"],
                "usage": _rows(query["groupBy"], list(groups)),
                "total": _sums(rows.aggregate(**SUMS, n=_runs(query["groupBy"]))),
            }
        )

    def _grouped(
        self, group_by: str, since: datetime, until: datetime
    ) -> tuple[QuerySet[Any], QuerySet[Any]]:
        rows: QuerySet[Any]
        if group_by == "session":
            rows = Run.objects.filter(finished_at__gte=since, finished_at__lt=until)
            group: Any = "session_id"
        else:
            rows = UsageSum.objects.filter(hour__gte=since, hour__lt=until)
            group = {"day": TruncDate("hour"), "model": "model", "key": "key_id"}[group_by]
        if "admin" not in self.key.scopes:
            rows = rows.filter(key=self.key)
        named = rows.annotate(group=F(group) if isinstance(group, str) else group)
        return rows, named.values("group").annotate(**SUMS, n=_runs(group_by)).order_by("group")


class HealthView(APIView):
    """Whether the server lives, for whoever asks."""

    authentication_classes = ()
    permission_classes = ()
    http_method_names: Sequence[str] = HTTP_METHODS

    @schema.get_health
    def get(self, request: Request) -> Response:
        """State, version, and how much is going on."""
        counts = stats.counts()
        upstream, shelter = options().upstream, sandbox.shelter()
        in_service = switch.current().state == ServiceState.RUNNING and not state.draining
        return Response(
            {
                "status": "healthy" if in_service and not shelter.none_run else "degraded",
                "version": __version__,
                "timestamp": timestamp(),
                "sessions": {"active": counts.active_sessions, "total": counts.total_sessions},
                "runs": {"active": counts.active_runs, "queued": counts.queued_runs},
                "upstream": {"kind": upstream.kind, "simulated": upstream.kind == "simulator"},
                "sandbox": {
                    "mode": shelter.mode,
                    "active": shelter.active,
                    "warning": shelter.warning or None,
                },
            }
        )


def _rows(group_by: str, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sums of each group, with its name; of a key, what people know it by, too."""
    rows = [{group_by: str(row["group"]), **_sums(row)} for row in groups]
    if group_by == "key":
        known = ApiKey.objects.in_bulk([row["group"] for row in groups])
        for row, group in zip(rows, groups, strict=True):
            key = known[group["group"]]
            row |= {"name": key.name, "prefix": key.prefix}
    return rows


def _rate(rate: limits.RateState) -> dict[str, int]:
    return {"limit": rate.limit, "remaining": rate.remaining, "reset": rate.reset}


def _left(limit: int | None, rows: QuerySet[Any]) -> dict[str, int | None]:
    used = rows.count()
    return {
        "limit": limit,
        "used": used,
        "remaining": None if limit is None else max(0, limit - used),
    }


def _runs(group_by: str) -> Any:
    return Count("pk") if group_by == "session" else Sum("runs")


def _sums(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "runs": row["n"] or 0,
        "inputTokens": row["input_tokens"] or 0,
        "outputTokens": row["output_tokens"] or 0,
        "cacheReadTokens": row["cache_read_tokens"] or 0,
        "cacheCreationTokens": row["cache_creation_tokens"] or 0,
        "costUsd": money(row["cost_usd"] or Decimal(0)),
    }
