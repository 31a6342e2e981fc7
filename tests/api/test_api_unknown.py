"""What nobody knows is refused by name, wherever it stands."""

from __future__ import annotations

import pytest

from tests.api.caller import Caller, ok, wrong_fields


def test_an_unknown_query_parameter_is_named_on_every_route(alice: Caller, session: str) -> None:
    run = alice.say(session)["runId"]
    for path in ("/me", "/models", session, f"{session}/runs/{run}", f"{session}/runs"):
        assert wrong_fields(alice.get(path, colour="red")) == {"colour"}, path
    for path in ("/sessions", *(f"{session}/{at}" for at in ("messages", "stream", "fork"))):
        answer = alice.post(path, {"prompt": "hello"} if "m" in path[-8:] else {}, colour="red")
        assert wrong_fields(answer) == {"colour"}, path
    assert len(ok(alice.get(f"{session}/runs"))["runs"]) == 1


@pytest.mark.parametrize("path", ["cancel", "tickets"])
def test_an_unknown_field_is_named_where_there_are_none(
    alice: Caller, session: str, path: str
) -> None:
    assert wrong_fields(alice.post(f"{session}/{path}", {"colour": "red"})) == {"colour"}


@pytest.mark.parametrize("path", ["messages", "stream"])
def test_a_stream_that_a_post_begins_may_be_without_deltas(
    alice: Caller, session: str, path: str
) -> None:
    body = {"prompt": "hello", **({"stream": True} if path == "messages" else {})}
    heard = alice.post(f"{session}/{path}", body, partial="false").text
    assert "event: complete" in heard
    assert "stream_event" not in heard


def test_the_names_of_a_message_are_known_to_the_stream_too(alice: Caller, session: str) -> None:
    for said in ("true", "false"):
        query = {"prompt": "hello", "stream": said, "background": "false"}
        assert "event: complete" in alice.get(f"{session}/stream", **query).text
    answer = alice.get(f"{session}/stream", prompt="hello", background="true")
    assert wrong_fields(answer) == {"background"}
