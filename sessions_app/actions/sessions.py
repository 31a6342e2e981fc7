"""Sessions: create, change, end, fork."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from claudeapi.conf import options
from claudeapi.core import errors
from keys_app import policy
from keys_app.models import ApiKey
from sessions_app import agents, homes, sandbox
from sessions_app.actions.history import take_over
from sessions_app.actions.lookup import find_session, require_active
from sessions_app.actions.origins import NewSession, check_room, find_origin, must_branch
from sessions_app.doorbell import doorbell
from sessions_app.engines import registry
from sessions_app.engines.base import NEEDS_SANDBOX
from sessions_app.models import (
    LIVE,
    Message,
    Run,
    RunQuerySet,
    RunStatus,
    Session,
    SessionStatus,
)
from sessions_app.runner import runner
from sessions_app.runs import INTERRUPTED

SESSION_COUNT_LOCK = 0x636C_6175  # any number, the same in every process
AGENT_ONLY = ("cwd", "allowedTools", "disallowedTools")
DEFAULT_MODE = "default"
UNASKED_MODE = "bypassPermissions"  # only for an agent that is locked in
DEFAULT_MAX_TURNS = 10


def create_session(key: ApiKey, wanted: NewSession, copy: UUID | None = None) -> Session:
    """Make a session within the key's policy and limits.

    Args:
        copy: what `copy_for` has made for it.

    Raises:
        InvalidRequest, PolicyDenied, SessionNotFound, Unavailable, MaxSessionsReached.
    """
    with transaction.atomic():
        origin = None
        if wanted.resume:
            origin = find_origin(key, wanted, Session.objects.select_for_update(of=("self",)))
        branch = origin is not None and (wanted.fork or bool(copy) or must_branch(origin, key))
        session = _new(key, wanted, origin, copy)
        if branch and copy is None and agents.workspace_of(session) == str(session.pk):
            raise errors.Unavailable("The session has just been taken up again. Try again.")
        check_policy(key, session)
        _count(key)
        session.save(force_insert=True)
        if origin is not None:
            take_over(origin, session, branch=branch)
    return session


def _new(
    key: ApiKey, wanted: NewSession, origin: Session | None, copy: UUID | None = None
) -> Session:
    limits, now = options(), timezone.now()
    engine = wanted.engine or (origin.engine if origin else limits.default_engine)
    if engine not in registry.names():
        raise errors.InvalidRequest.field(
            "engine", f"must be one of {', '.join(registry.names())}."
        )
    if engine == "messages" and (extra := [f for f in AGENT_ONLY if f in wanted.config]):
        raise errors.InvalidRequest(
            "Some fields are for the claude-code engine only.",
            details={"fields": {name: ["Only for engine claude-code."] for name in extra}},
        )
    agents.check_rules(wanted.config)
    timeout_ms = wanted.timeout_ms or limits.session_timeout_ms
    identity = copy or uuid4()
    session = Session(
        id=identity,
        key=key,
        engine=engine,
        model=wanted.model or (origin.model if origin else limits.default_model),
        title=wanted.title,
        system_prompt=wanted.system_prompt or (origin.system_prompt if origin else ""),
        append_system_prompt=wanted.append_system_prompt
        or (origin.append_system_prompt if origin else ""),
        config={
            "maxTurns": min(DEFAULT_MAX_TURNS, key.max_turns or DEFAULT_MAX_TURNS),
            **_taken_over(origin),
            **wanted.config,
        },
        metadata=wanted.metadata,
        max_budget_usd=wanted.max_budget_usd,
        timeout_ms=min(timeout_ms, limits.session_timeout_ms),
        claude_session_id=str(identity),
        forked_from=origin,
        created_at=now,
        last_activity=now,
    )
    if cwd := session.config.get("cwd"):
        del session.config["cwd"]
        session.config |= agents.folder_of(key, cwd)
    session.expires_at = session.lifetime(now)
    return session


def _taken_over(origin: Session | None) -> dict[str, Any]:
    """The origin's config; in whose private folder to work is decided anew."""
    config = origin.config if origin else {}
    return {name: value for name, value in config.items() if name != "workspace"}


def check_policy(key: ApiKey, session: Session) -> None:
    """Pass if the key may have such a session.

    Raises:
        PolicyDenied: with `{field, requested, allowed}`.
    """
    policy.check_engine(key, session.engine)
    policy.check_model(key, session.model)
    policy.check_tools(key, session.config.get("allowedTools", ()))
    policy.check_max_turns(key, session.config.get("maxTurns", DEFAULT_MAX_TURNS))
    # A conversation has no tools: only a mode that was asked for is looked at.
    if session.engine != "messages" or "permissionMode" in session.config:
        mode = session.config.get("permissionMode", DEFAULT_MODE)
        policy.check_permission_mode(key, mode)
        if mode == UNASKED_MODE and not sandbox.shelter().active:
            allowed = [other for other in key.permission_modes if other != mode]
            raise errors.PolicyDenied.value("permissionMode", mode, allowed, NEEDS_SANDBOX)


def _count(key: ApiKey) -> None:
    """Count under a lock, so that the limits are exact however many ask at once."""
    if connection.vendor == "postgresql":  # SQLite's transactions are exclusive from the start
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SESSION_COUNT_LOCK])
    check_room(key)


