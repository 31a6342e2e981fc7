"""What a yes for the session grants, in words. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from console.reading.text import code


def in_words(suggestions: Any, given: Mapping[str, Any]) -> list[str]:
    """An approval's suggestions, each as a short text; none: it can be allowed only once.

    Args:
        given: the input of the call, so that a rule for just this command need not repeat it.
    """
    if not isinstance(suggestions, list):
        return []
    return [told for each in suggestions for told in _told(each, given)]


def _told(update: Any, given: Mapping[str, Any]) -> Iterator[str]:
    kind = update.get("type") if isinstance(update, dict) else None
    if kind == "addRules" and update.get("behavior") == "allow" and _are(dict, update.get("rules")):
        yield from (_rule(rule, given) for rule in update["rules"])
    elif kind == "setMode" and isinstance(update.get("mode"), str):
        yield f"permission mode {code(update['mode'])} from now on"
    elif kind == "addDirectories" and _are(str, update.get("directories")):
        yield from (f"work in the folder {code(path)}" for path in update["directories"])
    else:
        yield code(json.dumps(update, ensure_ascii=False))


def _rule(rule: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    tool, content = code(rule.get("toolName", "")), rule.get("ruleContent")
    if not content:
        return f"every call of {tool}"
    if tool == "Bash" and content == given.get("command") and "*" not in content:
        return "this very command again"
    return f"{tool}({code(content)})"


def _are(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
