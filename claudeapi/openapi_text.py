"""The words of the OpenAPI document that belong to no operation."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

DESCRIPTION = """\
Claude sessions over REST, server-sent events and WebSocket.

1. **Create a session**: `POST /api/v1/sessions` with `{}`.
2. **Send a message**: `POST /api/v1/sessions/{sessionId}/messages` with `{"prompt": "Hello"}`.
   Add `"stream": true` for a stream.

**Keys.** Every request carries one, as `x-api-key: KEY` or `Authorization: Bearer KEY`; in Swagger
UI press *Authorize* first. What belongs to another key does not exist for yours: 404.

**Streams** are shown in Swagger UI once they have ended; `curl -N` shows them as they come.

**Errors** have one shape everywhere: `{"error": {"code", "message", "details"}, "timestamp",
"requestId"}`. Programs read `code`; the answers below say which there are.

**Conventions.** JSON in camelCase, times in ISO 8601 with milliseconds and `Z`, durations in
milliseconds, money in US dollars as decimal strings. Unknown fields and query parameters are
refused (400), so that a typing error does not go unnoticed. A trailing slash is accepted.
"""

STREAMING = """\
One log of events a session, numbered from 1. The same events, numbers and payloads go out over
server-sent events, over WebSocket and as JSON; what one client saw, another can read later.

Every stream begins with `connected`; then come `message` and `approval` events, and a run ends
with `complete` or `error`. `gap` tells of numbers that can no longer be delivered. After a lost
connection, `Last-Event-ID` (or `after`) goes on exactly where it broke off. A comment line
`: keepalive` comes after 15 seconds of silence.

**WebSocket** (OpenAPI cannot describe it): `/ws/v1/sessions/{sessionId}?after=N`, with the key in
the headers, or, in a browser, with the subprotocols `claudeapi.v1` and a ticket. The server sends
`{"event", "id", "data"}`, as in a stream. You send, each with an optional `ref` that the answer
repeats:

| frame | answer |
|---|---|
| `{"type": "message", "prompt": "…"}` | `ack` with `{messageId, runId, sessionId, status}` |
| `{"type": "cancel"}` | `ack` with `{runId, status}` |
| `{"type": "approval", "approvalId": "…", "decision": "allow"}` | `ack` with the approval |
| `{"type": "ping"}` | `pong` |

`message` also takes `timeout`, `onBusy` and `onDisconnect`, `approval` all that the route takes. A
bad frame gets an `error` frame and the socket stays open. Close codes: 1000 the session has
ended, 1012 the server restarts (reconnect with `after`), 4400 bad request, 4401 no valid key (also
when it is revoked meanwhile), 4403 not allowed, 4404 no such session, 4408 idle, 4429 too many
requests.
"""

ORDER = (
    "/api/v1/sessions",
    "/api/v1/sessions/{sessionId}",
    "/api/v1/sessions/{sessionId}/fork",
    "/api/v1/sessions/{sessionId}/messages",
    "/api/v1/sessions/{sessionId}/cancel",
    "/api/v1/sessions/{sessionId}/runs",
    "/api/v1/sessions/{sessionId}/runs/{runId}",
    "/api/v1/sessions/{sessionId}/stream",
    "/api/v1/sessions/{sessionId}/events",
    "/api/v1/sessions/{sessionId}/tickets",
    "/api/v1/sessions/{sessionId}/approvals",
    "/api/v1/sessions/{sessionId}/approvals/{approvalId}",
    "/api/v1/models",
    "/api/v1/me",
    "/api/v1/usage",
    "/api/v1/health",
)
"""How a newcomer reads: what is not here comes last."""

TAGS = [
    {
        "name": "Sessions",
        "description": "A session is a conversation that the server remembers. Begin here.",
    },
    {
        "name": "Messages and runs",
        "description": "Say something. Each message is answered by a run, one at a time, which "
        "goes on also when you leave.",
    },
    {"name": "Streaming", "description": STREAMING},
    {
        "name": "Approvals",
        "description": "Tool calls of an agent that ask for a yes before they happen.",
    },
    {"name": "Your key", "description": "What it may do, what it has used, which models it has."},
    {"name": "The server", "description": "For operators and probes. These need no key."},
]

REQUEST_ID_PARAMETER: Schema = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Your own id for this request: 1 to 128 of `A-Z a-z 0-9 . _ -`; else the server "
    "makes one. It comes back in the answer, in an error, and is in every log line.",
    "schema": {"type": "string"},
}

TICKET: Schema = {
    "type": "apiKey",
    "in": "query",
    "name": "ticket",
    "description": "From `POST …/tickets`: good once, for a minute, for one session.",
}

HEADERS: Schema = {
    "X-Request-ID": {
        "description": "This request's id: yours, or one the server made.",
        "schema": {"type": "string"},
    },
    "X-RateLimit-Limit": {
        "description": "Requests allowed in a window.",
        "schema": {"type": "integer"},
    },
    "X-RateLimit-Remaining": {
        "description": "Requests left in this window.",
        "schema": {"type": "integer"},
    },
    "X-RateLimit-Reset": {
        "description": "When this window ends, in Unix seconds.",
        "schema": {"type": "integer"},
    },
    "Retry-After": {
        "description": "Seconds after which another try makes sense.",
        "schema": {"type": "integer"},
    },
    "Idempotency-Replayed": {
        "description": "`true`: this is the first answer to this Idempotency-Key, given again.",
        "schema": {"type": "string", "const": "true"},
    },
}


def _probe(identity: str, summary: str, description: str, responses: Schema) -> Schema:
    return {
        "get": {
            "operationId": identity,
            "tags": ["The server"],
            "summary": summary,
            "description": description,
            "security": [{}],
            "responses": responses,
        }
    }


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_CHECKS = {"$ref": "#/components/schemas/Checks"}

PROBES: Schema = {
    "/livez": _probe(
        "getLiveness",
        "Does the process answer?",
        "If not, restart it. Whether it can work is `/readyz`.",
        {
            "200": _json(
                "It answers.",
                {
                    "type": "object",
                    "required": ["status"],
                    "properties": {"status": {"const": "ok"}},
                },
            )
        },
    ),
    "/readyz": _probe(
        "getReadiness",
        "Can it take new work?",
        "Check by check. 503 while it starts or drains, and while something it needs is missing.",
        {"200": _json("Yes.", _CHECKS), "503": _json("No.", _CHECKS)},
    ),
    "/metrics": _probe(
        "getMetrics",
        "Metrics for Prometheus",
        "Everything counted, in Prometheus's text format.",
        {
            "200": {
                "description": "Metrics.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    ),
}
