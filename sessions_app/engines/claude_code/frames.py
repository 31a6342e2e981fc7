"""From lines of the CLI's output to the engine's events."""

from __future__ import annotations

import orjson

from sessions_app.engines.claude_code.process import Frame
from sessions_app.engines.events import Delta, Whole

# Told by other means, or of use to nobody outside.
_SILENT = frozenset({"session_state_changed", "files_persisted", "mirror_error"})
_HISTORY = frozenset({"init", "compact_boundary", "model_fallback"})
# What of an `init` makes it worth repeating: it comes with every message.
_TELLING = ("cwd", "session_id", "tools", "model", "permissionMode", "mcp_servers")


class Translator:
    """Turns the messages of one process into events, leaving out repetitions."""

    def __init__(self) -> None:
        self._last_init: list[object] = []

    def event(self, frame: Frame) -> Delta | Whole | None:
        """The event of a message; None for what clients need not see."""
        kind = frame.get("type")
        if kind == "stream_event":
            if frame.get("parent_tool_use_id") or "event" not in frame:
                return None
            return Delta(orjson.dumps(frame["event"]))
        if kind == "user":
            return None if frame.get("isReplay") else Whole(frame)
        if kind in ("assistant", "result"):
            return Whole(frame)
        if kind == "system":
            return self._note(frame)
        return None

    def _note(self, frame: Frame) -> Whole | None:
        subtype = frame.get("subtype")
        if subtype in _SILENT or frame.get("status") == "requesting":
            return None
        if subtype == "init":
            telling = [frame.get(key) for key in _TELLING]
            if telling == self._last_init:
                return None
            self._last_init = telling
        return Whole(frame, kept=subtype in _HISTORY)
