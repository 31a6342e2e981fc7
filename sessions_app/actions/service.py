"""The service as a whole: pause, drain, resume."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from sessions_app import switch
from sessions_app.models import Run, RunStatus, ServiceState, ServiceSwitch
from sessions_app.runner import runner


def turn_switch(state: str, *, by: str, reason: str = "") -> ServiceSwitch:
    """Put the switch to `running`, `paused` or `draining`. Every process obeys within a second.

    Args:
        by: an operator's name.
        reason: shown to clients that are refused, and to staff.

    Raises:
        ValueError: there is no such state.
    """
    wanted = ServiceState(state)
    with transaction.atomic():
        row, _ = ServiceSwitch.objects.update_or_create(
            pk=ServiceSwitch.ONLY,
            defaults={
                "state": wanted,
                "reason": reason[:200],
                "changed_by": by[:150],
                "changed_at": timezone.now(),
            },
        )
        transaction.on_commit(switch.forget)
        if wanted != ServiceState.PAUSED:
            transaction.on_commit(_go_on)
    return row


def _go_on() -> None:
    """Start what was held back: nobody else would, while its process lives."""
    queued = Run.objects.filter(status=RunStatus.QUEUED).order_by("created_at")
    for session_id, owner in dict.fromkeys(queued.values_list("session_id", "owner")):
        runner.advance(session_id, owner)
