"""An approval as the person sees it who has to answer: what is asked, in its own terms.

Whatever would be allowed is on the card: what the view of a tool does not tell is listed
beside it, and what is too long to show is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from django.utils import timezone
from django.utils.safestring import SafeString

from console.approvals import grants
from console.approvals.questions import Asked, are_shown_whole, questions_of
from console.reading import diffs, files, markdown
from console.reading.names import prompts_of
from console.reading.room import Room
from console.reading.text import SHOWN_CHARACTERS, bounded, code, headline, line, pretty, prose
from sessions_app import agents
from sessions_app.models import Approval, ApprovalStatus

EDITS = ("Edit", "Write", "MultiEdit", "NotebookEdit")
CHANGEABLE_CHARACTERS = 200_000
"""An input that is longer is not put into a page to be edited."""
TOLD_CHARACTERS = 200
"""Of a command's description; a longer one is shown with the rest of the input."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of an approval.

    Attributes:
        kind: `command`, `edit`, `question`, `plan` or `other`.
        reason: what the agent says of it, where that is not on the card anyway.
        prompt: the beginning of what the agent was asked to do.
        folder: where the agent works.
        given: its whole input as JSON text, as it is: what an editor starts from.
        seconds_left: until it is denied by itself.
        rest: the fields that are not told otherwise, as JSON text, what hides in it marked.
        left_out: characters of `rest` that are not shown.
        grants: what a yes for the session grants; none: it can be allowed only once.
    """

    row: Approval
    kind: str
    given: str
    seconds_left: int
    headline: str = ""
    reason: str = ""
    prompt: str = ""
    folder: str = ""
    command: str = ""
    description: str = ""
    diffs: Sequence[diffs.Diff] = ()
    questions: Sequence[Asked] = ()
    plan: SafeString | str = ""
    rest: str = ""
    left_out: int = 0
    grants: Sequence[str] = ()

    @property
    def is_open(self) -> bool:
        """Whether it can still be answered."""
        return self.row.status == ApprovalStatus.PENDING and self.seconds_left > 0

    @property
    def is_whole(self) -> bool:
        """Whether everything that would be allowed is on the card."""
        return not self.left_out and not any(diff.left_out for diff in self.diffs)

    @property
    def asked(self) -> str:
        """The beginning of the input, with what hides in it marked."""
        return code(self.given[:SHOWN_CHARACTERS])

    @property
    def takes_changes(self) -> bool:
        """Whether it can be allowed with a changed input."""
        is_call = self.kind in ("command", "edit", "other")
        return is_call and len(self.given) <= CHANGEABLE_CHARACTERS


def cards(rows: Iterable[Approval]) -> list[Card]:
    """The cards of one page; their sessions and keys must be loaded."""
    found, room = list(rows), Room()
    prompts = prompts_of({row.run_id for row in found})
    return [replace(_card(row, room), prompt=prompts.get(row.run_id, "")) for row in found]


def card(row: Approval) -> Card:
    """The card of an approval, on a page of its own."""
    return cards([row])[0]


def _card(row: Approval, room: Room) -> Card:
    """One that cannot be read is shown as it is: it must not take others' cards with it."""
    plain = Card(row, "other", pretty(row.input), _seconds_left(row))
    given: dict[str, Any] = row.input if isinstance(row.input, dict) else {}
    try:
        view, shown = _view(row, given, room)
        found = replace(plain, **view, grants=grants.in_words(row.suggestions, given))
        found = replace(found, reason=_reason(row, given), folder=_folder(row))
    except Exception:
        log.exception("approval_unreadable", approval=str(row.pk))
        found, shown = plain, set()
    rest = {name: value for name, value in given.items() if name not in shown} if shown else None
    if rest == {}:
        return found
    told, left_out = bounded(plain.given if rest is None else pretty(rest), SHOWN_CHARACTERS)
    return replace(found, rest=code(told), left_out=left_out)


