"""DRF's edges: every exception in the envelope, strict bodies, JSON as on the wire."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpResponse
from rest_framework import exceptions, serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from claudeapi.core import errors
from claudeapi.core.drf import JSONRenderer, StrictSerializer


class Inner(StrictSerializer):
    number = serializers.IntegerField()


class Outer(StrictSerializer):
    prompt = serializers.CharField()
    made = serializers.CharField(read_only=True)
    inner = Inner(required=False)
    numbers = serializers.ListField(child=serializers.IntegerField(), required=False)
    colour = serializers.ChoiceField(("red", "blue"), required=False)


class View(APIView):
    permission_classes = (AllowAny,)
    raises: Exception | None = None

    def post(self, request: Request) -> Response:
        if self.raises is not None:
            raise self.raises
        serializer = Outer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(serializer.validated_data)


def post(body: bytes = b"{}", *, raises: Any = None, **extra: Any) -> HttpResponse:
    content_type = extra.pop("content_type", "application/json")
    request = APIRequestFactory(raise_request_exception=False).generic(
        extra.pop("method", "POST"), "/", body, content_type, **extra
    )
    response = View.as_view(raises=raises)(request)
    return response.render() if hasattr(response, "render") else response


def error(response: HttpResponse) -> tuple[int, str]:
    envelope = orjson.loads(response.content)
    assert set(envelope) == {"error", "timestamp", "requestId"}
    return response.status_code, envelope["error"]["code"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (exceptions.ParseError(), (400, "INVALID_JSON")),
        (exceptions.NotAuthenticated(), (401, "MISSING_API_KEY")),
        (exceptions.AuthenticationFailed(), (401, "INVALID_API_KEY")),
        (exceptions.PermissionDenied(), (403, "INSUFFICIENT_SCOPE")),
        (PermissionDenied(), (403, "INSUFFICIENT_SCOPE")),
        (exceptions.NotFound(), (404, "NOT_FOUND")),
        (Http404(), (404, "NOT_FOUND")),
        (exceptions.NotAcceptable(), (406, "NOT_ACCEPTABLE")),
        (exceptions.UnsupportedMediaType("x"), (415, "UNSUPPORTED_MEDIA_TYPE")),
        (exceptions.Throttled(3), (429, "RATE_LIMIT_EXCEEDED")),
        (OperationalError("password=hunter2"), (503, "UNAVAILABLE")),
        (errors.SessionBusy(details={"runId": "r"}), (409, "SESSION_BUSY")),
        (RuntimeError("hunter2"), (500, "INTERNAL_ERROR")),
    ],
)
def test_every_exception_is_a_published_error(raised: Exception, expected: Any) -> None:
    response = post(raises=raised)
    assert error(response) == expected
    assert b"hunter2" not in response.content
    assert ("WWW-Authenticate" in response) is (expected[0] == 401)
    assert ("Retry-After" in response) is (expected[0] in (429, 503))


def test_wrong_fields_are_named_all_at_once_by_their_path() -> None:
    body = {"inner": {"number": "x", "more": 1}, "numbers": [1, "x"], "made": "a", "what": 1}
    response = post(orjson.dumps(body))
    assert error(response) == (400, "INVALID_REQUEST")
    fields = orjson.loads(response.content)["error"]["details"]["fields"]
    assert set(fields) == {"prompt", "inner.number", "inner.more", "numbers.1", "made", "what"}
    assert fields["what"] == ["This field is not known."]


def test_of_very_many_unknown_fields_some_are_named_and_the_rest_are_counted() -> None:
    names = [f"name{n}" for n in range(30_000)]
    response = post(orjson.dumps(dict.fromkeys(names, 1)))
    assert error(response) == (400, "INVALID_REQUEST")
    fields = orjson.loads(response.content)["error"]["details"]["fields"]
    assert set(fields) == {"prompt", *names[:20], "body"}
    assert fields["body"] == ["Not known either: 29980 more."]
    assert len(response.content) < 4096


def test_of_very_many_wrong_fields_the_first_are_told() -> None:
    response = post(orjson.dumps({"prompt": "a", "numbers": ["x"] * 1000}))
    told = orjson.loads(response.content)["error"]
    assert list(told["details"]["fields"]) == [f"numbers.{at}" for at in range(50)]
    assert told["message"].endswith("(and 999 more)")


@pytest.mark.parametrize("body", [{"x" * 100_000: 1}, {"colour": "x" * 100_000}])
def test_what_was_sent_is_not_repeated_at_length(body: dict[str, Any]) -> None:
    response = post(orjson.dumps({"prompt": "a", **body}))
    assert error(response) == (400, "INVALID_REQUEST")
    assert len(response.content) < 4096


def test_a_method_that_is_not_there_names_those_that_are() -> None:
    response = post(method="PUT")
    assert error(response) == (405, "METHOD_NOT_ALLOWED")
    assert response["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type_is_refused(content_type: str) -> None:
    response = post(b'{"prompt": "a"}', content_type=content_type)
    assert error(response) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_by_other_spellings_of_its_type(content_type: str) -> None:
    assert post(b'{"prompt": "a"}', content_type=content_type).status_code == 200


@pytest.mark.parametrize("accept", ["text/event-stream", "text/html, text/event-stream", "*/*"])
def test_a_client_that_asks_for_a_stream_may_get_json(accept: str) -> None:
    assert post(b'{"prompt": "a"}', HTTP_ACCEPT=accept).status_code == 200


def test_no_representation_that_the_client_takes() -> None:
    assert error(post(HTTP_ACCEPT="text/html")) == (406, "NOT_ACCEPTABLE")


def test_values_are_rendered_as_on_the_rest_of_the_wire() -> None:
    moment = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
    value = {
        "cost": Decimal("1E-7"), "at": moment, "on": date(2026, 1, 2), "id": UUID(int=1),
    }  # fmt: skip
    assert orjson.loads(JSONRenderer().render(value)) == {
        "cost": "0.0000001",
        "at": "2026-11-22T10:00:00.123Z",
        "on": "2026-01-02",
        "id": "00000000-0000-0000-0000-000000000001",
    }
