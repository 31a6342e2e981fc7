"""Examples of the OpenAPI document: requests to send, and what a stream looks like."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

SESSION = "550e8400-e29b-41d4-a716-446655440000"
RUN = "9b2f8d5e-4c3a-4f6e-8b7d-1a2c3d4e5f60"
MESSAGE = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def sent(name: str, value: Any, description: str = "") -> OpenApiExample:
    """A request body."""
    return OpenApiExample(name, value, description=description, request_only=True)


CREATE_SESSION = [
    sent("Minimal", {}, "Everything has a default."),
    sent(
        "Full",
        {
            "engine": "messages",
            "model": "claude-sonnet-5-5",
            "systemPrompt": "You answer in one sentence.",
            "title": "Release notes",
            "metadata": {"project": "website"},
            "maxBudgetUsd": "2.50",
            "timeout": 1_800_000,
        },
    ),
    sent("Carry on an earlier conversation", {"resume": SESSION}),
]

UPDATE_SESSION = [
    sent("Rename", {"title": "Release notes, second draft"}),
    sent("Another model from the next message on", {"model": "claude-haiku-5-5"}),
]

FORK_SESSION = [
    sent("The whole history", {}),
    sent("Up to a message", {"atMessage": MESSAGE}),
]

SEND_MESSAGE = [
    sent("Minimal", {"prompt": "What is a monad?"}, "Waits, and answers with the whole reply."),
    sent("Streaming", {"prompt": "What is a monad?", "stream": True}),
    sent("In the background", {"prompt": "What is a monad?", "background": True}),
    sent(
        "Full",
        {
            "prompt": [
                {"type": "text", "text": "What is in this picture?"},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
            ],
            "stream": True,
            "timeout": 60_000,
            "onBusy": "enqueue",
            "onDisconnect": "cancel",
        },
    ),
]

STREAM_MESSAGE = [
    sent("Minimal", {"prompt": "What is a monad?"}),
    sent("Cancelled when you leave", {"prompt": "Write a novel.", "onDisconnect": "cancel"}),
]

DECIDE = [
    sent("Allow once", {"decision": "allow"}),
    sent("Allow for the session", {"decision": "allow", "scope": "session"}),
    sent("Allow with another input", {"decision": "allow", "updatedInput": {"command": "ls -l"}}),
    sent("Deny, and say why", {"decision": "deny", "message": "Not in production."}),
]

_IDS = f'"sessionId":"{SESSION}","runId":"{RUN}"'
_MESSAGE = '{"type":"claude_code_message",' + _IDS
_AT = '"timestamp":"2026-11-22T10:00:00.000Z"'
_USAGE = '{"inputTokens":12,"outputTokens":2,"cacheReadTokens":0,"cacheCreationTokens":0}'

TRANSCRIPT = f"""retry: 2000
event: connected
data: {{{_IDS},"lastEventId":0}}

id: 1
event: message
data: {_MESSAGE},"sequence":1,{_AT},"message":{{"type":"user","message":{{"role":"user",\
"content":[{{"type":"text","text":"Hello"}}]}}}}}}

id: 2
event: message
data: {_MESSAGE},"sequence":2,{_AT},"message":{{"type":"stream_event","event":\
{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"Hi there"}}}}}}}}

: keepalive

id: 3
event: complete
data: {{"summary":"Hi there",{_IDS},"messageId":"{MESSAGE}","claudeSessionId":"{SESSION}",\
"stopReason":"end_turn","usage":{_USAGE},"costUsd":"0.000066","durationMs":840}}

"""

STREAM = OpenApiExample(
    "A stream",
    TRANSCRIPT,
    description="Shortened: a real one has more messages.",
    media_type="text/event-stream",
    response_only=True,
)
