"""Tool rules, as `Read` or `Bash(git *)`: which texts are one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from claudeapi.core.errors import InvalidRequest

_RULE = re.compile(r"[A-Za-z_][A-Za-z0-9_:-]*\*?(\([^()\x00-\x1f]*\))?")


def checked_rules(value: Any, field: str) -> tuple[str, ...]:
    """Tool rules, each exactly one: the CLI would split a list in a string.

    Raises:
        InvalidRequest: naming the field.
    """
    rules = value or ()
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        raise InvalidRequest.field(field, "must be a list of tool names.")
    for rule in rules:
        if not isinstance(rule, str) or not _RULE.fullmatch(rule):
            raise InvalidRequest.field(field, "has something in it that is not a tool rule.")
    return tuple(rules)
