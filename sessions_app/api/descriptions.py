"""What the fields of requests mean, in plain words: by name, or by name within one request."""

from __future__ import annotations

FIELDS = {
    "engine": "What answers: plain conversation (`messages`) or the Claude Code agent "
    "(`claude-code`). Default: the server's `DEFAULT_ENGINE`.",
    "model": "A model id or alias. Default: the server's `DEFAULT_MODEL`.",
    "cwd": "`claude-code`: the working folder, inside a root that the key allows. Default: a "
    "private workspace of the session.",
    "permissionMode": "`claude-code`: what the agent may do without asking, within what the key "
    "allows.",
    "systemPrompt": "In place of the engine's own system prompt.",
    "appendSystemPrompt": "After the system prompt.",
    "maxTurns": "`claude-code`: agent turns for one message; default 10.",
    "allowedTools": "`claude-code`: tools that need no approval.",
    "disallowedTools": "`claude-code`: tools that are not there.",
    "maxBudgetUsd": "US dollars as a decimal string: past it, the session takes no more messages.",
    "metadata": "An object of at most 16 KiB of JSON, its numbers within 64 bits: kept, returned, "
    "filterable.",
    "title": "For people.",
    "resume": "Carry on an earlier conversation: a session id of ours, or a Claude session id of "
    "this key. Its history is copied into the new session.",
    "fork": "With `resume`: branch off instead of carrying on.",
    "atMessage": "The last message to take over; default: all.",
    "prompt": "A text, or a list of up to 1,000 Messages API content blocks (text, image, "
    "document).",
    "stream": "Answer with the reply's events as they come.",
    "background": "Answer at once with 202; the run goes on. Excludes `stream`.",
    "timeout": "Bound on the run in milliseconds, after which it is cancelled; 0 for none.",
    "onBusy": "When a run is in progress: refuse (409), wait its turn (at most 100 messages do so "
    "in one session, then 429), or cancel that run first.",
    "onDisconnect": "When you leave before the end: let the run go on, or cancel it.",
    "after": "Events after this number. 0 is everything.",
    "partial": "false leaves the deltas (`stream_event`) out.",
    "ticket": "A ticket instead of a key, for `EventSource`, which sends no headers.",
    "decision": "Yes or no.",
    "scope": "Of a yes: this call only, or calls like it for the rest of the session.",
    "updatedInput": "With a yes, for this call only: call the tool with this input instead.",
    "message": "With a no: what the agent is told.",
    "status": "Which ones.",
    "limit": "How many at most.",
    "offset": "How many to skip.",
    "cursor": "`nextCursor` of the page before.",
    "from": "ISO 8601; default: 30 days before `to`. Whole hours count.",
    "to": "ISO 8601; default: now.",
    "groupBy": "What the sums are by.",
    "CreateSession.timeout": "Idle lifetime in milliseconds, at most the server's.",
    "UpdateSession.timeout": "Idle lifetime in milliseconds, at most the server's.",
}


def of(request: str, field: str) -> str | None:
    """The description of a field of `CreateSession` and the like."""
    return FIELDS.get(f"{request}.{field}", FIELDS.get(field))
