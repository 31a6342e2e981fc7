"""What an operator answers, validated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from claudeapi.core import errors
from claudeapi.core.json_body import parse_json
from console.approvals.cards import Card
from console.reading.text import line

MAX_MESSAGE = 10_000
MIN_WHOLE, MAX_WHOLE = -(2**63), 2**64 - 1


class NotAnAnswer(Exception):
    """The form cannot be taken as it is; its text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to an approval, as the actions take it."""

    allow: bool
    scope: str = "once"
    updated_input: dict[str, Any] | None = None
    message: str = ""


def answer(card: Card, given: QueryDict) -> Answer:
    """What the form says.

    Raises:
        NotAnAnswer: there is no decision, or what goes with it is not valid.
    """
    message = given.get("message", "").strip()[:MAX_MESSAGE].replace("\x00", "")
    decision = given.get("decision", "")
    if decision == "deny":
        return Answer(allow=False, message=message)
    if decision not in ("once", "session", "changed"):
        raise NotAnAnswer("Choose whether to allow or to deny.")
    if card.kind == "question":
        return Answer(True, updated_input={"answers": _answers(card, given)}, message=message)
    if card.kind == "plan":
        return Answer(True, message=message)
    if decision != "changed" and card.takes_changes and _is_edited(card, given):
        raise NotAnAnswer("The input was edited. Allow it with this input, or put it back.")
    if decision == "session" and not card.grants:
        raise NotAnAnswer("This call can be allowed only once.")
    if decision == "changed":
        return Answer(True, updated_input=_changed(given), message=message)
    return Answer(True, scope=decision, message=message)


def _is_edited(card: Card, given: QueryDict) -> bool:
    """Whether another input was typed than the one that would be allowed."""
    typed = given.get("input")
    if typed is None or _lines(typed) == _lines(card.given):
        return False
    try:
        return bool(json.loads(typed) != card.row.input)
    except (ValueError, RecursionError):
        return True


def _lines(text: str) -> str:
    """Browsers send other ends of lines, and leave out an empty first line."""
    return text.replace("\r\n", "\n").strip()


def _answers(card: Card, given: QueryDict) -> Mapping[str, Any]:
    answers: dict[str, Any] = {}
    for asked in card.questions:
        offered = {choice.label for choice in asked.choices}
        chosen = [label for label in given.getlist(asked.name) if label in offered]
        if own := given.get(f"{asked.name}-own", "").strip()[:MAX_MESSAGE]:
            chosen = [*chosen, own] if asked.is_multiple else [own]
        if not chosen:
            raise NotAnAnswer(f"“{line(asked.question, 100)}” has no answer yet.")
        answers[asked.question] = chosen if asked.is_multiple else chosen[0]
    return answers


def _changed(given: QueryDict) -> dict[str, Any]:
    """The input that was typed, as strict as a body of the API.

    A number that only a few programs can hold is refused: it would become another one.
    """
    text = given.get("input", "")
    if not text.strip():
        raise NotAnAnswer("The changed input is empty.")
    try:
        value = parse_json(text.encode())
        json.loads(text, parse_int=_whole)
    except errors.InvalidRequest as error:
        raise NotAnAnswer(f"The changed input cannot be taken: {error.message}") from None
    except errors.InvalidJson as error:
        raise NotAnAnswer(f"The changed input is not valid JSON. {error.message}") from None
    except ValueError:
        raise NotAnAnswer("The changed input has a number with too many digits.") from None
    return value


def _whole(digits: str) -> int:
    if len(digits) > 20 or not MIN_WHOLE <= (value := int(digits)) <= MAX_WHOLE:
        raise ValueError(digits)
    return value
