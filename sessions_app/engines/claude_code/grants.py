"""What somebody has allowed for the session: each of its processes begins with it.

A live process gets a permission update with the yes. Here the sum of them becomes settings
for the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from claude_agent_sdk import PermissionUpdate
from claude_agent_sdk.types import PermissionRuleValue

_ESCAPES = str.maketrans({"\\": "\\\\", "(": "\\(", ")": "\\)"})


@dataclass(frozen=True, slots=True)
class Grants:
    """Rules, as settings have them, and folders.

    A permission mode is none of it: the session keeps that by itself, and may be given another.
    """

    rules: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()

    def __or__(self, other: Grants) -> Grants:
        return Grants(self.rules | other.rules, self.folders | other.folders)

    def settings(self) -> dict[str, Any]:
        """The CLI's settings for them; empty where there are none."""
        if not (self.rules or self.folders):
            return {}
        lists = {"allow": self.rules, "additionalDirectories": self.folders}
        return {"permissions": {name: sorted(entries) for name, entries in lists.items()}}


def grants_of(updates: Iterable[PermissionUpdate]) -> Grants:
    """What is left of these updates in a new process."""
    rules: set[str] = set()
    folders: set[str] = set()
    for update in updates:
        if update.type == "addRules" and update.behavior == "allow":
            rules.update(map(_written, update.rules or ()))
        elif update.type == "addDirectories":
            folders.update(update.directories or ())
    return Grants(frozenset(rules), frozenset(folders))


def _written(rule: PermissionRuleValue) -> str:
    if not rule.rule_content:
        return rule.tool_name
    return f"{rule.tool_name}({rule.rule_content.translate(_ESCAPES)})"
