"""Puts the Claude Code engine to our settings, database and key policies."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

from asgiref.sync import async_to_sync
from django.conf import settings

from claudeapi.conf import options
from keys_app import budgets, policy
from keys_app.models import ApiKey
from sessions_app import transcripts
from sessions_app.engines import aliases, registry
from sessions_app.engines.base import Engine
from sessions_app.models import Approval, ApprovalStatus, Session

if TYPE_CHECKING:
    from sessions_app.engines.claude_code import ClaudeCodeEngine
    from sessions_app.engines.claude_code.workspaces import Workspaces

CLAUDE_CODE = "claude-code"


def provide_engines() -> None:
    """Tell the registry what there is; nothing is imported or started yet."""
    registry.provide(CLAUDE_CODE, _claude_code)
    registry.provide("messages", _messages)


def _messages() -> Engine:
    made: Engine = import_module("sessions_app.engines.messages").MessagesEngine()
    return made


def _claude_code() -> Engine:
    configured = options()
    made: Engine = import_module("sessions_app.engines.claude_code").ClaudeCodeEngine(
        data_dir=configured.data_dir,
        transcripts=transcripts.DatabaseTranscripts(),
        sandbox_mode=configured.agents.sandbox,
        max_live=configured.agents.max_live,
        idle_seconds=configured.agents.idle_seconds,
        protected=[settings.BASE_DIR],
        quota=configured.agents.quota,
    )
    return made


def engine() -> ClaudeCodeEngine:
    """The engine of this process."""
    return cast("ClaudeCodeEngine", registry.get(CLAUDE_CODE))


def live_sessions() -> list[UUID]:
    """The sessions whose agents this process holds."""
    held = cast("ClaudeCodeEngine | None", registry.running(CLAUDE_CODE))
    return [UUID(session_id) for session_id in held.live_sessions()] if held else []


def workspaces() -> Workspaces:
    """The folders of all agent sessions; usable in any process."""
    module = import_module("sessions_app.engines.claude_code.workspaces")
    made: Workspaces = module.Workspaces(options().data_dir, [settings.BASE_DIR])
    return made


def turn_config(session: Session) -> dict[str, Any]:
    """What a session was created with, and what its key's policy adds at this moment."""
    key = session.key
    left = min((budget.remaining for budget in budgets.budgets(key)), default=None)
    return {
        **session.config,
        "roots": key.roots,
        "tools": key.tools,
        "models": aliases.patterns(key.models),
        "permissionModes": key.permission_modes,
        "allowSlashCommands": key.allow_slash_commands,
        "maxBudgetUsd": None if session.max_budget_usd is None else str(session.max_budget_usd),
        "keyBudgetUsd": None if left is None else str(left),
        "granted": _granted(session),
    }


def _granted(session: Session) -> list[dict[str, Any]]:
    """The permission updates that were allowed for the session, for tools its key still has."""
    if session.engine != CLAUDE_CODE:
        return []
    yeses = Approval.objects.filter(
        session=session, status=ApprovalStatus.ALLOWED, scope="session"
    ).values_list("tool_name", "suggestions")
    return [
        update
        for tool, updates in yeses
        if policy.has_tool(session.key, tool)
        for update in updates
    ]


def folder_of(key: ApiKey, cwd: str) -> dict[str, str]:
    """What a session's `config` says of the folder that was asked for.

    A folder below the key's own goes by its name there: the path differs between machines.

    Raises:
        InvalidRequest, PolicyDenied: see `Workspaces.resolve`.
    """
    places = workspaces()
    real = places.resolve(cwd, key_id=str(key.pk), roots=key.roots)
    name = places.workspace_at(str(key.pk), real)
    return {"workspace": name} if name else {"cwd": str(real)}


def check_folder(session: Session) -> None:
    """Pass if the session may still work in its folder: a root may have been taken away.

    Raises:
        InvalidRequest, PolicyDenied: see `Workspaces.resolve`.
    """
    if cwd := session.config.get("cwd"):
        folder_of(session.key, cwd)


def workspace_of(session: Session) -> str:
    """The name of the working folder, below those of its key; empty for one in a root."""
    if session.engine != CLAUDE_CODE or session.config.get("cwd"):
        return ""
    return str(session.config.get("workspace") or session.pk)


def private_folder(session: Session) -> Path | None:
    """The private folder that a session works in; None where it works elsewhere."""
    name = workspace_of(session)
    if not name or "/" in name:
        return None
    return workspaces().private(str(session.key_id), name)


def check_rules(config: dict[str, Any]) -> None:
    """Pass if the tool rules of a new session are such.

    Raises:
        InvalidRequest: naming the field.
    """
    rules = import_module("sessions_app.engines.claude_code.rules")
    for name in ("allowedTools", "disallowedTools"):
        rules.checked_rules(config.get(name), name)


def branch_transcript(
    conversation: str, until: Sequence[str] | None = None
) -> tuple[str, dict[str, str]]:
    """Copy a conversation under a new Claude session id.

    Inside the caller's transaction: the SDK's own copying works on a copy in memory, for its
    event loop must not touch this thread's connection.

    Args:
        until: names of the messages to keep, the last one first; None is all. Not every
            message is in the transcript: the first of these that is, is the last one kept.

    Returns:
        The copy's id, and the new names of its messages by their old ones.
    """
    store = import_module("sessions_app.engines.claude_code.store")
    memory = store.MemoryTranscripts()
    entries = transcripts.load(conversation, "") or []
    known = {entry.get("uuid") for entry in entries}
    at = None if until is None else next((name for name in until if name in known), "")
    if not entries or at == "":
        return str(uuid4()), {}  # nothing was said yet
    if at is not None:
        at = _with_what_goes_with_it(entries, at)

    async def branched() -> tuple[str, list[tuple[str, list[transcripts.Entry]]]]:
        await memory.append(conversation, "", entries)
        copy = await store.fork(memory, conversation, at)
        return copy, [("", await memory.load(copy, "") or [])]

    copy, parts = async_to_sync(branched)()
    renamed: dict[str, str] = {}
    for subpath, lines in parts:
        transcripts.append(copy, subpath, lines)
        renamed |= {
            line["forkedFrom"]["messageUuid"]: line["uuid"]
            for line in lines
            if "forkedFrom" in line
        }
    return copy, renamed


def _with_what_goes_with_it(entries: Sequence[transcripts.Entry], at: str) -> str:
    """The last entry to keep: the agent notes a message's surroundings behind it."""
    names = [entry.get("uuid") for entry in entries]
    for entry in entries[names.index(at) + 1 :]:
        if entry.get("type") in ("user", "assistant"):
            break
        if entry.get("type") in ("attachment", "system") and entry.get("uuid"):
            at = entry["uuid"]
    return at


def keep_folder(origin: Session, session: Session) -> None:
    """Let a session that carries a conversation on work where it was begun."""
    if not session.config.get("cwd") and not session.config.get("workspace"):
        session.config = {**session.config, "workspace": workspace_of(origin)}


def import_transcript(conversation: str, lines: Sequence[bytes]) -> list[transcripts.Entry]:
    """Take over a transcript file's lines; returns what was kept, in order.

    Raises:
        InvalidRequest: a line is not JSON, or there is no message in it.
    """
    store = import_module("sessions_app.engines.claude_code.store")
    memory = store.MemoryTranscripts()

    async def taken() -> list[transcripts.Entry]:
        await store.import_transcript(memory, conversation, lines)
        return await memory.load(conversation, "") or []

    entries = async_to_sync(taken)()
    transcripts.append(conversation, "", entries)
    return entries
