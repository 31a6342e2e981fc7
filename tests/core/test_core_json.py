"""Request bodies: JSON as strict as what is behind needs it."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import ExitStack, suppress
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudeapi.core import json_body
from claudeapi.core.errors import InvalidJson, InvalidRequest
from claudeapi.core.json_body import MAX_DEPTH, MAX_VALUES, parse_json

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))
objects = st.dictionaries(
    texts,
    st.recursive(
        st.none() | st.booleans() | texts | st.integers(-(2**63), 2**63 - 1),
        lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    ),
)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def depth_of(value: object) -> int:
    inner = inside(value)
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def values_of(value: object) -> int:
    """Those inside; an empty list or object counts for what could be."""
    inner = inside(value)
    return 0 if inner is None else max(1, len(inner)) + sum(map(values_of, inner))


def inside(value: object) -> list[object] | None:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else None


@settings(max_examples=40)
@given(objects)
def test_what_json_can_say_comes_through(value: dict[str, object]) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_published_error(body: bytes) -> None:
    with suppress(InvalidJson, InvalidRequest):
        assert isinstance(parse_json(body), dict)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nope",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1,}',
        b'{"a": "\xff"}',
        b'{"a": "\x00"}',
        b'{"a": "\\ud8"}',
        nested(MAX_DEPTH + 1),
        b"[" * 100_000,
        b'{"a": "\\ud800"' + b"[" * 100_000,
    ],
)
def test_what_is_not_json_we_accept(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse_json(body)


WIDE = [b'{"a": [' + b",".join([b"{}"] * MAX_VALUES) + b"]}"]
WIDE += [b"{" + b",".join([b'"a": ""'] * (MAX_VALUES + at)) + b"}" for at in (1, MAX_VALUES)]


@pytest.mark.parametrize("body", [*WIDE, b"[" * 10**6, b'{"a": "' + b'","' * 10**6 + b'"}'])
def test_what_has_too_many_values_is_refused_before_they_are_made(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr(json_body, "_parsed", parsed.append)
    with pytest.raises(InvalidJson):
        parse_json(body)
    assert not parsed


@settings(max_examples=40)
@given(objects)
def test_depth_and_values_are_counted_past_any_text(value: dict[str, object]) -> None:
    body = json.dumps(value).encode()
    for name, measured in (("MAX_DEPTH", depth_of(value)), ("MAX_VALUES", values_of(value))):
        for limit in (measured - 1, measured):
            with patch.object(json_body, name, limit), ExitStack() as stack:
                if limit < measured:
                    stack.enter_context(pytest.raises(InvalidJson))
                assert parse_json(body) == value


def test_a_long_name_over_many_values_takes_no_more_than_its_length() -> None:
    name = "n" * 2**20
    body = json.dumps({name: [0] * 1000 + ["\x00"]}).encode()
    tracemalloc.start()
    with pytest.raises(InvalidRequest) as refused:
        parse_json(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert list(refused.value.details["fields"]) == [f"{'n' * 200}.1000"]
    assert peak < 64 * len(body)


def test_a_text_may_be_full_of_brackets() -> None:
    text = '[{"\\' * MAX_VALUES
    assert parse_json(json.dumps({text: [text, text + "\\"]}).encode()) == {
        text: [text, text + "\\"]
    }


def test_nesting_up_to_the_bound_is_accepted() -> None:
    assert parse_json(nested(MAX_DEPTH))


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_an_empty_object(body: bytes) -> None:
    assert parse_json(body) == {}


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"text"', b'[{"a": "\\u0000"}]'])
def test_only_objects_are_bodies(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"prompt": "a\\u0000b"}', "prompt"),
        (b'{"metadata": {"a": ["ok", "\\u0000"]}}', "metadata.a.1"),
        (b'{"k\\u0000": 1}', "k"),
        (b'{"prompt": "\\ud800"}', "prompt"),
        (b'{"metadata": {"\\udc00": 1}}', "metadata.\\udc00"),
        (b'{"prompt": "\\ud83d\\ude00 \\ude00"}', "prompt"),
    ],
)
def test_texts_that_no_database_keeps_are_refused_by_name(body: bytes, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_json(body)
    assert list(refused.value.details["fields"]) == [field]


@pytest.mark.parametrize("body", [b'{"a": "\\\\u0000"}', b'{"a": "\\ud83d\\ude00"}'])
def test_what_only_looks_like_such_a_text_is_accepted(body: bytes) -> None:
    assert parse_json(body) == json.loads(body)
