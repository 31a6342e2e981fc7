"""What an edit would change, line by line. Pure."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from console.reading.room import Room
from console.reading.text import code

MAX_CHARACTERS = 200_000
MAX_LINES = 2_000
"""Of either side: comparing takes time that grows with the product of the two."""
SHOWN_LINES = 800
MAX_EDITS = 100
CONTEXT = 3

_SIGNS = {" ": "same", "+": "added", "-": "removed"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a diff; `kind` is `same`, `added`, `removed` or `hunk`."""

    kind: str
    text: str
    sign: str = ""


@dataclass(frozen=True, slots=True)
class Diff:
    """The change of one file.

    Attributes:
        path: as the tool call names it.
        added, removed: lines that come in and go, also those that are not shown.
        note: what a reader should know besides, such as that every occurrence is replaced.
        left_out: lines that were not shown.
    """

    path: str
    lines: Sequence[Line]
    note: str = ""
    added: int = 0
    removed: int = 0
    left_out: int = 0


def of_call(
    tool: str,
    given: Mapping[str, Any],
    present: str | None = None,
    room: Room | None = None,
) -> list[Diff]:
    """The diffs of an edit's input; none for what is not an edit, or not a well-formed one.

    Args:
        present: what the file of a `Write` holds now, where that can be known.
        room: what the page has left; None: the call has a page's room for itself.
    """
    room = room or Room()
    path = code(given.get(_path_field(tool)) or "")
    if tool == "Write" and isinstance(given.get("content"), str):
        notes = ["Replaces the whole file."] if present is not None else []
        notes += [] if given["content"] else ["The file will be empty."]
        return [between(path, present or "", given["content"], " ".join(notes), room)]
    if tool == "NotebookEdit":
        return _cell(path, given)
    if tool == "Edit":
        return [found for found in (_edit(path, given, room),) if found is not None]
    edits = given.get("edits")
    if tool == "MultiEdit" and isinstance(edits, list):
        parts = [_edit(path, edit, room) for edit in edits[:MAX_EDITS] if isinstance(edit, dict)]
        return [found for found in parts if found is not None]
    return []


def fields_shown(tool: str, given: Mapping[str, Any]) -> set[str]:
    """The fields of an edit's input that its diffs tell in full, but for lines left out."""
    shown = {name for name in _TEXTS.get(tool, ()) if isinstance(given.get(name), str)}
    if isinstance(given.get("replace_all"), bool) and tool == "Edit":
        shown.add("replace_all")
    edits = given.get("edits")
    if tool == "MultiEdit" and isinstance(edits, list) and len(edits) <= MAX_EDITS:
        known = {*_TEXTS["Edit"], "replace_all"} - {"file_path"}
        if all(isinstance(each, dict) and each.keys() <= known for each in edits):
            shown.add("edits")
    return shown


_TEXTS = {
    "Edit": ("file_path", "old_string", "new_string"),
    "MultiEdit": ("file_path",),
    "Write": ("file_path", "content"),
    "NotebookEdit": ("notebook_path", "new_source", "cell_id", "cell_type", "edit_mode"),
}


def _path_field(tool: str) -> str:
    return "notebook_path" if tool == "NotebookEdit" else "file_path"


def _edit(path: str, given: Mapping[str, Any], room: Room) -> Diff | None:
    old, new = given.get("old_string"), given.get("new_string")
    if not isinstance(old, str) or not isinstance(new, str):
        return None
    note = "Every occurrence." if given.get("replace_all") else ""
    return between(path, old, new, note, room)


def _cell(path: str, given: Mapping[str, Any]) -> list[Diff]:
    """The change of a notebook's cell; what it holds now is not known."""
    mode, source = given.get("edit_mode") or "replace", given.get("new_source")
    verb = {"replace": "Replaces", "delete": "Deletes", "insert": "Inserts a cell after"}
    if mode != "delete" and not isinstance(source, str):
        return []
    kind = f" ({code(given['cell_type'])})" if given.get("cell_type") else ""
    cell = f"cell {code(given['cell_id'])}" if given.get("cell_id") else "a cell without an id"
    if mode == "insert":
        cell = cell.removeprefix("cell ") if given.get("cell_id") else "the beginning"
    note = f"{verb.get(str(mode), code(mode) + ':')} {cell}{kind}."
    return [between(path, "", source if isinstance(source, str) else "", note)]


def between(path: str, old: str, new: str, note: str = "", room: Room | None = None) -> Diff:
    """The diff of two texts; of two that are too long to compare, all of both."""
    room = room or Room()
    before, after = _lines(old), _lines(new)
    steps = _steps(len(before), len(after))
    comparable = (
        max(len(before), len(after)) <= MAX_LINES
        and len(old) + len(new) <= MAX_CHARACTERS
        and steps <= room.steps
    )
    room.steps -= steps if comparable else 0
    lines = list(_compared(before, after) if comparable else _beside(before, after))
    if comparable and not lines and old != new:
        lines = list(_beside(before, after))
        note = f"{note} They differ in the line ends only.".strip()
    kinds = Counter(line.kind for line in lines)
    left_out = max(0, len(lines) - SHOWN_LINES)
    return Diff(path, lines[:SHOWN_LINES], note, kinds["added"], kinds["removed"], left_out)


def _lines(text: str) -> list[str]:
    """The lines; a line end at the very end begins no further one."""
    return code(text).removesuffix("\n").split("\n") if text else []


def _steps(before: int, after: int) -> int:
    """What comparing so many lines can take: each match is looked for among all that is left.

    For each line on the one side those that are like it on the other are gone through;
    `difflib` leaves lines out that are more than one in a hundred of 200 or more.
    """
    alike = after if after < 200 else after // 100 + 1
    return before * alike * min(before, after)


def _compared(before: list[str], after: list[str]) -> Iterator[Line]:
    # The first two lines name the files, which have no names here.
    for told in islice(difflib.unified_diff(before, after, lineterm="", n=CONTEXT), 2, None):
        if told.startswith("@@"):
            yield Line("hunk", told)
        else:
            yield Line(_SIGNS.get(told[:1], "same"), told[1:], told[:1])


def _beside(before: list[str], after: list[str]) -> Iterator[Line]:
    for text in before:
        yield Line("removed", text, "-")
    for text in after:
        yield Line("added", text, "+")
