"""From a turn's configuration to how the CLI is started."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any, cast

import orjson
from claude_agent_sdk import (
    CanUseTool,
    ClaudeAgentOptions,
    PermissionMode,
    PermissionUpdate,
    SessionStore,
)
from claude_agent_sdk import __version__ as sdk_version
from claude_agent_sdk._internal.transport.subprocess_cli import SubprocessCLITransport

from claudeapi.core.errors import InvalidRequest, PolicyDenied
from sessions_app.engines.aliases import MODEL_NAME
from sessions_app.engines.base import NEEDS_SANDBOX, Turn
from sessions_app.engines.claude_code import harmless_git
from sessions_app.engines.claude_code.grants import Grants, grants_of
from sessions_app.engines.claude_code.outcome import budget_spent
from sessions_app.engines.claude_code.rules import checked_rules
from sessions_app.engines.claude_code.sandbox import Jail
from sessions_app.engines.claude_code.workspaces import Folders

MODES = ("default", "acceptEdits", "plan", "dontAsk", "bypassPermissions")
DEFAULT_MAX_TURNS = 10

# They reach other sessions or hosts, or would work on when no run is in progress.
NEVER = (
    "SendMessage",
    "ListAgents",
    "CronCreate",
    "CronDelete",
    "CronList",
    "ScheduleWakeup",
    "Monitor",
    "WebFetch",
)
SETTINGS = {
    "crossSessionInbound": "refuse",
    "useAutoModeDuringPlan": False,
    "autoMemoryEnabled": False,
}


@dataclass(frozen=True, slots=True)
class Setup:
    """What a turn asks of its process.

    Attributes:
        conversation: Claude Code's session id; sessions may carry on one after the other.
        budget: US dollars that the whole session may cost; None for no bound.
        left: US dollars that this run may cost by the session's budget; None for no bound.
        models: patterns of the models that the key allows; none allow all.
        tools: all that the agent may have; empty is Claude Code's own choice.
        cwd: the folder inside a root to work in; empty for one of the key's own.
        workspace: which of these, by its name; empty for the session's own.
        typed_commands: slash commands and `@file` in a prompt are obeyed.
        granted: what somebody has allowed for the session.
    """

    session_id: str
    conversation: str
    model: str
    permission_mode: PermissionMode
    system_prompt: str
    append_system_prompt: str
    max_turns: int
    allowed_tools: tuple[str, ...]
    disallowed_tools: tuple[str, ...]
    budget: Decimal | None
    left: Decimal | None
    typed_commands: bool
    cwd: str
    workspace: str
    tools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    granted: Grants = field(default_factory=Grants)

    def fits(self, other: Setup) -> bool:
        """Whether a process started for this can serve the other, by switching at most."""
        modes = {self.permission_mode, other.permission_mode}
        if "bypassPermissions" in modes and len(modes) > 1:
            return False
        return self._fixed() == other._fixed()

    def _fixed(self) -> Setup:
        return replace(self, model="", permission_mode="default", left=None, models=())


def setup_of(turn: Turn, *, closed: bool) -> Setup:
    """Read a turn's `config`.

    Args:
        closed: the sandbox keeps the agent in.

    Raises:
        InvalidRequest: a value is of the wrong kind.
        PolicyDenied: `bypassPermissions` without a sandbox.
        BudgetExceeded: `maxBudgetUsd` is spent.
    """
    config = turn.config
    mode = config.get("permissionMode") or "default"
    check_mode(mode, closed=closed)
    allowed_tools = checked_rules(config.get("allowedTools"), "allowedTools")
    if not re.fullmatch(MODEL_NAME, turn.model):
        raise InvalidRequest.field("model", "is not the name of a model.")
    budget = _budget(config, "maxBudgetUsd")
    left = _left(budget, Decimal(str(turn.spent_usd)))
    return Setup(
        session_id=turn.session_id,
        conversation=turn.claude_session_id,
        model=turn.model,
        permission_mode=cast("PermissionMode", mode),
        system_prompt=turn.system_prompt,
        append_system_prompt=turn.append_system_prompt,
        max_turns=_turns(config.get("maxTurns")),
        allowed_tools=() if mode == "plan" else allowed_tools,  # they would run unasked
        disallowed_tools=checked_rules(config.get("disallowedTools"), "disallowedTools"),
        budget=budget,
        left=left,
        models=tuple(config.get("models") or ()),
        typed_commands=bool(config.get("allowSlashCommands")),
        cwd=config.get("cwd") or "",
        workspace=config.get("workspace") or "",
        tools=checked_rules(config.get("tools"), "tools"),
        granted=grants_of(map(PermissionUpdate.from_dict, config.get("granted") or ())),
    )


def key_left(turn: Turn) -> Decimal | None:
    """What was left of the key's budgets when the turn was claimed; None for no bound.

    Raises:
        InvalidRequest: it is no amount.
    """
    return _budget(turn.config, "keyBudgetUsd")


def can_switch(turn: Turn, mode: str) -> bool:
    """Whether the process that answers a turn can be switched to a mode.

    There is no way to `bypassPermissions`. In mode `plan` no `allowedTools` may hold, and a process
    keeps those that it began with or got with a plan.
    """
    if mode == "plan":
        return not turn.config.get("allowedTools")
    return mode != "bypassPermissions"


def check_mode(mode: Any, *, closed: bool) -> None:
    """Refuse a permission mode that does not exist, or that needs a sandbox."""
    if mode not in MODES:
        raise InvalidRequest.field("permissionMode", f"must be one of {', '.join(MODES)}.")
    if mode == "bypassPermissions" and not closed:
        allowed = [m for m in MODES if m != mode]
        raise PolicyDenied.value("permissionMode", mode, allowed, NEEDS_SANDBOX)


def _turns(value: Any) -> int:
    if value is None:
        return DEFAULT_MAX_TURNS
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 100:
        raise InvalidRequest.field("maxTurns", "must be a whole number from 1 to 100.")
    return value


def _budget(config: dict[str, Any], field: str) -> Decimal | None:
    value = config.get(field)
    if value is None or value == "":
        return None
    try:
        budget = Decimal(str(value))
    except InvalidOperation:
        budget = Decimal("NaN")
    if not budget.is_finite() or budget < 0:
        raise InvalidRequest.field(field, "must be an amount of dollars.")
    return budget


def _left(budget: Decimal | None, spent: Decimal) -> Decimal | None:
    """What a run may cost by its session's budget."""
    if budget is None:
        return None
    if budget <= spent:
        raise budget_spent("session")
    return budget - spent


