"""Whether this process can do its work: named checks, run side by side, within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from channels.layers import get_channel_layer
from django.db import connection

from claudeapi.conf import options
from claudeapi.core.database import in_db
from claudeapi.core.lifecycle import state

logger = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 5.0
OK = "ok"

Check = Callable[[], Awaitable[str]]
"""Gives `ok`, or a few words on what is missing (never a secret); raising counts as failing."""

_checks: dict[str, Check] = {}
_told_only: set[str] = set()


def register(name: str, check: Check, *, gates: bool = True) -> None:
    """Add a readiness check; a second one of the same name takes the first one's place.

    Args:
        gates: whether this process is out of service while the check is not `ok`; what
            concerns all processes alike is only told.
    """
    _checks[name] = check
    _told_only.discard(name)
    if not gates:
        _told_only.add(name)


async def readiness() -> tuple[bool, dict[str, str]]:
    """Whether new work can be taken, and the outcome of every check by name."""
    names = list(_checks)
    outcomes = await asyncio.gather(*(_outcome(name) for name in names))
    results = {"server": _server(), **dict(zip(names, outcomes, strict=True))}
    gates = {name: result for name, result in results.items() if name not in _told_only}
    return all(result == OK for result in gates.values()), results


def _server() -> str:
    if state.draining:
        return "draining"
    return OK if state.started else "starting"


async def _outcome(name: str) -> str:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await _checks[name]()
    except Exception:
        logger.exception("readiness_check_failed", check=name)
        return "failing"


async def _database() -> str:
    await in_db(_select_one)
    return OK


def _select_one() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


async def _channel_layer() -> str:
    layer = get_channel_layer()
    if layer is not None:
        await layer.group_send("claudeapi.health", {"type": "health.ping"})
    return OK


async def _upstream() -> str:
    upstream = options().upstream
    return OK if upstream.base_url and upstream.api_key else "not configured"


register("database", _database)
register("channelLayer", _channel_layer)
register("upstream", _upstream)
