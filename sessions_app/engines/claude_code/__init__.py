"""The `claude-code` engine: real Claude Code agents, one process per live session.

`engine.py` is the way in. No Django here, and no vendor type leaves this package. The SDK
takes half a second and 67 MiB to import, so it is imported when the engine is asked for:
`workspaces` and the like do without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sessions_app.engines.claude_code.engine import ClaudeCodeEngine

__all__ = ["ClaudeCodeEngine"]


def __getattr__(name: str) -> Any:
    if name == "ClaudeCodeEngine":
        return import_module("sessions_app.engines.claude_code.engine").ClaudeCodeEngine
    raise AttributeError(name)
