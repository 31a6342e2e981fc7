"""A model field for JSON that we keep but never query into, and its size."""

from __future__ import annotations

from typing import Any

import orjson
from django.db import models
from django.db.models import Func


class Octets(Func):
    """How many bytes a text has: told without reading it all, unlike its characters."""

    template = "octet_length(%(expressions)s)"
    output_field = models.BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """SQLite knows it of blobs."""
        template = "length(CAST(%(expressions)s AS BLOB))"
        return self.as_sql(compiler, connection, template=template, **context)


class JsonText(models.TextField[Any, Any]):
    """JSON kept as text.

    PostgreSQL's `jsonb` refuses the NUL characters that a model or a tool may well produce;
    escaped in text they survive.
    """

    # What django-stubs' mypy plugin reads: any JSON value goes in and comes out.
    _pyi_private_set_type: Any
    _pyi_private_get_type: Any
    _pyi_lookup_exact_type: Any

    def from_db_value(self, value: str | None, *_: object) -> Any:
        """Text to JSON value."""
        return None if value is None else orjson.loads(value)

    def to_python(self, value: Any) -> Any:
        """Form or fixture input to JSON value."""
        return orjson.loads(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str | None:
        """JSON value to text."""
        return None if value is None else orjson.dumps(value, default=str).decode()

    def value_to_string(self, obj: models.Model) -> str:
        """JSON value to text, for serializers."""
        return self.get_prep_value(self.value_from_object(obj)) or ""
