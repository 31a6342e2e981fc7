"""Copies of agents' private folders, made by the few threads that answer everybody's requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from uuid import UUID, uuid4

from claudeapi.conf import options
from claudeapi.core.errors import Unavailable
from keys_app.models import ApiKey
from sessions_app import agents
from sessions_app.models import Session

SMALL_BYTES = 4 * 2**20
LARGE_AT_ONCE = 2
RETRY_AFTER_SECONDS = 5

_lock = Lock()
_keys_at_it: set[UUID] = set()


@contextmanager
def copied_folder(origin: Session, key: ApiKey) -> Iterator[UUID]:
    """The id for a session of that key, which finds a copy of the origin's private folder.

    Before the transaction that makes the session: nothing waits for a copy. Where in the end
    there is no such session, there is no copy either.

    Raises:
        PolicyDenied: the folder is larger than a session's may be.
        Unavailable: it cannot be copied, or not now.
    """
    places, session_id = agents.workspaces(), uuid4()
    of, to = (str(origin.key_id), str(origin.pk)), (str(key.pk), str(session_id))
    name = agents.workspace_of(origin)
    size = places.size(*of, SMALL_BYTES, name, at_start=True) if name else 0
    with _turn(key, size):
        try:
            if name:
                places.copy(of[0], name, *to, options().agents.quota)
            yield session_id
        finally:
            if not Session.objects.filter(pk=session_id).exists():
                places.remove_work(*to)


@contextmanager
def _turn(key: ApiKey, size: int) -> Iterator[None]:
    """What is small is always copied. Of what is large, few at once, and one of a key.

    Nobody waits: whoever did would hold a thread, too.
    """
    if size <= SMALL_BYTES:
        yield
        return
    with _lock:
        if key.pk in _keys_at_it or len(_keys_at_it) >= LARGE_AT_ONCE:
            raise Unavailable(
                "Other large folders are being copied. Try again.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        _keys_at_it.add(key.pk)
    try:
        yield
    finally:
        with _lock:
            _keys_at_it.discard(key.pk)
