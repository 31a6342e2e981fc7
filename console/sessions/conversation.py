"""A session's messages as a person reads them: who said what, and what became of each tool call.

Pure: from rows to frozen objects that the templates spell out.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from console.reading import markdown
from console.reading.diffs import Diff, of_call
from console.reading.room import Room
from console.reading.text import SHOWN_CHARACTERS, bounded, code, headline, line, pretty, prose
from console.sessions.blocks import CALLS, blocks_of, output_of, results_of, source_of
from sessions_app.models import Approval, Message, Run

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
_QUIET_NOTES = frozenset({"init", "status"})


@dataclass(frozen=True, slots=True)
class Folded:
    """A long text, shown up to a bound."""

    text: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message: `kind` says how it is shown.

    Attributes:
        kind: `markdown` (its text is safe HTML), `plain`, `thinking`, `note`, `tool`, `json`.
    """

    kind: str
    text: Any = ""
    tool: ToolCall | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as it ran, and its outcome: `done`, `error`, `open`, `not shown` or `no result`.

    Attributes:
        asked: the agent's own input, where it was allowed with another.
    """

    id: str
    name: str
    headline: str
    given: Folded
    outcome: str
    output: Folded
    diffs: Sequence[Diff] = ()
    approval: Approval | None = None
    asked: Folded | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One message: `who` is `user`, `assistant` or `system`."""

    sequence: int
    who: str
    at: datetime
    parts: Sequence[Part]
    message_id: UUID
    is_subagent: bool = False


@dataclass(slots=True)
class Turn:
    """A run and its messages; `run` is None for what a fork took over."""

    run: Run | None
    entries: list[Entry] = field(default_factory=list)
    prompt: Sequence[Part] = ()
    waiting: Sequence[Approval] = ()

    @property
    def last(self) -> int:
        """The number of its newest message."""
        return self.entries[-1].sequence if self.entries else 0


def turns(
    messages: Sequence[Message],
    runs: Iterable[Run],
    approvals: Iterable[Approval] = (),
    later: Iterable[Message] = (),
) -> list[Turn]:
    """The messages in order, in their runs, the oldest first; some runs have no messages.

    Args:
        later: messages behind these, not shown, that may hold results of calls in these.
    """
    by_call = {row.tool_use_id: row for row in approvals if row.tool_use_id}
    known = {run.id: run for run in runs}
    unfinished = {run.id for run in known.values() if not run.finished}
    read = [*messages, *later]
    reader = _Reader(results_of(read), _last_left_out(read), by_call, unfinished)
    found: dict[UUID | None, Turn] = {}
    for message in messages:
        if message.run_id not in found:
            run = known.pop(message.run_id) if message.run_id in known else None
            found[message.run_id] = Turn(run)
        if (entry := reader.entry(message)) is not None:
            found[message.run_id].entries.append(entry)
    silent = [Turn(run, prompt=_prompt(run)) for run in known.values()]
    # What a fork took over comes first; sorting keeps the order of what is equal.
    return sorted([*found.values(), *silent], key=_begun)


def _begun(turn: Turn) -> datetime:
    return turn.run.created_at if turn.run is not None else _BEFORE_ALL


def _prompt(run: Run) -> list[Part]:
    blocks = run.prompt
    given = [block for block in blocks if isinstance(block, dict)] if blocks else []
    return [*map(_user_part, given), *_too_long(run)]


def _last_left_out(messages: Iterable[Message]) -> dict[UUID | None, int]:
    """The runs of which a message without its content may hold results, and its number."""
    return {
        message.run_id: message.sequence
        for message in messages
        if getattr(message, "left_out", 0) and _may_hold_results(message)
    }


def _may_hold_results(message: Message) -> bool:
    # What a user says in a run is its prompt; in what was taken over it may be results too.
    is_prompt = message.source == "user" and message.run_id is not None
    return message.type == "user" and not is_prompt


