"""What every route refuses by query and headers, before it looks at anything else."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from tests.api.caller import Caller, ok, refused, wrong_fields


@pytest.mark.parametrize("path", ["/stream", "/messages", "/events", ""])
def test_a_query_that_no_database_keeps_is_refused(alice: Caller, session: str, path: str) -> None:
    where = f"{session}{path}"
    assert wrong_fields(alice.get(f"{where}?prompt=a%00b")) == {"prompt"}
    refused(alice.get(f"{where}?prompt=%ff"), 400, "INVALID_REQUEST")
    assert ok(alice.get(f"{session}/runs"))["runs"] == []


def test_a_format_is_a_parameter_like_any_other(alice: Caller, session: str) -> None:
    for path in ("/sessions", "/me", session, f"{session}/runs", f"{session}/messages"):
        assert wrong_fields(alice.get(path, format="xml")) == {"format"}


def test_a_cursor_that_no_event_has_yet_is_refused(alice: Caller, session: str) -> None:
    alice.say(session)
    last = ok(alice.get(session))["lastEventId"]
    assert ok(alice.get(f"{session}/events", after=last))["events"] == []
    assert wrong_fields(alice.get(f"{session}/events", after=last + 10_000)) == {"after"}


def test_what_is_sent_by_a_query_has_no_cursor(alice: Caller, session: str) -> None:
    assert wrong_fields(alice.get(f"{session}/stream", prompt="hello", after=0)) == {"after"}


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"background": True}])
def test_a_message_is_refused_whose_answer_the_client_does_not_take(
    alice: Caller, session: str, fields: dict[str, Any]
) -> None:
    body = {"prompt": "hello", **fields}
    for path in ("messages", "stream"):
        answer = alice.post(f"{session}/{path}", body, headers={"Accept": "text/xml, image/*"})
        refused(answer, 406, "NOT_ACCEPTABLE")
    assert ok(alice.get(f"{session}/runs"))["runs"] == []


@pytest.mark.parametrize("accept", ["", "*/*", "text/xml, application/json;q=0.5", "text/*"])
def test_whoever_takes_json_or_a_stream_is_answered(
    alice: Caller, session: str, accept: str
) -> None:
    for path in (session, "/models", "/sessions"):
        assert alice.get(path, headers={"Accept": accept}).status_code == 200
    answer = alice.post(f"{session}/messages", {"prompt": "hello"}, headers={"Accept": accept})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/sessions", "{session}/messages", "{session}/cancel"])
def test_a_compressed_body_is_refused(alice: Caller, session: str, path: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    where = path.format(session=session)
    answer = alice("POST", where, data=gzip.compress(b"{}"), headers=headers)
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_an_answer_without_content_has_no_length(alice: Caller, session: str) -> None:
    answer = alice("DELETE", session)
    assert answer.status_code == 204
    assert "content-length" not in answer.headers


def test_metadata_with_a_number_that_would_be_rounded_is_refused(alice: Caller) -> None:
    for number in ("18446744073709551617", "-9223372036854775809", "1e30"):
        body = f'{{"metadata": {{"a": [{{"b": {number}}}]}}}}'
        answer = alice("POST", "/sessions", data=body, headers={"Content-Type": "application/json"})
        assert wrong_fields(answer) == {"metadata"}
    session = alice.session(metadata={"a": 2**63 - 1, "b": -(2**63), "c": 0.25, "d": True})
    assert ok(alice.get(session))["metadata"]["a"] == 2**63 - 1


def test_a_denied_call_has_no_input(alice: Caller, session: str) -> None:
    decision = {"decision": "deny", "updatedInput": {}}
    answer = alice.post(f"{session}/approvals/{'0' * 8}", decision)
    assert wrong_fields(answer) == {"updatedInput"}