def fork_session(
    key: ApiKey, session_id: object, copy: UUID | None, at_message: UUID | None = None
) -> Session:
    """A new session of that key with the same history, up to and including `at_message`.

    Args:
        copy: what `copy_for_fork` has made for it.

    Raises:
        SessionNotFound, InvalidRequest, PolicyDenied, MaxSessionsReached.
    """
    with transaction.atomic():
        origin = find_session(key, session_id)
        until = None
        if at_message is not None:
            until = Message.objects.filter(session=origin, pk=at_message).first()
            if until is None:
                raise errors.InvalidRequest.field("atMessage", "no such message in this session.")
        wanted = NewSession(
            title=origin.title,
            timeout_ms=origin.timeout_ms,
            max_budget_usd=origin.max_budget_usd,
            metadata=origin.metadata,
        )
        session = _new(key, wanted, origin, copy)
        check_policy(key, session)
        _count(key)
        session.save(force_insert=True)
        take_over(origin, session, branch=True, until=until)
    return session


def update_session(key: ApiKey, session_id: object, changes: dict[str, Any]) -> Session:
    """Change `title`, `metadata`, `model`, `permissionMode` or `timeout`.

    The change holds from the next message on, for a live agent at once where it can: see
    `ClaudeCodeEngine.configure`.

    Raises:
        SessionNotFound, SessionEnded, SessionExpired, PolicyDenied.
    """
    with transaction.atomic():
        session = find_session(key, session_id, lock=True)
        require_active(session)
        fields: list[str] = []
        for name in ("title", "metadata", "model"):
            if name in changes:
                setattr(session, name, changes[name])
                fields.append(name)
        if "permissionMode" in changes:
            session.config = {**session.config, "permissionMode": changes["permissionMode"]}
            fields.append("config")
        if "timeout" in changes:
            session.timeout_ms = min(changes["timeout"], options().session_timeout_ms)
            session.expires_at = session.lifetime(timezone.now())
            fields += ["timeout_ms", "expires_at"]
        check_policy(session.key, session)
        if fields:
            session.save(update_fields=fields)
        transaction.on_commit(
            lambda: runner.configure(
                session.id,
                session.engine,
                model=changes.get("model"),
                permission_mode=changes.get("permissionMode"),
            )
        )
        transaction.on_commit(lambda: homes.tell_holders(homes.other_holders(session), session.id))
    return session


def extend_session(key: ApiKey, session_id: object, until: datetime) -> Session:
    """Keep a session open at least until then, also unused. Never shortens its life.

    From its next message on its idle lifetime counts again.

    Raises:
        SessionNotFound, SessionEnded, SessionExpired.
    """
    with transaction.atomic():
        session = find_session(key, session_id, lock=True)
        require_active(session)
        session.expires_at = max(session.expires_at, until)
        session.save(update_fields=["expires_at"])
    return session


def end_session(key: ApiKey, session_id: object) -> Session:
    """End a session: its run is cancelled, its process freed, its history stays.

    Ending it twice is no error.

    Raises:
        SessionNotFound.
    """
    session = find_session(key, session_id)
    close_session(session, SessionStatus.ENDED)
    return session


def close_session(session: Session, status: str) -> bool:
    """Take a session out of use. True for the one caller that did it."""
    with transaction.atomic():
        if not session.close(status):
            return False
        stop_runs(session, "session_ended")
        transaction.on_commit(lambda: _announce_end(session))
    return True


def _announce_end(session: Session) -> None:
    runner.release(session.id, session.engine)
    doorbell.announce_end(session.id)
    homes.tell_holders(homes.other_holders(session), session.id)


def stop_runs(session: Session, reason: str) -> Run | None:
    """Ask all unfinished runs of a session to stop. Inside a transaction.

    Returns:
        The one that is live, or the first that is queued, or None.
    """
    return _stop(session.runs.unfinished(), reason)


def interrupt(session: Session) -> None:
    """Ask what is being answered to stop, and what was to interrupt it but has not begun.

    Where there is neither, what is about to begin is the run in progress. What is queued behind
    it stays so. Inside a transaction.
    """
    runs = session.runs.unfinished()
    stopped = runs.filter(Q(status__in=LIVE) | Q(goes_first=True))
    if not stopped.exists():
        stopped = runs.filter(pk__in=runs.filter(cancel_reason="").in_turn().values("pk")[:1])
    _stop(stopped, INTERRUPTED)


def _stop(runs: RunQuerySet, reason: str) -> Run | None:
    found = list(runs.in_turn().only("owner", "status", "cancel_reason"))
    runs.filter(cancel_reason="").update(cancel_reason=reason)
    # Who ends one that waits ends all that wait with it: a nudge for each would be a crowd. Rather
    # one that was not stopped before, for that may have ended by now.
    by_news = sorted(found, key=lambda run: bool(run.cancel_reason))
    told = {(run.owner, run.status == RunStatus.QUEUED): run for run in reversed(by_news)}
    for run in told.values():
        transaction.on_commit(partial(runner.nudge, run.id, run.owner))
    return found[0] if found else None
