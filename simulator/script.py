"""From a request to its reply: which directives apply now, and what they make of it.

The directives of one user message are a script. A request takes the part up to and including the
next ``tool`` or ``tools``; when the tool results come back, the next request takes the next part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator import contents
from simulator.conversation import Request, Turn, last_turn
from simulator.directives import MAIN, Directive, DirectiveError, parse
from simulator.errors import TYPE_OF_STATUS, ApiError, invalid
from simulator.fault_counters import FaultCounters
from simulator.plan import Content, Fault, Plan
from simulator.replies import default_reply, is_title_call
from simulator.tokens import CHARACTERS_PER_TOKEN

_FOR_EVER = 600.0
"""Seconds a stall or a silence lasts unless told otherwise: longer than any client waits."""

_DELTAS_AFTER_FAULT = 20
"""Deltas that a reply invented for a fault has after it."""


@dataclass(slots=True)
class _Draft:
    """A reply in the making."""

    streamed: bool
    contents: list[Content] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    stop_reason: str = ""
    stop_details: dict[str, Any] | None = None
    silence: float = 0.0


def plan_reply(request: Request, counters: FaultCounters) -> Plan:
    """The reply to ``request``; raises ``ApiError`` where the reply is a refusal."""
    turn = last_turn(request)
    try:
        directives = () if is_title_call(request) else parse(turn.prompt)
        parts = _parts(directives)
        part = parts[turn.steps] if turn.steps < len(parts) else []
        draft = _Draft(streamed=request.stream)
        for index, directive in enumerate(part):
            if _applies(directive, (request.user_id, turn, index), counters):
                obey, _ = DIRECTIVES[directive.name]
                obey(directive, draft)
    except DirectiveError as error:
        raise invalid(f"simulator: {error}") from error
    return _finished(draft, request, turn)


def _parts(directives: tuple[Directive, ...]) -> list[list[Directive]]:
    """The script cut after each tool call, repetitions written out."""
    parts: list[list[Directive]] = [[]]
    for directive in directives:
        _check_arguments(directive)
        parts[-1].append(directive)
        if directive.name in ("tool", "tools"):
            repeat = directive.count("repeat", 1, at_most=1000) if directive.name == "tool" else 1
            parts.extend([directive] for _ in range(repeat - 1))
            parts.append([])
    return parts


def _check_arguments(directive: Directive) -> None:
    if directive.name not in DIRECTIVES:
        raise DirectiveError(f"{directive.source}: there is no {directive.name!r}")
    _, known = DIRECTIVES[directive.name]
    for key, _ in directive.arguments:
        if known is not None and key not in known:
            raise DirectiveError(f"{directive.source}: {key!r} is not one of {known}")


def _applies(directive: Directive, place: tuple[str, Turn, int], counters: FaultCounters) -> bool:
    """Count down ``times``. Without an ``id`` a counter belongs to one place in a conversation."""
    if not directive.has("times"):
        return True
    user, turn, index = place
    key = directive.text("id") or (user, turn.first, turn.earlier, turn.steps, index)
    return counters.strikes((directive.source, key), directive.count("times", 1))


def _finished(draft: _Draft, request: Request, turn: Turn) -> Plan:
    spoken = [content for content in draft.contents if content.kind != "thinking"]
    if not spoken and draft.stop_reason != "refusal":
        if draft.faults:
            after = max(fault.after for fault in draft.faults)
            draft.contents.append(contents.counted(after + _DELTAS_AFTER_FAULT))
        else:
            draft.contents.append(default_reply(request, turn))
    kept, reason, sequence = _bounded(draft.contents, request)
    if any(content.kind == "tool_use" for content in kept):
        reason = reason or "tool_use"
    return Plan(
        contents=kept,
        stop_reason=draft.stop_reason or reason or "end_turn",
        stop_sequence=sequence,
        stop_details=draft.stop_details,
        silence=draft.silence,
        faults=tuple(sorted(draft.faults, key=lambda fault: fault.after)),
    )


def _bounded(
    drafted: list[Content], request: Request
) -> tuple[tuple[Content, ...], str, str | None]:
    """Apply the request's ``stop_sequences`` and ``max_tokens``: contents, reason, sequence."""
    room = request.max_tokens * CHARACTERS_PER_TOKEN
    before = 0
    for index, content in enumerate(drafted):
        if content.shaped:
            continue
        whole = "".join(content.pieces)
        stops = request.stop_sequences if content.kind == "text" else ()
        found = [(whole.find(stop), stop) for stop in stops if stop in whole]
        position, sequence = min(found, default=(len(whole), None))
        if room < before + position:
            return contents.shortened(drafted, room), "max_tokens", None
        if sequence is not None:
            kept = contents.shortened(drafted[: index + 1], before + position)
            return kept, "stop_sequence", sequence
        before += len(whole)
    return tuple(drafted), "", None


