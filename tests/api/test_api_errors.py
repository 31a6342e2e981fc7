"""What is wrong with a request is said in one shape, by field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessions_app.api.schema_fields import BASE64
from sessions_app.api.wire_fields import is_base64
from tests.api.caller import NOWHERE, Caller, created, ok, refused, wrong_fields

JSON = {"Content-Type": "application/json"}
ENTRANCES = ["/sessions", f"/sessions/{NOWHERE}/messages", f"/sessions/{NOWHERE}/stream"]


@pytest.mark.parametrize("path", ENTRANCES)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "INVALID_JSON"),
        (b"{'a': 1}", "INVALID_JSON"),
        (b'{"prompt": NaN}', "INVALID_JSON"),
        (b'\xff\xfe{"a": 1}', "INVALID_JSON"),
        (b'{"prompt": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", "INVALID_JSON"),
        (b'{"metadata": ' + b'{"a":' * 150 + b"1" + b"}" * 151, "INVALID_JSON"),
        (b"[]", "INVALID_REQUEST"),
        (b'"text"', "INVALID_REQUEST"),
        (b"null", "INVALID_REQUEST"),
        (b'{"prompt": "a\\u0000b"}', "INVALID_REQUEST"),
        (b'{"prompt": "\\ud800"}', "INVALID_REQUEST"),
        (b'{"metadata": {"\\udfff": 1}}', "INVALID_REQUEST"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(
    alice: Caller, path: str, body: bytes, code: str
) -> None:
    refused(alice("POST", path, data=body, headers=JSON), 400, code)


@pytest.mark.parametrize("path", ENTRANCES)
def test_only_json_comes_in(alice: Caller, path: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = alice("POST", path, data=b'{"prompt":"x"}', headers={"Content-Type": kind})
        refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    charset = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = alice("POST", path, data=b'{"nope":"x"}', headers=charset)
    assert "nope" in wrong_fields(answer)


@pytest.mark.parametrize("path", ENTRANCES)
def test_a_body_beyond_the_bound_is_refused(alice: Caller, path: str) -> None:
    big = b'{"prompt": "' + b"x" * (11 * 2**20) + b'"}'
    refused(alice("POST", path, data=big, headers=JSON), 413, "PAYLOAD_TOO_LARGE")

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(big), 2**18):
            yield big[start : start + 2**18]

    refused(alice("POST", path, data=chunks(), headers=JSON), 413, "PAYLOAD_TOO_LARGE")


def test_a_body_in_chunks_is_read_like_any_other(alice: Caller) -> None:
    answer = alice("POST", "/sessions", data=iter([b'{"title":', b'"chunked"}']), headers=JSON)
    assert created(answer)["title"] == "chunked"
    answer = alice("POST", "/sessions", data=iter([b'{"nope":', b"1}"]), headers=JSON)
    assert wrong_fields(answer) == {"nope"}


def test_an_empty_body_is_an_empty_object(alice: Caller, session: str) -> None:
    created(alice("POST", "/sessions"))
    assert wrong_fields(alice("POST", f"{session}/messages")) == {"prompt"}


@pytest.mark.parametrize(
    "field",
    [
        {"engine": "gpt"}, {"engine": 1}, {"engine": None}, {"engine": ["messages"]},
        {"model": 5}, {"model": ""}, {"model": "  "}, {"model": "x" * 129}, {"model": None},
        {"title": 7}, {"title": "x" * 201}, {"title": None}, {"title": True},
        {"systemPrompt": ["x"]}, {"appendSystemPrompt": {}},
        {"permissionMode": "root"}, {"permissionMode": True},
        {"maxTurns": 0}, {"maxTurns": 101}, {"maxTurns": "5"}, {"maxTurns": True},
        {"maxTurns": 1.5}, {"maxTurns": 5.0}, {"maxTurns": 10**40}, {"maxTurns": None},
        {"timeout": -1}, {"timeout": 0}, {"timeout": "1000"}, {"timeout": 2**63},
        {"maxBudgetUsd": 1}, {"maxBudgetUsd": 0.5}, {"maxBudgetUsd": "x"}, {"maxBudgetUsd": "0"},
        {"maxBudgetUsd": "-1"}, {"maxBudgetUsd": "NaN"}, {"maxBudgetUsd": "Infinity"},
        {"maxBudgetUsd": "0.123456789"}, {"maxBudgetUsd": "1e30"},
        {"metadata": []}, {"metadata": "x"}, {"metadata": None},
        {"metadata": {"k": "x" * 16384}}, {"metadata": {"k": "\u00e4" * 8192}},
        {"allowedTools": "Read"}, {"allowedTools": [1]}, {"disallowedTools": {}},
        {"resume": 1}, {"resume": ""}, {"fork": 1}, {"fork": "true"}, {"fork": True},
        {"sessionId": NOWHERE}, {"Title": "x"}, {"__proto__": {}},
    ],
    ids=lambda field: json.dumps(field)[:40],
)  # fmt: skip
def test_a_wrong_field_of_a_new_session_is_named(alice: Caller, field: dict[str, Any]) -> None:
    named = {name.split(".")[0] for name in wrong_fields(alice.post("/sessions", field))}
    assert named == set(field)


def test_all_wrong_fields_are_named_at_once(alice: Caller) -> None:
    wrong = {"title": 1, "maxTurns": "x", "nope": 1, "metadata": []}
    assert wrong_fields(alice.post("/sessions", wrong)) == set(wrong)
    assert wrong_fields(alice("PATCH", alice.session(), wrong)) == set(wrong)


def test_of_a_list_that_is_too_long_no_element_is_looked_at(alice: Caller) -> None:
    for wrong in ("Read", 1):
        answer = alice.post("/sessions", {"allowedTools": [wrong] * 50_000})
        assert wrong_fields(answer) == {"allowedTools"}


def test_metadata_of_just_16_kib_is_kept(alice: Caller) -> None:
    metadata = {"k": "x" * (16384 - len('{"k":""}'))}
    assert created(alice.post("/sessions", {"metadata": metadata}))["metadata"] == metadata


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}


@pytest.mark.parametrize(
    "prompt",
    [
        "", " \n\t", None, 5, True, {}, {"type": "text", "text": "x"}, [], ["x"], [[]],
        [{"type": "text"}], [{"type": "text", "text": ""}], [{"type": "text", "text": 5}],
        [{"type": "text", "text": " "}, IMAGE],
        [{"type": "tool_result", "tool_use_id": "x"}], [{"type": []}], [{"text": "x"}],
        [{"type": "image"}], [{"type": "image", "source": "x"}],
        [{"type": "image", "source": {"type": "base64", "data": "aGk="}}],
        [{"type": "image", "source": {**IMAGE["source"], "data": "not base64!"}}],  # type: ignore[dict-item]
        [{"type": "document", "source": {"type": "path", "path": "/etc/passwd"}}],
        [{"type": "document", "source": {"type": "url", "url": 5}}],
    ],
    ids=lambda prompt: json.dumps(prompt)[:50],
)  # fmt: skip
def test_a_prompt_that_says_nothing_is_refused(
    alice: Caller, message_session: str, prompt: Any
) -> None:
    body = {"prompt": prompt}
    for path in ("messages", "stream"):
        assert wrong_fields(alice.post(f"{message_session}/{path}", body)) == {"prompt"}


@given(st.one_of(st.text("aZ09+/=", max_size=12), st.text(max_size=6)))
@example("a\nb=").via("ends of lines are none of it")
@example("\ud800aa=").via("no text at all")
def test_base64_is_what_the_openapi_document_says(text: str) -> None:
    assert is_base64(text) is bool(re.fullmatch(BASE64["pattern"].strip("^$"), text))


@pytest.fixture
def message_session(alice: Caller) -> str:
    return alice.session()


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ({"stream": 1}, "stream"),
        ({"stream": "true"}, "stream"),
        ({"background": None}, "background"),
        ({"stream": True, "background": True}, "background"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"onBusy": "wait"}, "onBusy"),
        ({"onDisconnect": 1}, "onDisconnect"),
        ({"model": "x"}, "model"),
    ],
)
def test_a_wrong_field_of_a_message_is_named(
    alice: Caller, session: str, field: dict[str, Any], named: str
) -> None:
    answer = alice.post(f"{session}/messages", {"prompt": "x", **field})
    assert wrong_fields(answer) == {named}
    assert ok(alice.get(session))["messageCount"] == 0


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("/messages", {"limit": "0"}, "limit"),
        ("/messages", {"limit": "1001"}, "limit"),
        ("/messages", {"offset": "-1"}, "offset"),
        ("/messages", {"offset": "x"}, "offset"),
        ("/messages", {"order": "desc"}, "order"),
        ("/runs", {"limit": "0"}, "limit"),
        ("/runs", {"cursor": "x"}, "cursor"),
        ("/runs", {"offset": "1"}, "offset"),
        ("/events", {"after": "-1"}, "after"),
        ("/events", {"after": "9" * 30}, "after"),
        ("/events", {"limit": "x"}, "limit"),
        ("/events", {"since": "1"}, "since"),
        ("/approvals", {"status": "denied"}, "status"),
        ("/stream", {"after": "x"}, "after"),
        ("/stream", {"after": "99999"}, "after"),
        ("/stream", {"partial": "maybe"}, "partial"),
        ("/stream", {"prompt": ""}, "prompt"),
        ("/stream", {"nope": "1"}, "nope"),
    ],
)
def test_a_wrong_query_is_named(
    alice: Caller, session: str, path: str, query: dict[str, str], named: str
) -> None:
    assert wrong_fields(alice.get(session + path, **query)) == {named}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"groupBy": "hour"}, "groupBy"),
        ({"from": "yesterday"}, "from"),
        ({"to": "0001-01-01"}, "to"),
        ({"to": "9999-12-31T23:59:59Z"}, "to"),
        ({"from": "0001-01-01"}, "from"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "from"),
        ({"until": "x"}, "until"),
    ],
)
def test_a_wrong_query_for_usage_is_named(alice: Caller, query: dict[str, str], named: str) -> None:
    assert wrong_fields(alice.get("/usage", **query)) == {named}


def test_runs_and_approvals_that_are_not_there_have_codes_of_their_own(
    alice: Caller, session: str
) -> None:
    for name in (NOWHERE, "x", "%00"):
        refused(alice.get(f"{session}/runs/{name}"), 404, "RUN_NOT_FOUND")
        answer = alice.post(f"{session}/approvals/{name}", {"decision": "allow"})
        refused(answer, 404, "APPROVAL_NOT_FOUND")
