"""What agents leave behind: removed with their sessions, or found later.

A process may die between the end of a session in the database and that of its folders, or while
it copies some for a session that is to be. So what no session names is swept now and then.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from keys_app.models import ApiKey
from sessions_app import agents, transcripts
from sessions_app.models import Session, SessionQuerySet

if TYPE_CHECKING:
    from sessions_app.engines.claude_code.workspaces import Workspaces

ABANDONED_AFTER = timedelta(days=1)
"""A copied folder is there before its session is."""


def forget(session: Session) -> None:
    """Remove what only this session has of an agent's: its transcript, and its folders.

    Inside the transaction that removes the session. The folders go after its commit: they take as
    long as they take, and would not come back with a rollback.
    """
    others = Session.objects.exclude(pk=session.pk)
    if not others.filter(claude_session_id=session.claude_session_id).exists():
        transcripts.delete(session.claude_session_id)
    places, key_id = agents.workspaces(), session.key_id
    # One that an agent or an operator has named is not ours to remove.
    named = {str(session.pk), agents.workspace_of(session).partition("/")[0]}
    for begun_by in map(str, _ids(named)):
        if not _working_in(key_id, begun_by).exclude(pk=session.pk).exists():
            transaction.on_commit(partial(places.remove_work, str(key_id), begun_by))
    transaction.on_commit(partial(places.remove_agent, str(session.pk)))


def _working_in(key_id: UUID, begun_by: str) -> SessionQuerySet:
    """The sessions with a working folder: the one that began it, and those that carry on there."""
    inside = Q(config__workspace=begun_by) | Q(config__workspace__startswith=f"{begun_by}/")
    return Session.objects.filter(inside | Q(pk=begun_by), key_id=key_id)


def sweep() -> None:
    """Remove what is left of sessions that are no more: transcripts, and folders on this machine.

    Working folders only of keys that the database knows: with a wrong one, nobody shall lose
    their files.
    """
    for conversation in transcripts.of_no_session():
        transcripts.delete(conversation)
    places = agents.workspaces()
    for gone in _without_session(places.agents()):
        places.remove_agent(str(gone))
    known = ApiKey.objects.filter(pk__in=_ids(places.keys()))
    for key_id in known.values_list("pk", flat=True):
        _sweep_works(places, key_id)


def _sweep_works(places: Workspaces, key_id: UUID) -> None:
    unchanged = places.works(str(key_id), timezone.now() - ABANDONED_AFTER)
    for begun_by in map(str, _without_session(unchanged)):
        if not _working_in(key_id, begun_by).exists():
            places.remove_work(str(key_id), begun_by)


def _without_session(names: Iterable[str]) -> set[UUID]:
    ids = _ids(names)
    return ids - set(Session.objects.filter(pk__in=ids).values_list("pk", flat=True))


def _ids(names: Iterable[str]) -> set[UUID]:
    """The names that are ids; what else lies there is not ours."""
    ids = set()
    for name in names:
        with suppress(ValueError):
            ids.add(UUID(name))
    return ids
