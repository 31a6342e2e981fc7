"""The questions that an agent asks with `AskUserQuestion`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.reading.text import line

HEADER = 60
DESCRIPTION = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a question that the agent asks."""

    label: str
    description: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that the agent asks; `name` is its field in the form."""

    name: str
    question: str
    header: str
    is_multiple: bool
    choices: Sequence[Choice]


def questions_of(given: Mapping[str, Any]) -> list[Asked]:
    """The questions that have a text; what else is in the input is left out."""
    return [
        Asked(
            name=f"answer-{at}",
            question=asked["question"],
            header=line(asked.get("header") or "", HEADER),
            is_multiple=bool(asked.get("multiSelect")),
            choices=list(_choices(asked.get("options"))),
        )
        for at, asked in enumerate(_list(given.get("questions")))
        if isinstance(asked, dict) and isinstance(asked.get("question"), str)
    ]


def are_shown_whole(given: Mapping[str, Any]) -> bool:
    """Whether `questions_of` tells everything that is in the `questions` of an input."""
    return all(map(_is_plain, _list(given.get("questions"))))


def _choices(options: Any) -> Iterator[Choice]:
    for option in _list(options):
        if isinstance(option, dict):
            told = line(option.get("description") or "", DESCRIPTION)
            yield Choice(str(option.get("label", "")), told)


def _is_plain(asked: Any) -> bool:
    if not isinstance(asked, dict) or not isinstance(asked.get("question"), str):
        return False
    options = asked.get("options", [])
    return (
        asked.keys() <= {"question", "header", "multiSelect", "options"}
        and _is_short(asked.get("header", ""), HEADER)
        and isinstance(asked.get("multiSelect", False), bool)
        and isinstance(options, list)
        and all(map(_is_plain_choice, options))
    )


def _is_plain_choice(option: Any) -> bool:
    return (
        isinstance(option, dict)
        and option.keys() <= {"label", "description"}
        and isinstance(option.get("label"), str)
        and _is_short(option.get("description", ""), DESCRIPTION)
    )


def _is_short(text: Any, limit: int) -> bool:
    return isinstance(text, str) and len(text) <= limit


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