def _text(directive: Directive, draft: _Draft) -> None:
    words, delay = directive.text(MAIN), directive.seconds("delay", 0.0)
    draft.contents.append(contents.text(words, delay=delay))


def _thinking(directive: Directive, draft: _Draft) -> None:
    words = directive.text(MAIN, "The user wants the simulator to think, so it thinks.")
    draft.contents.append(contents.thinking(words, delay=directive.seconds("delay", 0.0)))


def _slow(directive: Directive, draft: _Draft) -> None:
    n, delay = directive.count("n", 50), directive.seconds("delay", 0.02)
    draft.contents.append(contents.counted(n, delay=delay))


def _burst(directive: Directive, draft: _Draft) -> None:
    draft.contents.append(contents.counted(directive.count("n", 1000)))


def _big(directive: Directive, draft: _Draft) -> None:
    size, chunk = directive.size("size", 1_000_000), directive.size("chunk", 1024)
    draft.contents.append(contents.filler(size, max(1, chunk)))


def _tool(directive: Directive, draft: _Draft) -> None:
    name = directive.text("name") or directive.text(MAIN)
    if not name:
        raise DirectiveError(f"{directive.source}: which tool? Give name=")
    draft.contents.append(contents.tool_use(name, directive.text("input", "{}")))


def _tools(directive: Directive, draft: _Draft) -> None:
    for name, tool_input in directive.arguments:
        if name == MAIN:
            raise DirectiveError(f"{directive.source}: each argument is NAME='{{JSON}}'")
        draft.contents.append(contents.tool_use(name, tool_input))


def _status(directive: Directive, draft: _Draft) -> None:
    code = directive.count("code" if directive.has("code") else MAIN, 500, at_most=599)
    if code < 400:
        raise DirectiveError(f"{directive.source}: code must be from 400 to 599")
    retry_after = directive.text("retry-after")
    raise ApiError(
        code,
        directive.text("message"),
        kind=directive.text("type"),
        headers={"retry-after": retry_after} if retry_after else None,
    )


def _midstream_error(directive: Directive, draft: _Draft) -> None:
    kind = directive.text("type", "overloaded_error")
    statuses = {name: status for status, name in TYPE_OF_STATUS.items()}
    error = ApiError(statuses.get(kind, 500), directive.text("message"), kind=kind)
    draft.faults.append(Fault("error", directive.count("after", 5), error=error))


def _cut(directive: Directive, draft: _Draft) -> None:
    draft.faults.append(Fault("cut", directive.count("after", 5)))


def _stall(directive: Directive, draft: _Draft) -> None:
    pings = directive.flag("pings", default=False)
    draft.faults.append(
        Fault(
            "stall",
            directive.count("after", 5),
            seconds=directive.seconds("for", _FOR_EVER),
            ping_every=max(0.001, directive.seconds("every", 1.0)) if pings else 0.0,
        )
    )


def _silence(directive: Directive, draft: _Draft) -> None:
    draft.silence += directive.seconds("for", _FOR_EVER)


def _max_tokens(directive: Directive, draft: _Draft) -> None:
    draft.stop_reason = "max_tokens"


def _refusal(directive: Directive, draft: _Draft) -> None:
    draft.stop_reason = "refusal"
    draft.stop_details = {
        "type": "refusal",
        "category": directive.text("category", "general_harms"),
        "explanation": "The simulator was told to refuse.",
    }


_COUNTED = ("times", "id")

DIRECTIVES: dict[str, tuple[Callable[[Directive, _Draft], None], tuple[str, ...] | None]] = {
    "text": (_text, (MAIN, "delay")),
    "thinking": (_thinking, (MAIN, "delay")),
    "slow": (_slow, ("n", "delay")),
    "burst": (_burst, ("n",)),
    "big": (_big, ("size", "chunk")),
    "tool": (_tool, (MAIN, "name", "input", "repeat")),
    "tools": (_tools, None),
    "status": (_status, (MAIN, "code", "retry-after", "type", "message", *_COUNTED)),
    "midstream-error": (_midstream_error, ("type", "message", "after", *_COUNTED)),
    "cut": (_cut, ("after", *_COUNTED)),
    "stall": (_stall, ("after", "pings", "every", "for", *_COUNTED)),
    "silence": (_silence, ("for", *_COUNTED)),
    "max_tokens": (_max_tokens, ()),
    "refusal": (_refusal, ("category",)),
}
"""Each directive: what obeys it, and the arguments it knows (None: any, they name tools)."""
