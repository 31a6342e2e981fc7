"""Lists filtered by `metadata.KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from django.db.models import BooleanField, Expression, F, QuerySet
from django.db.models.sql.compiler import SQLCompiler

from claudeapi.core.errors import InvalidRequest
from sessions_app.models import Session

METADATA = "metadata."
MAX_FILTERS = 20
MAX_SQLITE_INTEGER = 2**63 - 1

Compiled = tuple[str, tuple[Any, ...]]


class MetadataHas(Expression):
    """Whether the metadata has, under a name, a text or what that text says in JSON.

    Django's own key transforms take a name such as `2024` for a list's index, and SQLite's JSON
    paths know no escapes, so they would miss some names.
    """

    output_field = BooleanField()

    def __init__(self, name: str, text: str) -> None:
        super().__init__()
        self.name, self.text = name, text
        self.column: Any = F("metadata")

    def get_source_expressions(self) -> list[Any]:
        """The column."""
        return [self.column]

    def set_source_expressions(self, exprs: Any) -> None:
        """The column, resolved."""
        (self.column,) = exprs

    def as_sqlite(self, compiler: SQLCompiler, connection: Any) -> Compiled:
        """Looks through the pairs."""
        column, params = compiler.compile(self.column)
        test = "pair.type = 'text' AND pair.value = %s"
        values: tuple[Any, ...] = (self.text,)
        said = _said(self.text)
        if isinstance(said, bool) or said is None:
            test += f" OR pair.type = '{orjson.dumps(said).decode()}'"
        elif isinstance(said, int | float):
            number = said if abs(said) <= MAX_SQLITE_INTEGER else float(said)
            test += " OR pair.type IN ('integer', 'real') AND pair.value = %s"
            values = (self.text, number)
        sql = f"EXISTS (SELECT 1 FROM json_each({column}) pair WHERE pair.key = %s AND ({test}))"
        return sql, (*params, self.name, *values)

    def as_postgresql(self, compiler: SQLCompiler, connection: Any) -> Compiled:
        """Asks for containment, which an index can answer."""
        column, params = compiler.compile(self.column)
        said = _said(self.text)
        values = [self.text] if isinstance(said, str | list | dict) else [self.text, said]
        pairs = tuple(orjson.dumps({self.name: value}).decode() for value in values)
        test = " OR ".join([f"{column} @> %s::jsonb"] * len(pairs))
        return f"({test})", (*(params * len(pairs)), *pairs)


def with_metadata(rows: QuerySet[Session], wanted: Mapping[str, str]) -> QuerySet[Session]:
    """Those whose metadata has each of the values, by `metadata.KEY`.

    Raises:
        InvalidRequest: too many filters, or a NUL character, which no metadata holds.
    """
    if len(wanted) > MAX_FILTERS:
        raise InvalidRequest.field("metadata", f"at most {MAX_FILTERS} of them.")
    for name, text in wanted.items():
        if "\x00" in name + text:
            raise InvalidRequest.field("metadata", "NUL characters are not allowed.")
        rows = rows.filter(MetadataHas(name.removeprefix(METADATA), text))
    return rows


def _said(text: str) -> Any:
    """What the text says in JSON; the text itself where that is nothing."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
