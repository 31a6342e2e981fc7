"""System checks of sessions, `claudeapi.W04…`, for `manage.py check --deploy`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register

from sessions_app import agents, sandbox
from sessions_app.engines import registry


@register(Tags.security, deploy=True)
def check_sandbox(**_: Any) -> Iterator[CheckMessage]:
    """Agents of several tenants need walls between them."""
    if agents.CLAUDE_CODE not in registry.names():
        return
    if warning := sandbox.shelter().warning:
        yield Warning(warning, hint="See docs/agents.md.", id="claudeapi.W040")
