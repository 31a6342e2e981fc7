"""The smallest value that a JSON schema accepts, for structured outputs and forced tool calls."""

from __future__ import annotations

from typing import Any

_MAX_DEPTH = 32
"""Recursive schemas end here, with null."""

_MOST = 10_000
"""Items or characters, however many a schema demands."""

_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def instance(schema: Any, *, words: str = "simulated") -> Any:
    """An instance of ``schema``; strings without other bounds become ``words``."""
    return _instance(schema, schema, words, 0)


def _instance(schema: Any, root: Any, words: str, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "$ref" in schema:
        return _instance(_resolve(schema["$ref"], root), root, words, depth + 1)
    for combination in ("anyOf", "oneOf"):
        if schema.get(combination):
            return _instance(schema[combination][0], root, words, depth + 1)
    if schema.get("allOf"):
        return _instance(_united(schema), root, words, depth + 1)
    match _kind(schema):
        case "object":
            properties: dict[str, Any] = schema.get("properties", {})
            names = schema["required"] if "required" in schema else list(properties)
            return {name: _instance(properties.get(name), root, words, depth + 1) for name in names}
        case "array":
            item = _instance(schema.get("items"), root, words, depth + 1)
            return [item] * min(schema.get("minItems", 0), _MOST)
        case "string":
            text = _FORMATS.get(schema.get("format", ""), words)
            return text.ljust(min(schema.get("minLength", 0), _MOST), ".")[
                : schema.get("maxLength")
            ]
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        case "boolean":
            return False
        case _:
            return None


def _kind(schema: dict[str, Any]) -> Any:
    """The JSON type of the instance: the first of several, an object where none is named."""
    kind = schema.get("type", "object" if "properties" in schema else None)
    return kind[0] if isinstance(kind, list) and kind else kind


def _united(schema: dict[str, Any]) -> dict[str, Any]:
    """``allOf`` taken as one object schema, which is what it is used for."""
    parts = [{key: value for key, value in schema.items() if key != "allOf"}, *schema["allOf"]]
    united: dict[str, Any] = {}
    for part in parts:
        properties = united.get("properties", {}) | part.get("properties", {})
        required = [*united.get("required", []), *part.get("required", [])]
        united |= part
        if properties:
            united |= {"properties": properties, "required": required}
    return united


def _resolve(reference: str, root: Any) -> Any:
    target = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        target = target.get(step) if isinstance(target, dict) and step else target
    return target
