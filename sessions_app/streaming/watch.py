"""Ends the streams of a key that is revoked, or loses their scope, while they are open.

One task a process asks once a second for every key that has a stream, however many
streams it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from claudeapi.core.database import in_db
from claudeapi.core.errors import ApiError, InsufficientScope, InvalidApiKey
from keys_app import scopes
from keys_app.asgi import still_live
from keys_app.models import ApiKey
from sessions_app.models import Session

log = structlog.get_logger(__name__)

SECONDS = 1.0
KEYS_TOLD = 200

End = Callable[[ApiError], object]

_streams: defaultdict[UUID, set[tuple[str, End]]] = defaultdict(set)


@contextmanager
def ends_with_key(key: ApiKey, needs: str, end: End) -> Iterator[None]:
    """Call `end`, saying why, should the key cease to stand or to hold a scope."""
    _streams[key.pk].add((needs, end))
    try:
        yield
    finally:
        _streams[key.pk].discard((needs, end))
        if not _streams[key.pk]:
            del _streams[key.pk]


def scope_for(key: ApiKey, session: Session, needs: str) -> str:
    """The scope that a key needs for this session; another key's is for operators only."""
    return needs if session.key_id == key.pk else scopes.ADMIN


def open_streams() -> dict[str, int]:
    """How many streams each key has open in this process, for those that have the most."""
    counts = Counter({str(key_id): len(ends) for key_id, ends in _streams.items()})
    return dict(counts.most_common(KEYS_TOLD))


async def watch_keys() -> None:
    """Ask again and again, until cancelled."""
    while True:
        await asyncio.sleep(SECONDS)
        for key_id in list(_streams):
            try:
                granted = await in_db(_scopes, key_id) if await still_live(key_id) else None
            except Exception:
                log.exception("key_check_failed")
                continue
            for needs, end in list(_streams.get(key_id, ())):
                if granted is None:
                    end(InvalidApiKey())
                elif not scopes.grants(granted, needs):
                    end(InsufficientScope(details={"required": needs, "granted": granted}))


def _scopes(key_id: UUID) -> list[str]:
    found: list[str] = ApiKey.objects.values_list("scopes", flat=True).get(pk=key_id)
    return found
