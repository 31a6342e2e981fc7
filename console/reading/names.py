"""What a session is called where it has no title: the first words of what it was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import OuterRef, Subquery, TextField
from django.db.models.functions import Substr

from console.reading.text import line
from sessions_app.models import Run, Session

WORDS = 80
"""Characters of a prompt that name a session."""
PROMPT = 300
HEAD = 600
_TEXT = re.compile(r'"text":"((?:[^"\\]|\\.)*)')


def prompt_of(run: Run, limit: int = PROMPT) -> str:
    """The beginning of a run's prompt, in one line."""
    return text_of(run.prompt, limit)


def text_of(blocks: Any, limit: int) -> str:
    """The first text among content blocks, in one line."""
    for block in blocks if isinstance(blocks, list) else ():
        if isinstance(block, dict) and str(block.get("text") or "").strip():
            return line(block["text"], limit)
    return ""


def name_of(session: Session) -> str:
    """Its title, its first words where `name_all` has found them, or the beginning of its id."""
    return line(session.title, WORDS) or getattr(session, "words", "") or str(session.pk)[:8]


def name_all(sessions: Sequence[Session]) -> None:
    """Find the first words of those without a title, with one query for all."""
    wanted = [session.pk for session in sessions if not session.title]
    if not wanted:
        return
    first = _first_prompts(wanted)
    for session in sessions:
        session.words = first.get(session.pk, "")  # type: ignore[attr-defined]


def _first_prompts(ids: Iterable[Any]) -> dict[Any, str]:
    runs = Run.objects.filter(session=OuterRef("pk")).order_by("created_at", "id")
    # The beginning only: a prompt may hold pictures.
    head = runs.values(head=Substr("prompt", 1, HEAD, output_field=TextField()))[:1]
    rows = Session.objects.filter(pk__in=ids).values_list("pk", Subquery(head))
    return {pk: _words(text or "") for pk, text in rows}


def _words(head: str) -> str:
    """The first text in the beginning of a prompt's JSON, which may end anywhere."""
    found = _TEXT.search(head)
    if found is None:
        return ""
    try:
        return line(json.loads(f'"{found[1]}"'), WORDS)
    except ValueError:  # cut inside an escape
        return line(found[1], WORDS)
