"""Forms that are to be taken once: each carries a token, and its second sending is known."""

from __future__ import annotations

from uuid import uuid4

from django.core.cache import cache

LIFETIME = 24 * 3600
PATIENCE = 60
"""After so many seconds a form that came to no end may be sent again."""
UNDER_WAY = "…"


def token() -> str:
    """What a form carries, in a hidden field."""
    return uuid4().hex


def begin(given: str) -> str | None:
    """Take the form of this token: None for the first sending, else what `done` was told.

    A form without a token is taken each time; one that is under way gives `UNDER_WAY`.
    """
    if not given or cache.add(_name(given), UNDER_WAY, PATIENCE):
        return None
    return str(cache.get(_name(given), UNDER_WAY))


def done(given: str, outcome: str) -> None:
    """Remember what became of it, for whoever sends it again."""
    if given:
        cache.set(_name(given), outcome, LIFETIME)


def failed(given: str) -> None:
    """Nothing came of it: it may be sent again."""
    if given:
        cache.delete(_name(given))


def _name(given: str) -> str:
    return f"console.once.{given[:64]}"
