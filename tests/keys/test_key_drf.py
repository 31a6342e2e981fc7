"""Keys in REST views: one count a request, rate headers on answers and errors alike."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from structlog.contextvars import clear_contextvars, get_contextvars

from claudeapi.core.errors import SessionNotFound
from keys_app import limits, scopes
from keys_app.drf import KeyApiView, key_of, scope

pytestmark = pytest.mark.django_db

RATE = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


class Things(KeyApiView, APIView):
    permission_classes = (scope(scopes.USAGE_READ, write=scopes.ADMIN),)

    def get(self, request: Request) -> Response:
        if "missing" in request.query_params:
            raise SessionNotFound.of("x")
        if "broken" in request.query_params:
            raise ZeroDivisionError
        return Response({"name": key_of(request).name, "user": str(request.user)})

    def post(self, request: Request) -> Response:
        return Response({"got": request.data})


def ask(method: str = "get", query: str = "", **headers: str) -> tuple[Any, dict[str, Any]]:
    make = getattr(APIRequestFactory(), method)
    answer = Things.as_view()(make(f"/api/v1/things{query}", headers=headers))
    if isinstance(answer, Response):
        answer.render()
    return answer, orjson.loads(answer.content)


def test_a_view_knows_its_key(alice: Any) -> None:
    answer, body = ask(**{"x-api-key": alice.text})
    assert answer.status_code == 200
    assert body == {"name": "Alice", "user": alice.key.prefix}
    assert [answer[name] for name in RATE[:2]] == ["1000", "999"]


@pytest.mark.parametrize(("query", "status"), [("?missing", 404), ("?broken", 500), ("", 200)])
def test_rate_headers_are_on_every_authenticated_answer(
    alice: Any, query: str, status: int
) -> None:
    answer, _ = ask(query=query, **{"x-api-key": alice.text})
    assert answer.status_code == status
    assert all(answer[name] for name in RATE)


@pytest.mark.parametrize("method", ["get", "post", "put", "options"])
def test_every_request_counts_exactly_once(issue: Any, method: str) -> None:
    key, text = issue(scopes=["admin"], rate_limit=10)
    ask(method, **{"x-api-key": text})
    assert limits.peek(key).remaining == 9


def test_the_request_over_the_limit_is_429_with_its_headers(issue: Any) -> None:
    text = issue(rate_limit=1).text
    ask(**{"x-api-key": text})
    answer, body = ask(**{"x-api-key": text})
    assert (answer.status_code, body["error"]["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert answer["X-RateLimit-Remaining"] == "0"
    assert int(answer["Retry-After"]) >= 1


def test_a_missing_scope_is_403_and_counted(alice: Any) -> None:
    answer, body = ask("post", **{"x-api-key": alice.text})
    assert (answer.status_code, body["error"]["code"]) == (403, "INSUFFICIENT_SCOPE")
    assert body["error"]["details"]["required"] == "admin"
    assert answer["X-RateLimit-Remaining"] == "999"


@pytest.mark.parametrize(
    ("headers", "code"),
    [({}, "MISSING_API_KEY"), ({"x-api-key": "junk"}, "INVALID_API_KEY")],
)
def test_without_a_valid_key_it_is_401_with_a_challenge(headers: dict[str, str], code: str) -> None:
    answer, body = ask(**headers)
    assert (answer.status_code, body["error"]["code"]) == (401, code)
    assert answer["WWW-Authenticate"] == 'Bearer realm="claudeapi"'
    assert not any(answer.has_header(name) for name in RATE)


def test_a_key_in_the_query_string_opens_nothing(alice: Any) -> None:
    for name in ("api_key", "x-api-key", "key", "token"):
        answer, _ = ask(query=f"?{name}={alice.text}")
        assert answer.status_code == 401


def test_failed_credentials_count_once_a_request() -> None:
    for _ in range(30):
        assert ask(**{"x-api-key": "junk"})[0].status_code == 401
    answer, body = ask(**{"x-api-key": "junk"})
    assert (answer.status_code, body["error"]["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert answer["Retry-After"]


def test_logs_of_a_request_name_the_keys_prefix(alice: Any) -> None:
    clear_contextvars()
    ask(**{"x-api-key": alice.text})
    assert get_contextvars()["key"] == alice.key.prefix
    clear_contextvars()
