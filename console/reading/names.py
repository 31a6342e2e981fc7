"""What a session is called where it has no title: the first words of what it was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery, TextField, Value
from django.db.models.functions import StrIndex, Substr

from console.reading.text import line
from sessions_app.models import Message, Run, Session

WORDS = 80
"""Characters of a prompt that name a session."""
PROMPT = 300
HEAD = 2_000
_TEXT = re.compile(r'"text":"((?:[^"\\]|\\.)*)')


def _first_text(field: str) -> Substr:
    """The beginning of the first text only: a prompt may be long, and hold pictures before it."""
    return Substr(field, StrIndex(field, Value('"text":"')), HEAD, output_field=TextField())


def prompts_of(runs: Iterable[UUID]) -> dict[UUID, str]:
    """The first words of what these runs were asked, with one query for all."""
    rows = Run.objects.filter(pk__in=runs).values_list("pk", _first_text("prompt"))
    return {pk: _words(text or "", PROMPT) for pk, text in rows}


def words_of(messages: Iterable[UUID]) -> dict[UUID, str]:
    """The first words of these messages, with one query for all."""
    rows = Message.objects.filter(pk__in=messages).values_list("pk", _first_text("content"))
    return {pk: _words(text or "", PROMPT) for pk, text in rows}


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
    head = runs.values(head=_first_text("prompt"))[:1]
    rows = Session.objects.filter(pk__in=ids).values_list("pk", Subquery(head))
    return {pk: _words(text or "", WORDS) for pk, text in rows}


def _words(head: str, limit: int) -> str:
    """The first text in a part of a prompt's JSON, which may end anywhere."""
    found = _TEXT.search(head)
    if found is None:
        return ""
    try:
        return line(json.loads(f'"{found[1]}"'), limit)
    except ValueError:  # cut inside an escape
        return line(found[1], limit)
