"""The fields of the wire: each takes what the contract says, and nothing that looks like it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import orjson
from rest_framework import serializers

from sessions_app.engines.aliases import MODEL_NAME

MAX_METADATA_BYTES = 16 * 1024
MAX_TEXTS = 200
BLOCK_TYPES = ("text", "image", "document")
SOURCES = {
    "base64": ("media_type", "data"),
    "url": ("url",),
    "file": ("file_id",),
    "text": ("media_type", "data"),
    "content": ("content",),
}
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
MAX_BLOCKS = 1000


class AnyObject(serializers.Field):  # type: ignore[type-arg]
    """An object, whatever is in it: nobody looks."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The object."""
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be an object.")
        return data

    def to_representation(self, value: Any) -> Any:
        """As it was given."""
        return value


class Metadata(AnyObject):
    """An object of at most 16 KiB, kept and returned as it is."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The object."""
        metadata = super().to_internal_value(data)
        if len(orjson.dumps(metadata)) > MAX_METADATA_BYTES:
            raise serializers.ValidationError("Must be at most 16 KiB of JSON.")
        if _has_huge_number(metadata):
            raise serializers.ValidationError("Numbers must fit into 64 bits.")
        return metadata


def _has_huge_number(value: Any) -> bool:
    """Whether it holds a number that was, or would be, rounded on its way."""
    if isinstance(value, dict | list):
        return any(map(_has_huge_number, value.values() if isinstance(value, dict) else value))
    # An integer that fits is one; a longer one has become a float.
    return isinstance(value, float) and not -(2**63) < value < 2**64


class StrictBoolean(serializers.BooleanField):
    """true or false; nothing else stands for them."""

    def to_internal_value(self, data: Any) -> bool:
        """The value; the numbers 1 and 0 compare equal to it but are refused."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class QueryBoolean(serializers.BooleanField):
    """true or false in a query."""

    TRUE_VALUES: ClassVar[set[Any]] = {"true", "1"}  # type: ignore[misc]
    FALSE_VALUES: ClassVar[set[Any]] = {"false", "0"}  # type: ignore[misc]
    NULL_VALUES: ClassVar[set[Any]] = set()  # type: ignore[misc]


class StrictInteger(serializers.IntegerField):
    """A whole number; in a JSON body not a text, a fraction or a boolean."""

    def to_internal_value(self, data: Any) -> int:
        """The value."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class QueryInteger(serializers.IntegerField):
    """A whole number in a query: digits, nothing else."""

    def to_internal_value(self, data: Any) -> int:
        """The value; a fraction, a plus or a space are none."""
        if not (isinstance(data, str) and data.isascii() and data.removeprefix("-").isdigit()):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictText(serializers.CharField):
    """A text, kept as it is; numbers are not turned into one, blank ones need `allow_blank`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """The value; white space alone is as good as nothing."""
        if isinstance(data, str) and not self.allow_blank and not data.strip():
            self.fail("blank")
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        """The value."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ModelName(StrictText):
    """The id of a model, or a short name for one."""

    default_error_messages: ClassVar = {"name": "Not the name of a model."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=128, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        """The name."""
        name = super().to_internal_value(data)
        if not re.fullmatch(MODEL_NAME, name):
            self.fail("name")
        return name


class StrictUuid(serializers.UUIDField):
    """A UUID in its usual spelling."""

    def to_internal_value(self, data: Any) -> UUID:
        """The value; numbers and other spellings are none."""
        if not isinstance(data, str) or len(data) != 36:
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class Money(serializers.DecimalField):
    """US dollars as a decimal string."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": 'Must be a decimal string such as "0.50".'
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=14, decimal_places=8, **kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        """The value; a JSON number would have been rounded to binary before we see it."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Prompt(serializers.Field):  # type: ignore[type-arg]
    """A text, or a list of Messages API content blocks; becomes a list of blocks."""

    default_error_messages: ClassVar[dict[str, Any]] = {
        "invalid": "Must be a text or a list of content blocks.",
        "empty": "Must not be empty.",
        "long": "Must be at most {limit} content blocks.",
    }

    def to_internal_value(self, data: Any) -> list[dict[str, Any]]:
        """The content blocks."""
        if isinstance(data, str):
            if not data.strip():
                self.fail("empty")
            data = [{"type": "text", "text": data}]
        if not isinstance(data, list):
            self.fail("invalid")
        if len(data) > MAX_BLOCKS:
            self.fail("long", limit=MAX_BLOCKS)
        for at, block in enumerate(data):
            self._check(at, block)
        if not data:
            self.fail("empty")
        return data

    def _check(self, at: int, block: Any) -> None:
        if not isinstance(block, dict) or block.get("type") not in BLOCK_TYPES:
            raise serializers.ValidationError(
                f"Block {at} must be an object of type {', '.join(BLOCK_TYPES)}."
            )
        if block["type"] == "text":
            text = block.get("text")
            # The upstream refuses blank ones, and would do so for ever once one is in the history.
            if not isinstance(text, str) or not text.strip():
                raise serializers.ValidationError(f"Block {at} needs a text that is not empty.")
        elif problem := _problem_of_source(block.get("source")):
            raise serializers.ValidationError(f"Block {at} needs a source {problem}.")

    def to_representation(self, value: Any) -> Any:
        """As it was given."""
        return value


def _problem_of_source(source: Any) -> str:
    """What an image's or a document's source lacks, or nothing."""
    kind = source.get("type") if isinstance(source, dict) else None
    needed = SOURCES.get(kind) if isinstance(kind, str) else None
    if needed is None:
        return f"object of type {', '.join(SOURCES)}"
    for name in needed:
        value = source.get(name)
        if not value or not isinstance(value, list if name == "content" else str):
            return f"with {name}"
    if kind == "base64" and not is_base64(source["data"]):
        return "whose data is base64"
    return ""


def is_base64(text: str) -> bool:
    """Whether it is base64 with its padding, and nothing else.

    As the pattern in the OpenAPI document says; but a pattern takes most of a second for an
    attachment of 10 MiB, and no other thread runs meanwhile.
    """
    unpadded = text.rstrip("=")
    padded_right = len(text) % 4 == 0 and len(text) - len(unpadded) <= 2
    return padded_right and text.isascii() and not unpadded.encode().translate(None, BASE64)


class TextList(serializers.ListField):
    """A list of texts."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=StrictText(max_length=500), max_length=MAX_TEXTS, **kwargs)

    def to_internal_value(self, data: Any) -> list[Any]:
        """The texts; of a list that is too long none is looked at."""
        if isinstance(data, list) and len(data) > MAX_TEXTS:
            self.fail("max_length", max_length=MAX_TEXTS)
        return super().to_internal_value(data)
