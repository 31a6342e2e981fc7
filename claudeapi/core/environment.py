"""Typed reading of configuration: every problem is collected, none is raised.

A `Setting` is one row of the table in `claudeapi.settings_table`. `read` gives the values of
all rows and the list of what is wrong, which system checks and the reference page print.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})


class Refused(ValueError):
    """A value that is not allowed; its text says what is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of setting.

    Attributes:
        allowed: what is allowed, for a person.
        of_text: reads an environment variable; raises `Refused`, or any ValueError.
        of_json: reads a value of the option tree; raises the same.
    """

    allowed: str
    of_text: Callable[[str], Any]
    of_json: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: a variable, its type, its default and what it is for.

    Attributes:
        option: its path in the option tree, such as `auth.requireAuth`; empty where the
            setting is only a variable.
        shown_default: the default in words, where the value itself would not tell.
        secret: its value is never shown.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    section: str
    option: str = ""
    shown_default: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the configuration.

    Attributes:
        id: of the system check that reports it, such as `claudeapi.E001`.
        name: the setting or option it is about.
        message: names the setting, its value (never a secret's) and what is allowed.
    """

    id: str
    name: str
    message: str


def read(
    table: Iterable[Setting], environ: Mapping[str, str], options: Mapping[str, tuple[str, Any]]
) -> tuple[dict[str, Any], list[Problem]]:
    """The value of every setting, by name; a wrong one counts as its default.

    Args:
        table: the rows.
        environ: variables; an empty one counts as not set.
        options: the option tree, flattened: path -> (where it was set, value).
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for setting in table:
        values[setting.name] = setting.default
        raw: Any = environ.get(setting.name, "").strip()
        name = setting.name
        parse = setting.kind.of_text
        if not raw:
            if setting.option not in options:
                continue
            source, raw = options[setting.option]
            name = f"{setting.option} ({source})"
            parse = setting.kind.of_json
        try:
            values[setting.name] = parse(raw)
        except ValueError as error:
            # Only a refusal of ours is fit to be shown: others may quote a secret.
            allowed = str(error) if isinstance(error, Refused) else setting.kind.allowed
            problems.append(wrong_value(name, raw, allowed, secret=setting.secret))
    return values, problems


def wrong_value(name: str, value: object, allowed: str, *, secret: bool = False) -> Problem:
    """The problem of one value that is not allowed."""
    shown = "" if secret else f"={value!r}"
    return Problem("claudeapi.E001", name, f"{name}{shown} is not allowed: {allowed}.")


def flatten(tree: Mapping[str, Any], known: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    """The leaves of an option tree by dotted path, and the paths that are not known."""
    leaves = set(known)
    groups = {leaf.rpartition(".")[0] for leaf in leaves} - {""}
    found: dict[str, Any] = {}
    unknown: list[str] = []

    def walk(node: Mapping[str, Any], prefix: str) -> None:
        for name, value in node.items():
            path = f"{prefix}{name}"
            if path in leaves:
                found[path] = value
            elif path in groups and isinstance(value, Mapping):
                walk(value, f"{path}.")
            else:
                unknown.append(path)

    walk(tree, "")
    return found, unknown


def _whole(value: object, low: int, high: int, allowed: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(allowed)
    return value


def integer(low: int, high: int, unit: str = "") -> Kind:
    """A whole number between two bounds, both allowed."""
    allowed = f"a whole number from {low} to {high}{' ' + unit if unit else ''}"

    def of_text(text: str) -> int:
        if not text.isascii() or not text.removeprefix("-").isdigit():
            raise Refused(allowed)
        return _whole(int(text), low, high, allowed)

    return Kind(allowed, of_text, lambda value: _whole(value, low, high, allowed))


def number(low: float, high: float, unit: str = "") -> Kind:
    """A number between two bounds, both allowed."""
    allowed = f"a number from {low:g} to {high:g}{' ' + unit if unit else ''}"

    def of_json(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused(allowed)
        if not low <= value <= high:
            raise Refused(allowed)
        return float(value)

    def of_text(text: str) -> float:
        try:
            return of_json(float(text))
        except ValueError:
            raise Refused(allowed) from None

    return Kind(allowed, of_text, of_json)


def boolean() -> Kind:
    """True or false, in the words people use."""
    allowed = "true or false"

    def of_text(text: str) -> bool:
        word = text.lower()
        if word not in TRUE | FALSE:
            raise Refused(allowed)
        return word in TRUE

    def of_json(value: object) -> bool:
        if not isinstance(value, bool):
            raise Refused(allowed)
        return value

    return Kind(allowed, of_text, of_json)


def text(check: Callable[[str], str] = str, allowed: str = "text") -> Kind:
    """Text, as `check` returns it; `check` raises `Refused`."""

    def of_json(value: object) -> str:
        if not isinstance(value, str):
            raise Refused(allowed)
        return check(value)

    return Kind(allowed, check, of_json)


def choice(*words: str) -> Kind:
    """One of a few words, in any case."""
    allowed = "one of " + ", ".join(f"`{word}`" for word in words)
    by_lower = {word.lower(): word for word in words}

    def check(value: str) -> str:
        if value.lower() not in by_lower:
            raise Refused(allowed)
        return by_lower[value.lower()]

    return text(check, allowed)


def words(check: Callable[[str], str] = str, allowed: str = "a list") -> Kind:
    """Several texts: separated by commas in a variable, a list in the option tree."""

    def of_json(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise Refused(allowed)
        return tuple(check(one) for one in value)

    def of_text(raw: str) -> tuple[str, ...]:
        return tuple(check(one.strip()) for one in raw.split(",") if one.strip())

    return Kind(allowed, of_text, of_json)
