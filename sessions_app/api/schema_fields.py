"""The OpenAPI document of fields, and what its operations do not say by themselves."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension

from sessions_app.api import answers, descriptions, event_schemas, server_answers
from sessions_app.api import serializers as wire
from sessions_app.api.json_schema import Schema
from sessions_app.api.wire_fields import MAX_BLOCKS
from sessions_app.engines.aliases import MODEL_NAME

COMPONENTS = {**answers.SCHEMAS, **event_schemas.SCHEMAS, **server_answers.SCHEMAS}

UUID: Schema = {"type": "string", "format": "uuid"}
NOT_BLANK: Schema = {"type": "string", "pattern": r"\S"}
FILLED: Schema = {"type": "string", "minLength": 1}
BASE64: Schema = {
    **FILLED,
    "contentEncoding": "base64",
    "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}


def _typed(kind: str, **fields: Schema) -> Schema:
    properties = {"type": {"const": kind}, **fields}
    return {"type": "object", "required": list(properties), "properties": properties}


SOURCE: Schema = {
    "oneOf": [
        _typed("base64", media_type=FILLED, data=BASE64),
        _typed("url", url=FILLED),
        _typed("file", file_id=FILLED),
        _typed("text", media_type=FILLED, data=FILLED),
        _typed("content", content={"type": "array", "minItems": 1}),
    ]
}
BLOCK: Schema = {
    "oneOf": [
        _typed("text", text=NOT_BLANK),
        _typed("image", source=SOURCE),
        _typed("document", source=SOURCE),
    ]
}


class PromptField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A text, or content blocks."""

    target_class = "sessions_app.api.wire_fields.Prompt"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Both forms; a query has only the first."""
        if isinstance(self.target.parent, wire.StreamQuery):
            return NOT_BLANK
        blocks = {"type": "array", "minItems": 1, "maxItems": MAX_BLOCKS, "items": BLOCK}
        return {"oneOf": [NOT_BLANK, blocks]}


class ObjectField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """An object."""

    target_class = "sessions_app.api.wire_fields.AnyObject"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Whatever the client puts there."""
        return {"type": "object", "additionalProperties": True}


class ModelNameField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A name."""

    target_class = "sessions_app.api.wire_fields.ModelName"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """What it looks like."""
        return {"type": "string", "pattern": f"^{MODEL_NAME}$", "maxLength": 128}


class MoneyField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """More than nothing, as a decimal string."""

    target_class = "sessions_app.api.wire_fields.Money"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Its form."""
        form = r"^(?=.*[1-9])\d{1,6}(\.\d{1,8})?$"
        return {"type": "string", "format": "decimal", "pattern": form}


class StreamMessage(wire.SendMessage):
    """The body of `POST /sessions/{id}/stream`: nothing in the background."""


# What one field demands of another.
CONDITIONS: dict[str, Schema] = {
    "CreateSession": {
        "if": {"required": ["fork"], "properties": {"fork": {"const": True}}},
        "then": {"required": ["resume"]},
    },
    "Decide": {
        "not": {"required": ["updatedInput"], "properties": {"decision": {"const": "deny"}}}
    },
    "StreamMessage": {
        "not": {"required": ["background"], "properties": {"background": {"const": True}}}
    },
    "SendMessage": {
        "not": {
            "required": ["stream", "background"],
            "properties": {"stream": {"const": True}, "background": {"const": True}},
        }
    },
}


def complete(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """Add the answers' components, and what requests mean and refuse (a schema hook)."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in schemas.items():
        request_name = name.removeprefix("Patched").removesuffix("Request")
        schema.update(CONDITIONS.get(request_name, {}), additionalProperties=False)
        for field, value in schema.get("properties", {}).items():
            _explain(value, value, request_name, field)
    for item in result["paths"].values():
        for operation in item.values():
            _unwrap(operation["responses"])
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    _explain(parameter, parameter["schema"], "", parameter["name"])
    schemas.update(COMPONENTS)
    return result


def _unwrap(responses: Schema) -> None:
    """A view named `list` is taken for one that answers an array; ours answer objects."""
    for response in responses.values():
        for content in response.get("content", {}).values():
            if content["schema"].get("type") == "array":
                content["schema"] = content["schema"]["items"]


def _explain(target: Schema, schema: Schema, request: str, field: str) -> None:
    """Say what a value means, and that white space alone is none."""
    schema.pop("x-spec-enum-id", None)
    in_body = target is schema
    if (in_body or not target.get("description")) and (meaning := descriptions.of(request, field)):
        target["description"] = meaning
    for text in (schema, schema.get("items", {})):
        if text.get("minLength") == 1 and "enum" not in text:
            text.setdefault("pattern", NOT_BLANK["pattern"])
