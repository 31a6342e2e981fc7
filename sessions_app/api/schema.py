"""The OpenAPI document of every operation: a decorator each, for the views to wear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from sessions_app.api import event_schemas, examples
from sessions_app.api import serializers as wire
from sessions_app.api.json_schema import Schema, ref
from sessions_app.api.schema_fields import UUID, StreamMessage

SESSIONS, MESSAGES, STREAMING = "Sessions", "Messages and runs", "Streaming"
APPROVALS, ACCOUNT, SERVER = "Approvals", "Your key", "The server"

SSE = "text/event-stream"
RUN_ERRORS = (402, 408, 409, 410, 502, 504)

View = TypeVar("View", bound=Callable[..., Any])


class Operation(Protocol):
    """A decorator that leaves the type of a view as it is."""

    def __call__(self, view: View, /) -> View:
        """The same view, documented."""
        ...


def _path(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, UUID, OpenApiParameter.PATH, description=description)


def _header(name: str, schema: Schema, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=description)


SESSION_ID = _path("session_id", "The session.")
RUN_ID = _path("run_id", "The run.")
APPROVAL_ID = _path("approval_id", "The approval.")
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "Makes a repetition safe: the same key and body within 24 hours gives the first answer again, "
    "with `Idempotency-Replayed: true`, and does nothing twice.",
)
LAST_EVENT_ID = _header(
    "Last-Event-ID",
    {"type": "string", "pattern": r"^\d{0,18}$"},
    "The number of the last event you saw: the stream goes on after it. Browsers send it. "
    "Empty is as if it were not there.",
)
METADATA = OpenApiParameter(
    "metadata",
    {
        "type": "object",
        "propertyNames": {"pattern": r"^metadata\..+"},
        "maxProperties": 20,
        "additionalProperties": {"type": "string"},
    },
    style="form",
    explode=True,
    description="Only sessions whose metadata has this value: `metadata.project=website`. Several "
    "must all hold.",
)
LOCATION = OpenApiParameter(
    "Location", {"type": "string"}, OpenApiParameter.HEADER, response=["201", "202"],
    description="Where what was made can be read.",
)  # fmt: skip


def _operation(
    identity: str,
    tag: str,
    summary: str,
    description: str,
    *parameters: Any,
    answers: dict[Any, Any],
    request: Any = None,
    sends: Any = (),
    errors: tuple[int, ...] = (),
    auth: Any = None,
) -> Operation:
    decorator: Operation = extend_schema(
        operation_id=identity,
        tags=[tag],
        summary=summary,
        description=description,
        parameters=list(parameters),
        request=request,
        responses=answers,
        examples=list(sends),
        extensions={"x-errors": errors} if errors else None,
        auth=auth,
    )
    return decorator


def _answer(name: str, description: str) -> OpenApiResponse:
    return OpenApiResponse(ref(name), description)


def _stream(description: str) -> OpenApiResponse:
    return OpenApiResponse(event_schemas.STREAM, description, [examples.STREAM])


list_sessions = _operation(
    "listSessions", SESSIONS, "List sessions",
    "Your key's sessions, newest activity first; the active ones unless you say otherwise.",
    wire.ListSessions, METADATA,
    answers={200: _answer("SessionList", "One page.")},
)  # fmt: skip

create_session = _operation(
    "createSession", SESSIONS, "Create a session",
    "A session is a conversation that the server remembers. Every field is optional.",
    IDEMPOTENCY_KEY, LOCATION,
    request=wire.CreateSession, sends=examples.CREATE_SESSION,
    answers={201: _answer("Session", "The new session.")}, errors=(404,),
)  # fmt: skip

get_session = _operation(
    "getSession", SESSIONS, "Look at a session",
    "Everything there is to know about one session.",
    SESSION_ID,
    answers={200: _answer("Session", "The session.")},
)  # fmt: skip

update_session = _operation(
    "updateSession", SESSIONS, "Change a session",
    "Only the fields you send change. `model` and `permissionMode` hold for an agent's run in "
    "progress too, but for `bypassPermissions`, and `plan` where there are `allowedTools`: like "
    "everything of plain conversation (`messages`), they hold from the next message on.",
    SESSION_ID,
    request=wire.UpdateSession, sends=examples.UPDATE_SESSION,
    answers={200: _answer("Session", "The session as it is now.")}, errors=(409, 410),
)  # fmt: skip

delete_session = _operation(
    "endSession", SESSIONS, "End a session",
    "Cancels a run in progress and frees what the session holds. Its history stays readable until "
    "retention removes it. Ending it twice is no error.",
    SESSION_ID,
    answers={204: OpenApiResponse(None, "It has ended.")},
)  # fmt: skip

fork_session = _operation(
    "forkSession", SESSIONS, "Branch off",
    "Makes a new session with the same history, or with its beginning.",
    SESSION_ID, IDEMPOTENCY_KEY, LOCATION,
    request={"application/json": wire.ForkSession}, sends=examples.FORK_SESSION,
    answers={201: _answer("Session", "The new session.")},
)  # fmt: skip

cancel_run = _operation(
    "cancelRun", MESSAGES, "Stop what runs",
    "Stops the session's run, and those that wait behind it, from any connection. Answers the "
    "same way when nothing runs: `{runId: null, status: \"idle\"}`.",
    SESSION_ID, IDEMPOTENCY_KEY,
    answers={202: _answer("Cancelled", "What is being stopped.")},
)  # fmt: skip

create_ticket = _operation(
    "createTicket", STREAMING, "Get a ticket for a browser",
    "A single-use pass, good for a minute and for this session only: as `?ticket=` on "
    "`GET …/stream`, or as a second WebSocket subprotocol beside `claudeapi.v1`.",
    SESSION_ID, IDEMPOTENCY_KEY,
    answers={201: _answer("Ticket", "The ticket.")},
)  # fmt: skip

list_events = _operation(
    "listEvents", STREAMING, "Read the log as JSON",
    "The same events, numbers and payloads as in the streams, page by page.",
    SESSION_ID, wire.ListEvents,
    answers={200: _answer("EventList", "One page.")},
)  # fmt: skip

list_messages = _operation(
    "listMessages", MESSAGES, "Read the history",
    "Whole messages in order, yours and the engine's; the deltas of a stream are not among them. "
    "A page of many large ones (over 16 MiB) ends before its `limit`, with `hasMore`.",
    SESSION_ID, wire.ListMessages,
    answers={200: _answer("MessageList", "One page.")},
)  # fmt: skip

send_message = _operation(
    "sendMessage", MESSAGES, "Send a message",
    "Waits for the whole reply; with `stream` it comes as server-sent events, with `background` "
    "the answer is 202 and the run goes on by itself. What is refused before the run starts has "
    "its own status, also where a stream was asked for; what fails later is an `error` event in "
    "a stream, and the status of a waiting request.",
    SESSION_ID, wire.SendQuery, IDEMPOTENCY_KEY, LOCATION,
    request=wire.SendMessage, sends=examples.SEND_MESSAGE,
    answers={
        (200, "application/json"): _answer("Reply", "The reply, whole or as events."),
        (200, SSE): _stream(""),
        202: _answer("Accepted", "With `background`: the message is being answered."),
    },
    errors=RUN_ERRORS,
)  # fmt: skip

stream_message = _operation(
    "streamMessage", STREAMING, "Send a message and stream the reply",
    "As `sendMessage` with `stream: true`. The stream ends after its `complete` or `error`.",
    SESSION_ID, wire.SendQuery, IDEMPOTENCY_KEY,
    request=StreamMessage, sends=examples.STREAM_MESSAGE,
    answers={(200, SSE): _stream("The events of this run.")},
    errors=RUN_ERRORS,
)  # fmt: skip

follow_session = _operation(
    "followSession", STREAMING, "Follow a session",
    "First the events after `Last-Event-ID` (or `after`), then live, until you leave or the "
    "session ends; without a cursor, from now on. With `prompt` it sends that message and streams "
    "its reply (this needs `sessions:write`); with `prompt` and `Last-Event-ID` nothing is sent "
    "again: the stream resumes. A browser's `EventSource` needs a ticket for each connection.",
    SESSION_ID, wire.StreamQuery, LAST_EVENT_ID,
    answers={
        (200, SSE): _stream("The events."),
        204: OpenApiResponse(
            None, "Nothing is left to come; it tells an `EventSource` not to reconnect."
        ),
    },
    errors=RUN_ERRORS,
    auth=[{"ApiKey": []}, {"Bearer": []}, {"Ticket": []}],
)  # fmt: skip

list_runs = _operation(
    "listRuns", MESSAGES, "List runs",
    "A run is one message being answered. Newest first.",
    SESSION_ID, wire.ListRuns,
    answers={200: _answer("RunList", "One page.")},
)  # fmt: skip

get_run = _operation(
    "getRun", MESSAGES, "Look at a run",
    "How far it is, and how it ended: what to poll after a message in the background.",
    SESSION_ID, RUN_ID,
    answers={200: _answer("Run", "The run.")},
)  # fmt: skip

list_approvals = _operation(
    "listApprovals", APPROVALS, "List approvals",
    "Tool calls of this session that ask for a yes. All of them at once, unless there are very "
    "many or very large ones: then in pages.",
    SESSION_ID, wire.ListApprovals,
    answers={200: _answer("ApprovalList", "All of them, or one page.")},
)  # fmt: skip

decide_approval = _operation(
    "decideApproval", APPROVALS, "Allow or deny",
    "The first answer counts; a second one is 409, one that comes too late 410. No answer within "
    "the server's `APPROVAL_TIMEOUT` denies. Needs `approvals:write`.",
    SESSION_ID, APPROVAL_ID, IDEMPOTENCY_KEY,
    request=wire.Decide, sends=examples.DECIDE,
    answers={200: _answer("Approval", "The approval with its outcome.")}, errors=(410,),
)  # fmt: skip

list_models = _operation(
    "listModels", ACCOUNT, "List models",
    "What the upstream has, within what your key allows; at most five minutes old.",
    answers={200: _answer("ModelList", "The models.")}, errors=(502, 504),
)  # fmt: skip

get_me = _operation(
    "getMe", ACCOUNT, "Look at your key",
    "Its name, scopes, policy and limits, and what is left of them.",
    answers={200: _answer("Me", "Your key.")},
)  # fmt: skip

get_usage = _operation(
    "getUsage", ACCOUNT, "Read usage and cost",
    "Sums of tokens and cost by day, model, session or key. Needs `usage:read`.",
    wire.UsageQuery,
    answers={200: _answer("UsageReport", "The sums.")},
)  # fmt: skip

get_health = _operation(
    "getHealth", SERVER, "Ask for the server's health",
    "State, version, and how much is going on. Needs no key.",
    answers={200: _answer("Health", "How it is.")}, auth=[],
)  # fmt: skip
