"""What the API answers about sessions, as JSON Schema: components of the OpenAPI document.

Written by hand beside `representations.py` and `payloads.py`, since what goes over the wire is
made by functions, not by serializers; `tests/docs` compares every one with a live server.
"""

from __future__ import annotations

from keys_app.validators import PERMISSION_MODES
from sessions_app.api.json_schema import (
    Schema,
    anything,
    array,
    count,
    obj,
    one_of,
    or_null,
    ref,
    text,
    time,
    usd,
    uuid,
    value,
)

SESSION_ID = uuid("The session.")
RUN_ID = uuid("The run: one message being answered.")
MESSAGE_ID = uuid("The user's message.")
CLAUDE_SESSION_ID = or_null(text("The conversation's id at Claude Code."))
STOP_REASON = or_null(
    text("Why the reply ended; `max_tokens` and `refusal` are no errors.", examples=["end_turn"])
)
CURSOR = or_null(text("Give it as `cursor` for the next page; null: this was the last."))
RUN_STATUS = one_of(
    "`waiting` is for an approval.",
    "queued", "running", "waiting", "completed", "failed", "cancelled",
)  # fmt: skip

SUMS = {
    "inputTokens": count("Tokens sent, beyond those from the prompt cache."),
    "outputTokens": count("Tokens answered."),
    "cacheReadTokens": count("Tokens read from the prompt cache, at a tenth of the price."),
    "cacheCreationTokens": count("Tokens written to the prompt cache."),
}

SUMMARY = {
    "sessionId": SESSION_ID,
    "engine": one_of("What answers.", "claude-code", "messages"),
    "model": text("A model id or alias."),
    "status": one_of(
        "`ended` by its owner or an operator, `expired` by being idle.",
        "active", "ended", "expired",
    ),
    "createdAt": time("When it was made."),
    "expiresAt": time("When it expires if nothing happens; every message extends it."),
    "lastActivity": time("When something last happened."),
    "messageCount": count("Entries of its history."),
    "title": text("For people; may be empty."),
    "metadata": anything("Yours: kept, returned, filterable."),
    "costUsd": usd("What it has cost so far."),
}  # fmt: skip

COMPLETION = {
    "sessionId": SESSION_ID,
    "runId": RUN_ID,
    "messageId": MESSAGE_ID,
    "claudeSessionId": CLAUDE_SESSION_ID,
    "stopReason": STOP_REASON,
    "usage": ref("Usage"),
    "costUsd": usd("What this run cost."),
    "durationMs": count("From its start to its end, milliseconds."),
}

