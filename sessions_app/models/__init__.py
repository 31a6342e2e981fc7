"""Sessions, runs, messages, the event log's rows, approvals, and what goes with them."""

from sessions_app.models.approvals import (
    Approval,
    ApprovalStatus,
)
from sessions_app.models.conversations import (
    LIVE,
    UNFINISHED,
    Run,
    RunQuerySet,
    RunStatus,
    Session,
    SessionQuerySet,
    SessionStatus,
)
from sessions_app.models.log import (
    EventChunk,
    Message,
    Transcript,
    TranscriptEntry,
)
from sessions_app.models.requests import (
    IdempotencyRecord,
    Ticket,
)
from sessions_app.models.server import (
    RunStat,
    ServerProcess,
    ServiceState,
    ServiceSwitch,
)

__all__ = [
    "LIVE",
    "UNFINISHED",
    "Approval",
    "ApprovalStatus",
    "EventChunk",
    "IdempotencyRecord",
    "Message",
    "Run",
    "RunQuerySet",
    "RunStat",
    "RunStatus",
    "ServerProcess",
    "ServiceState",
    "ServiceSwitch",
    "Session",
    "SessionQuerySet",
    "SessionStatus",
    "Ticket",
    "Transcript",
    "TranscriptEntry",
]
