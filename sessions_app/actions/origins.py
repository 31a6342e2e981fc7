"""What a new session shall be, and the session it begins from: found, and its files copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from claudeapi.conf import options
from claudeapi.core import errors
from keys_app.models import ApiKey
from sessions_app import agents, copying, homes
from sessions_app.actions.lookup import as_uuid, find_session
from sessions_app.models import Session, SessionQuerySet, SessionStatus


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a session is asked to be.

    Attributes:
        config: `cwd, permissionMode, maxTurns, allowedTools, disallowedTools`, as given.
        timeout_ms: idle lifetime in milliseconds; None is the server's.
        resume: one of our session ids, or a Claude session id, to carry on from.
        fork: with `resume`: branch off instead of carrying on.
    """

    engine: str = ""
    model: str = ""
    title: str = ""
    system_prompt: str = ""
    append_system_prompt: str = ""
    max_budget_usd: Decimal | None = None
    timeout_ms: int | None = None
    resume: str = ""
    fork: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@contextmanager
def copy_for(key: ApiKey, wanted: NewSession) -> Iterator[UUID | None]:
    """The files of the session that `create_session` shall branch from, copied beforehand.

    It may take long, so no transaction waits for it. The copy is gone again if no session is
    made of it. None where none is needed.

    Raises:
        InvalidRequest, PolicyDenied, SessionNotFound, MaxSessionsReached, Unavailable.
    """
    origin = find_origin(key, wanted, Session.objects.all()) if wanted.resume else None
    if origin is None or wanted.config.get("cwd"):
        yield None
    elif wanted.fork or must_branch(origin, key):
        with _copied(origin, key) as copy:
            yield copy
    else:
        yield None


@contextmanager
def copy_for_fork(key: ApiKey, session_id: object) -> Iterator[UUID | None]:
    """The same for `fork_session`.

    Raises:
        PolicyDenied, SessionNotFound, MaxSessionsReached, Unavailable.
    """
    origin = find_session(key, session_id)
    with _copied(origin, key) as copy:
        yield copy


@contextmanager
def _copied(origin: Session, key: ApiKey) -> Iterator[UUID | None]:
    if origin.engine != agents.CLAUDE_CODE:
        yield None
        return
    check_room(key)
    with copying.copied_folder(origin, key) as copy:
        yield copy


def find_origin(key: ApiKey, wanted: NewSession, sessions: SessionQuerySet) -> Session:
    """The session to resume.

    Args:
        sessions: to look among; locked, where it is for a transaction.

    Raises:
        InvalidRequest, SessionNotFound.
    """
    identity = as_uuid(wanted.resume)
    mine = sessions.owned_by(key)
    found = mine.filter(pk=identity).first() if identity else None
    if found is None:
        by_claude_id = mine.filter(claude_session_id=wanted.resume).order_by("-last_activity")
        found = by_claude_id.first()
    if found is None:
        raise errors.SessionNotFound.of(wanted.resume)
    if wanted.engine and wanted.engine != found.engine:
        raise errors.InvalidRequest.field("engine", f"the session resumed is of {found.engine}.")
    return found


def must_branch(origin: Session, key: ApiKey) -> bool:
    """Whether a session of that key cannot carry on the origin's conversation itself.

    Two agents on one transcript must not happen: what somebody still writes, if only to its
    end, is branched from.
    """
    if origin.engine != agents.CLAUDE_CODE:
        return False
    active = Session.objects.filter(
        claude_session_id=origin.claude_session_id, status=SessionStatus.ACTIVE
    )
    return (
        origin.key_id != key.pk
        or active.exists()
        or homes.of_conversation(origin).unfinished().exists()
    )


def check_room(key: ApiKey) -> None:
    """Pass if there may be one more session; only a transaction that counts alone knows.

    Raises:
        MaxSessionsReached.
    """
    active = Session.objects.active()
    if key.max_sessions is not None and active.filter(key=key).count() >= key.max_sessions:
        raise errors.MaxSessionsReached(details={"limit": key.max_sessions, "of": "key"})
    if active.count() >= options().max_sessions:
        raise errors.MaxSessionsReached(details={"limit": options().max_sessions, "of": "server"})
