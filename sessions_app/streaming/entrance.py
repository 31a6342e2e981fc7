"""How a request becomes a followed run: who asks, what for, and where to begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from claudeapi.core import errors
from claudeapi.core.access_log import note
from claudeapi.core.database import in_db
from keys_app import asgi as keys
from keys_app import auth, limits
from keys_app.limits import RateState
from keys_app.models import ApiKey
from sessions_app import idempotency
from sessions_app.actions.lookup import as_uuid, find_session
from sessions_app.actions.messages import NewMessage, recover_if_orphaned, send_message
from sessions_app.actions.tickets import redeem_ticket
from sessions_app.models import Run, Session


@dataclass(frozen=True, slots=True)
class Started:
    """A run to follow.

    Attributes:
        after: the number after which its events come.
        replayed: it is the first answer to an Idempotency-Key, given again.
    """

    run: Run
    after: int
    replayed: bool = False


async def admit(
    scope: Mapping[str, Any], session_id: str, *, needs: str, ticket: str | None
) -> tuple[ApiKey, RateState]:
    """Whose stream this is, by headers or by a ticket; counted as one request.

    Raises:
        MissingApiKey, InvalidApiKey, IpNotAllowed, RateLimitExceeded, InsufficientScope,
        Unavailable.
    """
    note(session=session_id)
    if ticket is None:
        return await keys.admit(scope, needs=needs)
    key, state = await in_db(_admit_ticket, ticket, session_id, needs, keys.ip_of(scope))
    note(key=key.prefix)
    return key, state


def _admit_ticket(ticket: str, session_id: str, needs: str, ip: str) -> tuple[ApiKey, RateState]:
    try:
        key = redeem_ticket(ticket, session_id)
    except errors.InvalidApiKey:
        limits.failed_credentials(ip)
        raise
    auth.check_standing(key, ip)
    return key, keys.count(key, needs)


def start_run(
    key: ApiKey,
    session_id: str,
    message: NewMessage,
    attempt: idempotency.Attempt | None = None,
    *,
    waits: bool = True,
) -> Started:
    """Accept a message, once per Idempotency-Key.

    Args:
        waits: the answer is the reply, so it can't be given again before the run has ended.

    Raises:
        whatever `send_message` raises; IdempotencyConflict, IdempotencyInProgress.
    """
    recover_if_orphaned(as_uuid(session_id))
    with transaction.atomic():
        record = None
        if attempt is not None:
            record, first = idempotency.begin(key, attempt)
            if not first and record.run is not None:
                if waits:
                    idempotency.require_finished(record)
                return Started(record.run, record.run.first_event_id - 1, replayed=True)
        run = send_message(key, session_id, message)
        if record is not None:
            record.run = run
            record.save(update_fields=["run"])
    return Started(run, run.session.last_event_id)


def resumed_run(session: Session, cursor: int) -> Run | None:
    """The run whose stream broke off after event `cursor`: the one a browser resumes."""
    begun = session.runs.filter(first_event_id__gt=0, first_event_id__lte=cursor)
    # What was stopped in the queue is told of in the midst of another one's stream.
    begun = begun.exclude(started_at=None, last_event_id__lt=cursor)
    return begun.order_by("-first_event_id").first()


def load_session(key: ApiKey, session_id: str) -> Session:
    """The session, its orphaned run ended first.

    Raises:
        SessionNotFound.
    """
    session = find_session(key, session_id)
    recover_if_orphaned(session.id)
    session.refresh_from_db()
    return session