APPROVAL = {
    "approvalId": uuid("The approval."),
    "sessionId": SESSION_ID,
    "runId": RUN_ID,
    "toolName": text("The tool that asks.", examples=["Bash"]),
    "toolUseId": or_null(text("The tool call's id in the conversation.")),
    "input": anything("What the tool would be called with."),
    "reason": text("Why it asks; may be empty."),
    "suggestions": array(
        "What `scope: session` grants; empty where a call can be allowed only once.",
        anything("`addRules`, `setMode` or `addDirectories`."),
    ),
    "status": one_of(
        "`expired`: nobody answered, so it was denied; `cancelled`: its run ended first.",
        "pending", "allowed", "denied", "expired", "cancelled",
    ),
    "scope": or_null(text("Of a yes: `once` or `session`.")),
    "updatedInput": or_null(anything("The input that replaced the one asked about.")),
    "message": or_null(text("What the agent was told with a no.")),
    "decidedBy": or_null(text("The key's prefix, or the operator's name.")),
    "createdAt": time("When it asked."),
    "expiresAt": time("When no answer becomes a no."),
    "decidedAt": or_null(time("When it was answered.")),
}  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "Usage": obj("Tokens, of a run or of all runs of a session.", **SUMS),
    "SessionSummary": obj("A session in a list.", **SUMMARY),
    "Session": obj(
        "A session with all there is to know.",
        **SUMMARY,
        claudeSessionId=CLAUDE_SESSION_ID,
        activeRun=or_null(obj("What is in progress.", runId=RUN_ID, status=RUN_STATUS)),
        pendingApprovals=count("Tool calls that wait for an answer."),
        usage=ref("Usage"),
        maxBudgetUsd=or_null(usd("Past it, the session takes no more messages.")),
        timeout=count("Idle lifetime, milliseconds."),
        config={
            **obj(
                "What it was created with; further fields where they were given.",
                cwd=or_null(text("Working folder of `claude-code`.")),
                permissionMode=one_of("Of `claude-code`.", *PERMISSION_MODES),
                maxTurns=count("Agent turns for one message."),
                systemPrompt=or_null(text("In place of the engine's own.")),
                appendSystemPrompt=or_null(text("After the system prompt.")),
            ),
            "additionalProperties": True,
        },
        forkedFrom=or_null(uuid("The session whose history it began with.")),
        lastEventId=count("The number of its newest event."),
    ),
    "SessionList": obj(
        "Newest activity first.",
        sessions=array("One page.", ref("SessionSummary")),
        total=count("Sessions on all pages."),
        nextCursor=CURSOR,
    ),
    "Ticket": obj(
        "A single-use pass.",
        ticket=text("Good once, for this session's stream or WebSocket."),
        expiresAt=time("A minute from now."),
    ),
    "Cancelled": obj(
        "What is being stopped.",
        runId=or_null(RUN_ID),
        status=one_of("`idle`: nothing ran.", *RUN_STATUS["enum"], "idle"),
    ),
    "Reply": obj(
        "The whole reply.", **COMPLETION, response=text("The final text of the reply.")
    ),
    "Accepted": obj(
        "The message is being answered.",
        messageId=MESSAGE_ID, runId=RUN_ID, sessionId=SESSION_ID, status=RUN_STATUS,
    ),
    "Message": obj(
        "An entry of the history.",
        id=uuid("The entry; the user's own has the `messageId` of its run."),
        runId=or_null(uuid("null: taken over from the session this one was forked from.")),
        type=text("Of the Claude message.", examples=["user", "assistant", "system", "result"]),
        subtype=or_null(text("Of the Claude message.", examples=["success"])),
        content=ref("ClaudeMessage"),
        sequence=count("The number of its event."),
        timestamp=time("When it was said."),
        source=one_of("`user`, or `sdk` for all that the engine said.", "user", "sdk"),
    ),
    "MessageList": obj(
        "The history, in order; deltas are not in it.",
        sessionId=SESSION_ID,
        messages=array("One page.", ref("Message")),
        pagination=obj(
            "Which page this is.",
            limit=count("As asked for."),
            offset=count("As asked for."),
            total=count("Messages on all pages."),
            hasMore=value("boolean", "Whether more come after these messages."),
        ),
    ),
    "RunError": obj(
        "Why a run was not completed.",
        code=text("One of the error codes.", examples=["RUN_CANCELLED"]),
        message=text("For people."),
        details=anything("For programs."),
    ),
    "Run": obj(
        "One message being answered.",
        runId=RUN_ID,
        sessionId=SESSION_ID,
        messageId=MESSAGE_ID,
        status=RUN_STATUS,
        createdAt=time("When the message was accepted."),
        startedAt=or_null(time("When the engine began.")),
        finishedAt=or_null(time("When it ended.")),
        stopReason=STOP_REASON,
        error=or_null(ref("RunError")),
        model=or_null(text("The model that answered.")),
        usage=ref("Usage"),
        costUsd=usd("What it cost."),
        durationMs=or_null(count("From its start to its end, milliseconds.")),
        requestId=or_null(text("Of the request that brought the message.")),
    ),
    "RunList": obj(
        "Newest first.", runs=array("One page.", ref("Run")), nextCursor=CURSOR
    ),
    "Approval": obj("A tool call that asked, and who answered.", **APPROVAL),
    "ApprovalList": {
        **obj(
            "Oldest first.", approvals=array("All of them, or one page.", ref("Approval")),
            nextCursor=text("Only where there are more: give it as `cursor` for the next page."),
        ),
        "required": ["approvals"],
    },
}  # fmt: skip
