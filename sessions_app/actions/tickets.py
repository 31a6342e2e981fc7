"""Tickets: single-use passes to one session's stream, for browsers, which send no headers."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.utils import timezone

from claudeapi.core import errors
from keys_app.models import ApiKey
from sessions_app.actions.lookup import as_uuid, find_session
from sessions_app.models import Ticket

LIFETIME = timedelta(seconds=60)


def issue_ticket(key: ApiKey, session_id: object) -> tuple[str, datetime]:
    """A new ticket and its expiry.

    Raises:
        SessionNotFound.
    """
    session = find_session(key, session_id)
    text, expires_at = secrets.token_urlsafe(32), timezone.now() + LIFETIME
    Ticket.objects.create(digest=_digest(text), session=session, key=key, expires_at=expires_at)
    return text, expires_at


def redeem_ticket(text: str, session_id: object) -> ApiKey:
    """The key a ticket stands for. A ticket can be redeemed once, for its session.

    Raises:
        InvalidApiKey: unknown, used, expired, or for another session.
    """
    fresh = Ticket.objects.filter(digest=_digest(text), expires_at__gt=timezone.now())
    ticket = fresh.select_related("key").first()
    if ticket is None or ticket.session_id != as_uuid(session_id) or not fresh.delete()[0]:
        raise errors.InvalidApiKey("This ticket is not valid.")
    return ticket.key


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
