"""What a client says over a WebSocket: one frame, read and checked."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import orjson

from claudeapi.core import errors
from claudeapi.core.aside import LARGE, aside
from claudeapi.core.drf import StrictSerializer
from claudeapi.core.json_body import parse_json
from sessions_app.api import serializers as wire

PING = "ping"
FREE_CHARS = 1024
KINDS: dict[str, type[StrictSerializer] | None] = {
    "message": wire.SocketMessage,
    "cancel": wire.Nothing,
    "approval": wire.SocketDecide,
    PING: None,
}


class ClientFrame:
    """One frame of a client.

    Attributes:
        kind: what it asks for, once it is read; so are the others.
        body: its validated fields.
        ref: what its answer repeats.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self.kind = ""
        self.body: dict[str, Any] = {}
        self.ref: Any = None

    @property
    def is_free(self) -> bool:
        """Whether it is but a small ping, which keeps a socket open and does nothing."""
        if len(self._text) > FREE_CHARS:
            return False
        with suppress(errors.ApiError):
            return parse_json(self._text.encode()).get("type") == PING
        return False

    async def read(self) -> None:
        """Read it, away from the event loop if it is large.

        Raises:
            InvalidJson, InvalidRequest, ValidationError.
        """
        await aside(len(self._text), self._read)

    def _read(self) -> None:
        fields = parse_json(self._text.encode())
        self.ref = fields.pop("ref", None)
        kind = fields.pop("type", None)
        if not isinstance(kind, str) or kind not in KINDS:
            raise errors.InvalidRequest.field("type", f"must be one of {', '.join(KINDS)}.")
        self.kind, rules = kind, KINDS[kind]
        self.body = wire.checked(rules, fields) if rules else {}

    @property
    def legible_ref(self) -> Any:
        """Its `ref`, also where it was refused as a whole but is small, and can be sent back."""
        if self.ref is not None or len(self._text) > LARGE:
            return self.ref
        try:
            ref = json.loads(self._text)["ref"]
            orjson.dumps(ref)
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return ref
