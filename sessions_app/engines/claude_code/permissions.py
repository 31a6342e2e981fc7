"""Tool calls that need a yes: from the SDK's callback to the host's answer, and back.

What the agent asks the user (`AskUserQuestion`) and the plans it makes (`ExitPlanMode`)
come the same way.

* `AskUserQuestion`: `input` is `{"questions": [{"question", "header", "multiSelect",
  "options": [{"label", "description"}]}]}`. Answer with `allow` and `updated_input`
  `{"answers": {QUESTION: LABEL or free text, or a list of labels}}`.
* `ExitPlanMode`: `input` is `{"plan": MARKDOWN}`, with `planFilePath` where the agent wrote
  it to a file. `allow` lets the agent begin, `deny` with a message sends it back to planning;
  `updated_input` is not used.
* Everything else: `input` is the tool's own. `updated_input` replaces it as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from claude_agent_sdk import (
    PermissionMode,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionUpdate,
    ToolPermissionContext,
)
from claude_agent_sdk.types import PermissionRuleValue

from sessions_app.engines.base import Decision, Question

DENIED = "The user does not want this tool call to be made."
ONLY_PLANS = "Plans only: no other permission mode is allowed here."
NO_PLANS = "Plans are not made here: the permission mode is not allowed."
NO_RUN = "No run is in progress: nobody can be asked."

_AFTER_PLANNING: tuple[PermissionMode, ...] = ("default", "acceptEdits", "dontAsk")
_NEVER_SUGGESTED = "bypassPermissions"
# Rules for any of these are written for `Edit`, and hold for all of them.
_EDITORS = {"Edit": "file_path", "Write": "file_path", "NotebookEdit": "notebook_path"}


def question_of(
    name: str,
    tool_input: dict[str, Any],
    context: ToolPermissionContext,
    called_with: dict[str, Any],
    modes: Sequence[str] = (),
) -> Question:
    """What the host is asked. Its `suggestions` are just what a yes for the session grants.

    Args:
        called_with: the input that the model gave. The CLI reads a plan from a file that
            the agent has written; where there is none, the model's own words are shown.
        modes: permission modes that the key's policy allows.
    """
    return Question(
        tool_use_id=context.tool_use_id or "",
        tool_name=name,
        input={**called_with, **tool_input} if name == "ExitPlanMode" else tool_input,
        reason=context.decision_reason or context.description or context.title or "",
        suggestions=[
            replace(update, destination="session").to_dict()
            for update in _for_session(name, tool_input, context.suggestions, modes)
        ],
    )


def answer_of(
    question: Question,
    decision: Decision,
    modes: Sequence[str] = (),
    allowed_tools: Sequence[str] = (),
) -> PermissionResultAllow | PermissionResultDeny:
    """What the agent is told.

    Args:
        modes: permission modes that the key's policy allows; none allow all.
        allowed_tools: rules that hold once a plan was approved.
    """
    if not decision.allow:
        return PermissionResultDeny(message=decision.message or DENIED)
    if question.tool_name == "AskUserQuestion":
        return _answered(question, decision)
    if question.tool_name == "ExitPlanMode":
        return _begun(modes, allowed_tools)
    if question.tool_name == "EnterPlanMode" and not may_plan(modes):
        return PermissionResultDeny(message=NO_PLANS)
    granted = question.suggestions if decision.scope == "session" else ()
    return PermissionResultAllow(
        updated_input=decision.updated_input,
        updated_permissions=[PermissionUpdate.from_dict(each) for each in granted] or None,
    )


def updates_of(
    answer: PermissionResultAllow | PermissionResultDeny,
) -> Sequence[PermissionUpdate]:
    """What this answer grants beyond the call that it is for."""
    return () if isinstance(answer, PermissionResultDeny) else answer.updated_permissions or ()


def may_plan(modes: Sequence[str]) -> bool:
    """Whether the agent may go over to planning by itself; it does not ask."""
    return not modes or "plan" in modes


def _begun(
    modes: Sequence[str], allowed_tools: Sequence[str]
) -> PermissionResultAllow | PermissionResultDeny:
    """A plan was approved: the agent goes on in a mode that is allowed."""
    for mode in _AFTER_PLANNING:
        if mode in (modes or _AFTER_PLANNING):
            switch = PermissionUpdate(type="setMode", mode=mode, destination="session")
            rules = [_rule_of(text) for text in allowed_tools]
            allow = PermissionUpdate(
                type="addRules", rules=rules, behavior="allow", destination="session"
            )
            return PermissionResultAllow(updated_permissions=[switch, *([allow] if rules else [])])
    return PermissionResultDeny(message=ONLY_PLANS)


def _rule_of(text: str) -> PermissionRuleValue:
    """A rule as it is written, `Bash(git *)`."""
    name, bracket, content = text.partition("(")
    return PermissionRuleValue(name, content.removesuffix(")") if bracket else None)


def _answered(
    question: Question, decision: Decision
) -> PermissionResultAllow | PermissionResultDeny:
    given = (decision.updated_input or {}).get("answers")
    if not isinstance(given, dict) or not given:
        return PermissionResultDeny(message=decision.message or "The user gave no answer.")
    answers = {
        str(asked): ", ".join(map(str, answer)) if isinstance(answer, list) else str(answer)
        for asked, answer in given.items()
    }
    return PermissionResultAllow(updated_input={**question.input, "answers": answers})


def _for_session(
    name: str,
    tool_input: dict[str, Any],
    suggested: Sequence[PermissionUpdate],
    modes: Sequence[str],
) -> list[PermissionUpdate]:
    """What lets calls like this one pass for the rest of the session.

    The agent's own suggestions; where it made none that may be followed, a rule for this file,
    this very command, or the tool. None for what can only be answered once.
    """
    if name in ("AskUserQuestion", "ExitPlanMode", "EnterPlanMode"):
        return []
    taken = [update for update in suggested if _may_follow(update, modes)]
    if not any(update.type != "addDirectories" for update in taken):
        rule = _rule_for(name, tool_input)
        if rule is None:
            return []
        taken.append(PermissionUpdate(type="addRules", rules=[rule], behavior="allow"))
    return taken


def _may_follow(update: PermissionUpdate, modes: Sequence[str]) -> bool:
    if update.type == "setMode":
        return update.mode in modes and update.mode != _NEVER_SUGGESTED
    return update.type == "addDirectories" or (
        update.type == "addRules" and update.behavior == "allow"
    )


def _rule_for(name: str, tool_input: dict[str, Any]) -> PermissionRuleValue | None:
    """The rule for calls like this one; None where it would say more than that."""
    if name == "Bash":
        command = str(tool_input.get("command", ""))
        return None if "*" in command or not command else PermissionRuleValue("Bash", command)
    if name in _EDITORS:
        path = str(tool_input.get(_EDITORS[name], ""))
        # A leading `//` is an absolute path, other patterns are as in gitignore.
        plain = path.startswith("/") and not set(path) & set("*?[]!\\")
        return PermissionRuleValue("Edit", f"/{path}") if plain else None
    return PermissionRuleValue(name, None)
