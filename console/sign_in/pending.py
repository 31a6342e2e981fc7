"""Between the password and the code: who gave the right password, in their session, for minutes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

NAME = "console_pending"
SECONDS = 300


@dataclass(frozen=True, slots=True)
class Pending:
    """Somebody who is asked for a code.

    Attributes:
        backend: which one took the password.
        next: where they wanted to go.
    """

    user: Any
    backend: str
    next: str


def begin(request: HttpRequest, user: Any, next_url: str) -> None:
    """Remember that this browser gave the right password."""
    # A session that somebody else put into this browser must not get half-way in with it.
    request.session.cycle_key()
    request.session[NAME] = {
        "user": user.pk,
        "password": user.get_session_auth_hash(),
        "backend": user.backend,
        "next": next_url,
        "at": int(time.time()),
    }


def of(request: HttpRequest) -> Pending | None:
    """Who is asked for a code here, or None: nobody, too late, or the account has changed."""
    kept = request.session.get(NAME)
    if kept is None or time.time() - kept["at"] > SECONDS:
        return None
    user = get_user_model()._default_manager.filter(pk=kept["user"], is_active=True).first()
    if user is None or not constant_time_compare(kept["password"], user.get_session_auth_hash()):
        return None
    return Pending(user, kept["backend"], kept["next"])


def end(request: HttpRequest) -> None:
    """Forget it."""
    request.session.pop(NAME, None)
