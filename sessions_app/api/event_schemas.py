"""The events of a stream, as JSON Schema; `tests/docs` compares them with live streams."""

from __future__ import annotations

from sessions_app.api.answers import COMPLETION, RUN_ID, SESSION_ID
from sessions_app.api.json_schema import (
    Schema,
    anything,
    count,
    obj,
    one_of,
    or_null,
    ref,
    text,
    time,
    uuid,
)

_CLAUDE_MESSAGE = {
    **anything(
        "A message in Claude Code's shape. `stream_event` holds a raw event of the Messages API "
        "in `event` (the deltas); `assistant` and `user` hold `message: {role, content}`; "
        "`result` sums up the run; `system` tells of the agent. Further types and fields may "
        "come: skip what you don't know."
    ),
    "required": ["type"],
    "properties": {
        "type": text(
            "What it is.", examples=["stream_event", "assistant", "user", "system", "result"]
        )
    },
}

SCHEMAS: dict[str, Schema] = {
    "ClaudeMessage": _CLAUDE_MESSAGE,
    "ConnectedEvent": obj(
        "The first event of every stream, at once, before the engine has started. No id.",
        sessionId=SESSION_ID,
        runId=or_null(uuid("The run that is streamed; null: the session is followed.")),
        lastEventId=count("The events after this one follow."),
    ),
    "MessageEvent": obj(
        "A whole message, or a delta of one.",
        type={"const": "claude_code_message"},
        sessionId=SESSION_ID,
        runId=or_null(uuid("null: taken over from the session this one was forked from.")),
        sequence=count("The event's id."),
        timestamp=time("When it was said."),
        message=ref("ClaudeMessage"),
    ),
    "CompleteEvent": obj(
        "The last event of a run that was answered.",
        summary=text("The final text of the reply."),
        **COMPLETION,
    ),
    "ErrorEvent": {
        **obj(
            "The last event of a run that was not: the error envelope, and the run.",
            error=ref("RunError"),
            timestamp=time("When it failed."),
            requestId=text("Of the request that brought the message."),
            runId=RUN_ID,
        )
    },
    "GapEvent": obj(
        "These numbers can no longer be delivered: lost in a crash, or past retention.",
        **{"from": count("The first that is missing."), "to": count("The last.")},
    ),
}

EVENTS = {
    "connected": "ConnectedEvent",
    "message": "MessageEvent",
    "approval": "Approval",
    "complete": "CompleteEvent",
    "error": "ErrorEvent",
    "gap": "GapEvent",
}
LOGGED = {name: schema for name, schema in EVENTS.items() if name != "connected"}

SCHEMAS["LogEvent"] = obj(
    "An event as JSON.",
    id=count("Its number."),
    event=one_of("Its name.", *LOGGED),
    data={"anyOf": [ref(schema) for schema in LOGGED.values()]},
)
SCHEMAS["EventList"] = obj(
    "The log as JSON.",
    events={"type": "array", "description": "One page.", "items": ref("LogEvent")},
    lastEventId=count("Give it as `after` for what comes next."),
    hasMore={"type": "boolean", "description": "Whether there is more already."},
)


def _sent(name: str, schema: str) -> Schema:
    """An event as the lines of a stream say it; its data is JSON in a string."""
    number = {} if name == "connected" else {"id": text("Its number.", pattern=r"^\d+$")}
    content = {"contentMediaType": "application/json", "contentSchema": ref(schema)}
    fields = {
        **number,
        "event": {"const": name},
        "data": text("JSON.", **content),
    }
    return {
        "type": "object",
        "required": list(fields),
        "properties": {**fields, "retry": count("Milliseconds to wait before a reconnect.")},
    }


SCHEMAS["StreamEvent"] = {
    "description": "A server-sent event; what its data looks like depends on its name.",
    "oneOf": [_sent(name, schema) for name, schema in EVENTS.items()],
}
STREAM = ref("StreamEvent")
