"""The service-wide switch, as everybody reads it. It is turned by `actions.service`."""

from __future__ import annotations

from time import monotonic

from claudeapi.core import errors
from claudeapi.core.database import in_db
from claudeapi.core.health import OK
from sessions_app.models import ServiceState, ServiceSwitch

CACHE_SECONDS = 1.0
RETRY_AFTER_SECONDS = 30

_known: tuple[float, ServiceSwitch] | None = None


def current() -> ServiceSwitch:
    """What the switch says; at most a second old."""
    global _known
    if _known is None or monotonic() - _known[0] > CACHE_SECONDS:
        row = ServiceSwitch.objects.filter(pk=ServiceSwitch.ONLY).first() or ServiceSwitch()
        _known = (monotonic(), row)
    return _known[1]


def forget() -> None:
    """Ask the database at the next look."""
    global _known
    _known = None


def require_running() -> None:
    """Pass unless operators have paused or drained the service.

    Raises:
        Draining: with what they said.
    """
    switch = current()
    if switch.state != ServiceState.RUNNING:
        raise errors.Draining(
            switch.reason or f"The service is {switch.state} by its operators.",
            details={"service": switch.state},
            retry_after=RETRY_AFTER_SECONDS,
        )


def holds_queued_runs() -> bool:
    """Whether queued runs must wait on."""
    return current().state == ServiceState.PAUSED


async def health() -> str:
    """For `/readyz`: told there, but no reason to take this process out of service."""
    switch = await in_db(current)
    return OK if switch.state == ServiceState.RUNNING else str(switch.state)
