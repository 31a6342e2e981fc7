"""How long a sign-in lasts: two hours unused (SESSION_COOKIE_AGE), twelve hours at most."""

from __future__ import annotations

import time
from typing import Any

LONGEST_SECONDS = 12 * 3600
TOUCH_SECONDS = 60

BEGAN, TOUCHED = "console_began", "console_touched"


def begin(session: Any) -> None:
    """Somebody signed in."""
    session[BEGAN] = session[TOUCHED] = int(time.time())


def touch(session: Any) -> None:
    """They do something: the session's idle time begins anew, written once a minute."""
    now = int(time.time())
    if now - session.get(TOUCHED, 0) >= TOUCH_SECONDS:
        session[TOUCHED] = now


def is_over(session: Any) -> bool:
    """Whether they signed in too long ago; idle sessions are gone by themselves."""
    return bool(time.time() - session.get(BEGAN, 0) > LONGEST_SECONDS)
