"""Talking to the service from the console as a client would: with a key, within its policy.

The browser never holds a key. The console acts in the key's name, through the same checks
and the same actions as the API.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from claudeapi.core import errors
from claudeapi.core.request_id import request_id_var
from keys_app import budgets, environment, limits, policy, scopes
from keys_app.models import ApiKey
from sessions_app.actions.lookup import as_uuid
from sessions_app.actions.messages import NewMessage, send_message
from sessions_app.actions.origins import NewSession
from sessions_app.actions.sessions import create_session
from sessions_app.models import Run, Session

MARK = "playground"
"""In the metadata of the sessions that are made here, by whom; and of the throw-away keys."""
LIFETIME = timedelta(hours=1)
ENOUGH = timedelta(minutes=10)
"""A throw-away key that lasts no longer is not begun with."""
THROW_AWAY_SCOPES = [scopes.SESSIONS_READ, scopes.SESSIONS_WRITE, scopes.APPROVALS_WRITE]
BUDGET_USD = Decimal("1")
"""What a throw-away key may spend in its hour."""
KEYS_OFFERED = 200


def usable_keys() -> list[ApiKey]:
    """The keys that can be talked with, the newest first."""
    keys = environment.working(ApiKey.objects.exclude(metadata__has_key=MARK))
    rows = keys.order_by("-created_at")[:KEYS_OFFERED]
    return [key for key in rows if scopes.grants(key.scopes, scopes.SESSIONS_WRITE)]


def throw_away_key(user: Any) -> ApiKey | None:
    """The one that this person tries with now, if it lasts and has something left to spend."""
    enough = timezone.now() + ENOUGH
    rows = ApiKey.objects.standing().filter(owner=user, expires_at__gte=enough)
    key = rows.filter(metadata__has_key=MARK).order_by("-created_at").first()
    if key is None or any(budget.is_spent for budget in budgets.budgets(key)):
        return None
    return key


def issue_throw_away_key(user: Any) -> ApiKey:
    """A key for an hour of trying, with little to spend; its text is shown to nobody."""
    name = f"Playground of {user.get_username()}, {timezone.now():%Y-%m-%d %H:%M}"
    key, _ = ApiKey.objects.issue(
        name[:200],
        owner=user,
        expires_at=timezone.now() + LIFETIME,
        scopes=THROW_AWAY_SCOPES,
        metadata={MARK: True},
        budget_day_usd=BUDGET_USD,
        budget_month_usd=BUDGET_USD,
    )
    return key


def key_of(text: str) -> ApiKey:
    """The key of an id.

    Raises:
        InvalidApiKey: there is none, or it has ended.
    """
    identity = as_uuid(text)
    key = ApiKey.objects.filter(pk=identity).first() if identity else None
    if key is None:
        raise errors.InvalidApiKey()
    return key


def begin(user: Any, key: ApiKey, wanted: dict[str, Any]) -> Session:
    """A session of this key, as `POST /sessions` would make it.

    Raises:
        ApiError: whatever the API would answer.
    """
    _admit(key)
    config = {"permissionMode": wanted["mode"]} if wanted.get("mode") else {}
    return create_session(
        key,
        NewSession(
            engine=wanted["engine"],
            model=wanted["model"],
            system_prompt=wanted["system_prompt"],
            title=wanted["title"],
            config=config,
            metadata={MARK: user.get_username()},
        ),
    )


def say(session: Session, prompt: str) -> Run:
    """Send a message, as `POST /sessions/{id}/messages` with `background` would.

    Raises:
        ApiError: whatever the API would answer.
    """
    _admit(session.key)
    if not prompt.strip():
        raise errors.InvalidRequest.field("prompt", "must not be empty.")
    message = NewMessage(
        content=[{"type": "text", "text": prompt}],
        on_busy="enqueue",
        request_id=request_id_var.get(),
    )
    return send_message(session.key, session.pk, message)


def is_ours(session: Session) -> bool:
    """Whether it was made here: nobody speaks in a client's own sessions."""
    return bool(session.metadata.get(MARK))


def _admit(key: ApiKey) -> None:
    """What a client with this key would have to pass, but for the address."""
    if not key.is_standing or environment.is_gone(key):
        raise errors.InvalidApiKey("This key has expired or was revoked.")
    policy.require_scope(key, scopes.SESSIONS_WRITE)
    limits.hit(key)