class _Reader:
    """Reads messages, knowing the results and the approvals of their tool calls."""

    def __init__(
        self,
        results: Mapping[str, dict[str, Any]],
        left_out: Mapping[UUID | None, int],
        approvals: Mapping[str, Approval],
        unfinished: Container[UUID | None],
    ) -> None:
        self._results = results
        self._left_out = left_out
        self._approvals = approvals
        self._unfinished = unfinished
        self._shown: set[str] = set()
        self._room = Room()

    def entry(self, message: Message) -> Entry | None:
        """A message, or None where there is nothing in it to read."""
        parts = self._parts(message)
        if not parts:
            return None
        content = message.content if isinstance(message.content, dict) else {}
        # What the agent says in the user's name is not the user's.
        who = message.type if message.type in ("assistant", "user") else "system"
        if who == "user" and message.source != "user":
            who = "system"
        return Entry(
            message.sequence,
            who,
            message.created_at,
            parts,
            message.id,
            bool(content.get("parent_tool_use_id")),
        )

    def _parts(self, message: Message) -> list[Part]:
        if note := _too_long(message):
            return [*map(_user_part, blocks_of(message.content)), *note]
        if message.type == "assistant":
            missing = self._without_result(message)
            return [self._assistant_part(b, missing) for b in blocks_of(message.content)]
        if message.type == "user":
            return [
                part
                for block in blocks_of(message.content)
                if (part := self._user_part(block)) is not None
            ]
        return _note(message)

    def _without_result(self, message: Message) -> str:
        """The outcome of those calls in a message whose results were not read."""
        if self._left_out.get(message.run_id, 0) > message.sequence:
            return "not shown"
        return "open" if message.run_id in self._unfinished else "no result"

    def _assistant_part(self, block: dict[str, Any], missing: str) -> Part:
        kind = block.get("type")
        if kind == "text":
            return self._text(str(block.get("text", "")))
        if kind == "thinking":
            return Part("thinking", prose(block.get("thinking", "")))
        if kind in CALLS:
            return Part("tool", tool=self._call(block, missing))
        return Part("json", _folded(pretty(block)), title=line(kind or "block"))

    def _text(self, text: str) -> Part:
        if len(text) > self._room.characters:
            return Part("plain", _folded(prose(text)))
        return Part("markdown", markdown.render(text, self._room))

    def _call(self, block: dict[str, Any], missing: str) -> ToolCall:
        identity, name = str(block.get("id", "")), line(block.get("name", "tool"), 100)
        asked = given = block.get("input")
        approval = self._approvals.get(identity)
        is_changed = approval is not None and approval.has_changed_input
        if approval is not None and is_changed:
            given = approval.updated_input
        self._shown.add(identity)
        result = self._results.get(identity)
        return ToolCall(
            id=identity,
            name=name,
            headline=headline(given),
            given=_folded(pretty(given)),
            outcome=_outcome(result) if result else missing,
            output=_folded(output_of(result)) if result else Folded(""),
            diffs=of_call(name, given, room=self._room) if isinstance(given, dict) else (),
            approval=approval,
            asked=_folded(pretty(asked)) if is_changed else None,
        )

    def _user_part(self, block: dict[str, Any]) -> Part | None:
        if block.get("type") != "tool_result":
            return _user_part(block)
        identity = str(block.get("tool_use_id"))
        if identity in self._shown:
            return None  # it is shown with its call
        return Part("json", _folded(output_of(block)), title="Result of an earlier tool call")


def _too_long(row: Message | Run) -> list[Part]:
    characters = getattr(row, "left_out", 0)
    return [Part("note", f"Too long for a page: {characters:,} characters.")] if characters else []


def _user_part(block: dict[str, Any]) -> Part:
    kind = block.get("type")
    if kind == "text":
        return Part("plain", _folded(prose(block.get("text", ""))))
    if kind in ("image", "document"):
        return Part("note", f"[{kind}: {source_of(block.get('source'))}]")
    return Part("json", _folded(pretty(block)), title=line(kind or "block"))


def _outcome(result: dict[str, Any]) -> str:
    return "error" if result.get("is_error") else "done"


def _note(message: Message) -> list[Part]:
    """Results and notes of the agent: only what a reader would miss."""
    content = message.content if isinstance(message.content, dict) else {}
    if message.type == "result":
        if not content.get("is_error"):
            return []
        return [Part("note", code(str(content.get("result") or content.get("subtype"))[:2000]))]
    if message.type == "system" and message.subtype in _QUIET_NOTES:
        return []
    title = " ".join(filter(None, (message.type, message.subtype)))
    return [Part("json", _folded(pretty(content)), title=line(title))]


def _folded(text: str) -> Folded:
    shown, left_out = bounded(text, SHOWN_CHARACTERS)
    return Folded(code(shown) if text else "", left_out)