def sdk_options(
    setup: Setup,
    turn: Turn,
    *,
    resume: bool,
    folders: Folders,
    jail: Jail,
    can_use_tool: CanUseTool,
    store: SessionStore,
) -> ClaudeAgentOptions:
    """The SDK's options for one process. What may be long goes by file, not by command line."""
    settings = folders.prompts / "settings.json"
    settings.write_bytes(orjson.dumps({**SETTINGS, **setup.granted.settings()}))
    options = ClaudeAgentOptions(
        model=setup.model,
        resume=setup.conversation if resume else None,
        session_id=None if resume else setup.conversation,
        permission_mode=setup.permission_mode,
        can_use_tool=can_use_tool,
        allowed_tools=list(setup.allowed_tools),
        disallowed_tools=[*NEVER, *setup.disallowed_tools],
        max_turns=setup.max_turns,
        setting_sources=[],
        strict_mcp_config=True,
        include_partial_messages=True,
        verbatim_prompts=not setup.typed_commands,
        settings=str(settings),
        session_store=store,
        session_store_flush="eager",
        cli_path=jail.cli,
        cwd=folders.work,
        env={"CLAUDE_CONFIG_DIR": str(folders.config)},
        system_prompt={"type": "preset", "preset": "claude_code"},
    )
    if setup.tools:
        options.tools = list(setup.tools)
    if setup.system_prompt:
        file = folders.prompts / "system-prompt.md"
        file.write_text(setup.system_prompt)
        options.system_prompt = {"type": "file", "path": str(file)}
    if setup.append_system_prompt:
        file = folders.prompts / "append-system-prompt.md"
        file.write_text(setup.append_system_prompt)
        options.extra_args["append-system-prompt-file"] = str(file)
    if setup.budget is not None:
        options.max_budget_usd = float(setup.budget - Decimal(str(turn.spent_usd)))
    return options


def command_line(options: ClaudeAgentOptions) -> list[str]:
    """The CLI's arguments for these options, as the SDK writes them (a private method)."""

    async def nothing() -> Any:
        return
        yield

    routed = replace(options, permission_prompt_tool_name="stdio")
    transport = SubprocessCLITransport(prompt=nothing(), options=routed)
    return transport._build_command()


def environment(
    folders: Folders, jail: Jail, token: str, *, typed_files: bool, retries: int
) -> dict[str, str]:
    """The agent's whole environment: nothing of the server's is in it.

    Args:
        token: what opens the relay; the only credential the agent has.
        typed_files: `@file` in a prompt may be obeyed.
    """
    names = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folders.home),
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "TMPDIR": jail.temp,
        "XDG_RUNTIME_DIR": jail.temp,
        "CLAUDE_CODE_TMPDIR": jail.temp,
        "CLAUDE_CONFIG_DIR": str(folders.config),
        "ANTHROPIC_API_KEY": token,
        "ANTHROPIC_BASE_URL": "http://localhost",
        "ANTHROPIC_UNIX_SOCKET": jail.socket,
        "CLAUDE_CODE_ENTRYPOINT": "sdk-py",
        "CLAUDE_AGENT_SDK_VERSION": sdk_version,
        "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1",
        # Not a byte to any host but the upstream.
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_WEB_FETCH": "1",
        "DISABLE_AUTOUPDATER": "1",
        # No memory: neither notes of its own nor those of the folder.
        "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
        "CLAUDE_CODE_DISABLE_CLAUDE_MDS": "1",
        # Nothing works on when no run is in progress.
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "CLAUDE_CODE_DISABLE_CRON": "1",
        # Failures within a minute, not three.
        "CLAUDE_CODE_MAX_RETRIES": str(retries),
        **harmless_git.environment(),
    }
    if not typed_files:
        names["CLAUDE_CODE_DISABLE_FILE_MENTIONS"] = "1"
    return names
