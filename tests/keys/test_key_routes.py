"""Which routes need a key: `requireAuth` patterns cannot be escaped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudeapi.core.route_pattern import parse_pattern
from keys_app.routes import needs_key

MESSAGES = ("POST /sessions/:id/messages",)
PATH = "/api/v1/sessions/5f0c/messages"


def test_without_patterns_every_route_needs_a_key() -> None:
    assert needs_key(None, "GET", "/api/v1/models")
    assert needs_key(None, "GET", "/elsewhere")


def test_an_empty_list_leaves_every_route_open() -> None:
    assert not needs_key((), "POST", PATH)


@pytest.mark.parametrize(
    ("pattern", "method", "path", "needed"),
    [
        ("POST /sessions/:id/messages", "POST", PATH, True),
        ("POST /sessions/:id/messages", "GET", PATH, False),
        ("POST /sessions/:id/messages", "POST", "/api/v1/sessions", False),
        ("POST /sessions/:id/messages", "POST", "/api/v1/sessions/a/b/messages", False),
        ("post /Sessions/:id/Messages/", "POST", PATH, True),
        ("POST /api/v1/sessions/:id/messages", "POST", PATH, True),
        ("POST /API/V1/sessions/:id/messages", "POST", PATH, True),
        ("POST /api/v1", "POST", "/api/v1/", True),
        ("GET /api/v1x/sessions", "GET", "/api/v1/x/sessions", False),
        ("GET /sessions", "HEAD", "/api/v1/sessions", True),
        ("GET /sessions", "OPTIONS", "/api/v1/sessions", True),
        ("GET /sessions", "BREW", "/api/v1/sessions", True),
        ("* /sessions", "DELETE", "/api/v1/sessions", True),
        ("/sessions", "PATCH", "/api/v1/sessions", True),
        ("* /sessions/*", "GET", "/api/v1/sessions/a/b/c", True),
        ("* /sessions/*", "GET", "/api/v1/sessions", True),
        ("* /sessions/*", "GET", "/api/v1/models", False),
        ("* /*", "GET", "/api/v1/models", True),
    ],
)
def test_patterns_match_as_documented(pattern: str, method: str, path: str, needed: bool) -> None:
    assert needs_key((pattern,), method, path) is needed


@pytest.mark.parametrize(
    "path",
    [
        PATH.upper(), PATH + "/", PATH + "//", "/" + PATH, PATH.replace("/sessions", "//sessions"),
        PATH.replace("sessions", "%73essions"), PATH.replace("/messages", "%2Fmessages"),
        PATH.replace("sessions", "sess%69ons"), PATH.replace("sessions", "%2573essions"),
        PATH + ";a=b", PATH.replace("sessions", "sessions;x"), PATH + "%00", PATH + "\0",
        PATH.replace("/sessions", "/./sessions"), PATH.replace("/sessions", "/x/../sessions"),
        PATH.replace("/sessions", "/%2e%2e/v1/sessions"), PATH.replace("/", "\\"), PATH + " ",
        PATH + "\t", PATH + "?x", PATH + "#x", "\N{LATIN SMALL LETTER LONG S}".join(
            PATH.split("s", 1)), PATH[1:], "", "/", "/ws/v1/sessions/5f0c",
    ],
)  # fmt: skip
def test_no_spelling_of_a_protected_route_escapes(path: str) -> None:
    assert needs_key(MESSAGES, "POST", path)


@given(st.data())
def test_random_respellings_of_a_protected_route_need_a_key(data: st.DataObject) -> None:
    spelled = [_respelled(data, character) for character in PATH]
    tail = data.draw(st.sampled_from(["", "/", "//", ";x=y", "%2f", "/.", "/./"]))
    method = data.draw(st.sampled_from(["POST", "post", "Post", "pOsT"]))
    assert needs_key(MESSAGES, method, "".join(spelled) + tail)


@given(st.text(max_size=60))
def test_whatever_is_not_a_plain_path_needs_a_key(text: str) -> None:
    assert needs_key(MESSAGES, "POST", f"/api/v1/{text}%{text}")


@pytest.mark.parametrize(
    "pattern", ["", "sessions", "FETCH /sessions", "GET sessions", "GET /a b", "GET /a/*/b", "GET"]
)
def test_a_wrong_pattern_is_refused_with_what_is_allowed(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"write METHOD|is not a"):
        parse_pattern(pattern)


def _respelled(data: st.DataObject, character: str) -> str:
    ways = [character, character.upper(), f"%{ord(character):02x}", f"%25{ord(character):02X}"]
    if character == "/":
        ways += ["//", "/./", "/x/../"]
    return data.draw(st.sampled_from(ways))
