"""What all views of the API share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeVar

import orjson
from django.db import transaction
from django.http import HttpRequest
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from claudeapi.core.access_log import note
from claudeapi.core.drf import StrictSerializer
from claudeapi.core.query import parse_query
from keys_app import scopes
from keys_app.drf import KeyApiView, key_of, scope
from keys_app.models import ApiKey
from sessions_app import idempotency
from sessions_app.actions.lookup import find_session
from sessions_app.api.serializers import Nothing, checked
from sessions_app.models import IdempotencyRecord, Session

T = TypeVar("T")


class View(KeyApiView, viewsets.GenericViewSet[Any]):
    """Parse, resolve access, call one action, translate back."""

    reads_query: ClassVar[Sequence[str]] = ()
    """The actions that validate a query; it has to be empty for the others."""

    permission_classes: Sequence[Any] = (scope(scopes.SESSIONS_READ, write=scopes.SESSIONS_WRITE),)
    request: Request

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """DRF takes a body sent in chunks, without its length, for an empty one."""
        if "HTTP_TRANSFER_ENCODING" in request.META:
            request.META["CONTENT_LENGTH"] = str(len(request.body))
        return super().initialize_request(request, *args, **kwargs)

    @property
    def key(self) -> ApiKey:
        """Who asks."""
        return key_of(self.request)

    def session(self) -> Session:
        """The session named in the path.

        Raises:
            SessionNotFound: there is none, or it is another key's.
        """
        session_id = self.kwargs["session_id"]
        note(session=session_id)
        return find_session(self.key, session_id)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """After access is granted, refuse a query that the action does not know."""
        super().initial(request, *args, **kwargs)
        has_method = (request.method or "").lower() in (self.action_map or {})
        if has_method and self.action not in self.reads_query:
            checked(Nothing, self.given())

    def given(self) -> dict[str, str]:
        """The query as it was given.

        Raises:
            InvalidRequest.
        """
        return parse_query(self.request.META["QUERY_STRING"].encode())

    def query(self, kind: type[StrictSerializer]) -> dict[str, Any]:
        """The validated query."""
        return checked(kind, self.given())

    def body(self, kind: type[StrictSerializer]) -> dict[str, Any]:
        """The validated body."""
        return checked(kind, self.request.data)

    def once(self, act: Callable[[], Response]) -> Response:
        """Perform a POST, or give its first answer again (`Idempotency-Key`)."""
        attempt = self._attempt()
        if attempt is None:
            return act()
        with transaction.atomic():
            record, first = idempotency.begin(self.key, attempt)
            if not first:
                return _again(record)
            response = act()
            record.status = response.status_code
            record.location = response.headers.get("Location", "")
            record.body = orjson.dumps(response.data).decode()
            record.save(update_fields=["status", "location", "body"])
        return response

    def prepared_once(
        self, preparation: AbstractContextManager[T], act: Callable[[T], Response]
    ) -> Response:
        """The same, after a preparation that may take too long for a transaction."""
        attempt = self._attempt()
        known = attempt and idempotency.find(self.key, attempt)
        if known:
            return _again(known)
        with preparation as prepared:
            return self.once(lambda: act(prepared))

    def _attempt(self) -> idempotency.Attempt | None:
        request = self.request
        given = request.headers.get("Idempotency-Key")
        return idempotency.Attempt.of(given, "POST", request.path, request.data)


def _again(record: IdempotencyRecord) -> Response:
    """The first answer."""
    headers = dict(idempotency.REPLAYED)
    if record.location:
        headers["Location"] = record.location
    body = orjson.loads(record.body) if record.body else None
    return Response(body, status=record.status, headers=headers)
