"""The payloads of the event log, as the wire contract spells them. Pure.

What most events share is encoded once a run; a delta then costs a concatenation.
"""

from __future__ import annotations

from datetime import UTC, datetime
from time import time_ns
from typing import Any
from uuid import UUID

import orjson

from claudeapi.core.errors import timestamp
from keys_app.budgets import money
from sessions_app.hub import Event
from sessions_app.models import Approval, Message, Run


def usage(row: Any) -> dict[str, int]:
    """The token sums of a run, a session or an aggregate."""
    return {
        "inputTokens": row.input_tokens,
        "outputTokens": row.output_tokens,
        "cacheReadTokens": row.cache_read_tokens,
        "cacheCreationTokens": row.cache_creation_tokens,
    }


def user_message(content: list[dict[str, Any]], claude_session_id: str) -> dict[str, Any]:
    """The user's own message, in the shape Claude Code gives to messages."""
    return {
        "type": "user",
        "message": {"role": "user", "content": content},
        "parent_tool_use_id": None,
        "session_id": claude_session_id,
    }


def approval(row: Approval) -> dict[str, Any]:
    """An approval as the API shows it; the `approval` event adds `runId` by being of a run."""
    return {
        "approvalId": str(row.id),
        "sessionId": str(row.session_id),
        "runId": str(row.run_id),
        "toolName": row.tool_name,
        "toolUseId": row.tool_use_id or None,
        "input": row.input,
        "reason": row.reason,
        "suggestions": row.suggestions,
        "status": row.status,
        "scope": row.scope or None,
        "updatedInput": row.updated_input,
        "message": row.message or None,
        "decidedBy": row.decided_by or None,
        "createdAt": timestamp(row.created_at),
        "expiresAt": timestamp(row.expires_at),
        "decidedAt": timestamp(row.decided_at) if row.decided_at else None,
    }


def completion(run: Run, claude_session_id: str) -> dict[str, Any]:
    """What a completed run answers, in the `complete` event and in a waiting POST alike."""
    return {
        "sessionId": str(run.session_id),
        "runId": str(run.id),
        "messageId": str(run.message_id),
        "claudeSessionId": claude_session_id or None,
        "stopReason": run.stop_reason or None,
        "usage": usage(run),
        "costUsd": money(run.cost_usd),
        "durationMs": run.duration_ms,
    }


class _Clock:
    """The time as the wire shows it. Only its milliseconds are formatted for every event."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """The same text as `timestamp()`."""
        second, rest = divmod(time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._text = timestamp(datetime.fromtimestamp(second, UTC)).encode()[:-4]
        return b"%b%03dZ" % (self._text, rest // 1_000_000)


_clock = _Clock()


class Encoder:
    """Makes the events of one run."""

    def __init__(self, session_id: UUID, run_id: UUID, claude_session_id: str) -> None:
        self.run = run_id.hex
        self._run_id = str(run_id)
        self._head = orjson.dumps(
            {"type": "claude_code_message", "sessionId": str(session_id), "runId": self._run_id}
        )[:-1]
        self._delta_head = b'","message":{"type":"stream_event","event":'
        self._delta_tail = (
            b',"parent_tool_use_id":null,"session_id":' + orjson.dumps(claude_session_id) + b"}}"
        )

    def _start(self, number: int) -> bytes:
        return b'%b,"sequence":%d,"timestamp":"%b' % (self._head, number, _clock.now())

    def delta(self, number: int, raw: bytes) -> Event:
        """A `message` event around one raw event of the Messages API."""
        data = b"%b%b%b%b" % (self._start(number), self._delta_head, raw, self._delta_tail)
        return Event(number, "message", self.run, True, data)

    def message(self, number: int, body: dict[str, Any]) -> Event:
        """A `message` event around a whole Claude message."""
        data = b'%b","message":%b}' % (self._start(number), orjson.dumps(body))
        return Event(number, "message", self.run, False, data)

    def approval(self, number: int, row: Approval) -> Event:
        """An `approval` event: pending, or with its outcome."""
        return Event(number, "approval", self.run, False, orjson.dumps(approval(row)))

    def complete(self, number: int, run: Run, claude_session_id: str) -> Event:
        """The last event of a run that was answered."""
        data = {"summary": run.response, **completion(run, claude_session_id)}
        return Event(number, "complete", self.run, False, orjson.dumps(data))

    def error(self, number: int, run: Run) -> Event:
        """The last event of a run that was not."""
        data = {
            "error": run.error,
            "timestamp": timestamp(),
            "requestId": run.request_id,
            "runId": self._run_id,
        }
        return Event(number, "error", self.run, False, orjson.dumps(data))


def copied(session_id: UUID, number: int, row: Message) -> Event:
    """A `message` event around a message taken over from another session."""
    data = {
        "type": "claude_code_message",
        "sessionId": str(session_id),
        "runId": None,
        "sequence": number,
        "timestamp": timestamp(row.created_at),
        "message": row.content,
    }
    return Event(number, "message", "", False, orjson.dumps(data))
