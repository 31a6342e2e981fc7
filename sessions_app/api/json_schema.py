"""A few words to write JSON Schema in: every value is described, null is said, nothing else."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(description: str, /, **properties: Schema) -> Schema:
    """An object whose members are always there."""
    return {
        "type": "object",
        "description": description,
        "required": list(properties),
        "properties": properties,
    }


def value(kind: str, description: str, **more: Any) -> Schema:
    """A value of a JSON type."""
    return {"type": kind, "description": description, **more}


def text(description: str, **more: Any) -> Schema:
    """A string."""
    return value("string", description, **more)


def count(description: str, **more: Any) -> Schema:
    """A whole number from 0."""
    return value("integer", description, minimum=0, **more)


def one_of(description: str, *values: str) -> Schema:
    """One of these strings."""
    return text(description, enum=list(values))


def uuid(description: str) -> Schema:
    """An id."""
    return text(description, format="uuid")


def time(description: str) -> Schema:
    """A moment, ISO 8601 in UTC."""
    return text(description, format="date-time", examples=["2026-11-22T10:00:00.000Z"])


def usd(description: str) -> Schema:
    """Money, as a decimal string."""
    pattern = r"^\d+\.\d{2,}$"
    return text(f"{description} US dollars.", pattern=pattern, examples=["0.0031"])


def array(description: str, items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "description": description, "items": items}


def anything(description: str) -> Schema:
    """An object whose members are not ours to say."""
    return value("object", description, additionalProperties=True)


def or_null(schema: Schema) -> Schema:
    """The same, or null."""
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}