def in_a_line(row: Approval, given: Any) -> str:
    """What was asked, or allowed in its place, in the workspace's own words."""
    return headline(_relative(row, given) if isinstance(given, dict) else given)


def _seconds_left(row: Approval) -> int:
    return max(0, round((row.expires_at - timezone.now()).total_seconds()))


def _reason(row: Approval, given: dict[str, Any]) -> str:
    told = prose(row.reason).strip()
    # The agent's own words for a call are often the call itself.
    said = {str(given.get(name, "")).strip() for name in ("command", "description", "file_path")}
    return "" if row.reason.strip() in said else told


def _folder(row: Approval) -> str:
    """In the words of the workspace: where it lies on the disk is nobody's business."""
    if cwd := row.session.config.get("cwd"):
        return line(cwd)
    name = agents.workspace_of(row.session)
    return "" if not name or name == str(row.session_id) else f"workspace {line(name, 80)}"


def _view(row: Approval, given: dict[str, Any], room: Room) -> tuple[dict[str, Any], set[str]]:
    """The fields of a card in the tool's own terms, and the names of what they tell."""
    make = _VIEWS.get(row.tool_name)
    found = make(row, given, room) if make else None
    view, shown = found or ({"kind": "other"}, set())
    return {"headline": headline(_relative(row, given)), **view}, shown


View = tuple[dict[str, Any], set[str]]


def _command(row: Approval, given: dict[str, Any], room: Room) -> View | None:
    if not isinstance(given.get("command"), str):
        return None
    view = {"kind": "command", "command": code(given["command"])}
    told = given.get("description")
    if not isinstance(told, str) or len(told) > TOLD_CHARACTERS:
        return view, {"command"}
    return {**view, "description": line(told)}, {"command", "description"}


def _edit(row: Approval, given: dict[str, Any], room: Room) -> View | None:
    found = diffs.of_call(row.tool_name, _relative(row, given), _present(row, given), room)
    if not found:
        return None
    return {"kind": "edit", "diffs": found}, diffs.fields_shown(row.tool_name, given)


def _questions(row: Approval, given: dict[str, Any], room: Room) -> View | None:
    found = questions_of(given)
    shown = {"questions"} if are_shown_whole(given) else set()
    return ({"kind": "question", "questions": found}, shown) if found else None


def _plan(row: Approval, given: dict[str, Any], room: Room) -> View | None:
    if not isinstance(given.get("plan"), str):
        return None
    return {"kind": "plan", "plan": markdown.render(given["plan"], room)}, {"plan"}


_VIEWS: dict[str, Callable[[Approval, dict[str, Any], Room], View | None]] = {
    "Bash": _command,
    "AskUserQuestion": _questions,
    "ExitPlanMode": _plan,
    **dict.fromkeys(EDITS, _edit),
}


def _relative(row: Approval, given: dict[str, Any]) -> dict[str, Any]:
    """The input with a path inside the workspace as it is seen from there."""
    path, root = given.get("file_path"), agents.private_folder(row.session)
    if root and row.tool_name in EDITS and isinstance(path, str) and path.startswith(f"{root}/"):
        return {**given, "file_path": path.removeprefix(f"{root}/")}
    return given


def _present(row: Approval, given: dict[str, Any]) -> str | None:
    """What the file that a `Write` replaces holds now; None where that is not ours to read."""
    root = agents.private_folder(row.session)
    if row.tool_name != "Write" or root is None:
        return None
    path = str(given.get("file_path", ""))
    if path.startswith("/"):
        if not path.startswith(f"{root}/"):
            return None
        path = path[len(str(root)) + 1 :]
    try:
        content, size = files.beginning(root, path)
    except files.NoSuchFile:
        return None
    limit = min(files.MAX_SHOWN_BYTES, diffs.MAX_CHARACTERS)
    return files.text_of(content) if size <= limit else None
