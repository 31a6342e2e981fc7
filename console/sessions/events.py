"""A session's log as it is, for whoever debugs: each event with what it is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from console.sessions.blocks import CALLS, blocks_of
from sessions_app import eventlog


@dataclass(frozen=True, slots=True)
class Told:
    """An event; `about` tells it from its neighbours, in a few words."""

    id: int
    name: str
    about: str
    data: str


def read(session_id: UUID, after: int, last: int) -> list[Told]:
    """What follows a number, up to another one."""
    if last <= after:
        return []
    found = eventlog.read(session_id, after, last - after)
    return [
        Told(event.id, event.name, _about(event.data), event.data.decode("utf-8", "replace"))
        for event in found
        if event.id <= last
    ]


def _about(data: bytes) -> str:
    try:
        given = json.loads(data)
    except ValueError:
        return ""
    if not isinstance(given, dict):
        return ""
    return " ".join(str(word)[:60] for word in _words(given) if word)


def _words(given: dict[str, Any]) -> Iterator[Any]:
    message = given.get("message")
    if not isinstance(message, dict):
        yield from (given.get(name) for name in ("toolName", "status", "stopReason", "code"))
        return
    if message.get("type") != "stream_event":
        yield from (message.get("type"), message.get("subtype"))
        for block in blocks_of(message):
            yield block.get("name") if block.get("type") in CALLS else block.get("type")
        return
    event = message.get("event")
    if isinstance(event, dict):
        yield event.get("type")
        for name in ("delta", "content_block"):
            part = event.get(name)
            if isinstance(part, dict):
                yield from (part.get("type"), part.get("name"))
