"""Every exception of DRF and Django as a published error, in the one envelope."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from rest_framework import exceptions
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from claudeapi.core import errors
from claudeapi.core.request_id import request_id_var

logger = structlog.get_logger(__name__)

# What is wrong with a request is told in an answer of a few KiB, whatever the request.
MOST_FIELDS = 50
MOST_CHARACTERS = 200


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """The answer to any exception of a view, in the envelope."""
    error = as_api_error(exc)
    if error is None:
        # The traceback goes to the log, and nowhere else.
        logger.exception("unhandled_exception", exc_info=exc)
        got_request_exception.send(sender=exception_handler, request=context.get("request"))
        error = errors.InternalError()
    set_rollback()
    headers = error.response_headers()
    if error.status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="claudeapi"')
    # Not a response of DRF's: the envelope is JSON, whatever the view's renderers make.
    return HttpResponse(
        errors.encoded(error, request_id_var.get()),
        status=error.status,
        content_type="application/json",
        headers=headers,
    )


def as_api_error(exc: BaseException) -> errors.ApiError | None:
    """The published error that an exception of DRF or Django stands for; None: a fault of ours."""
    match exc:
        case errors.ApiError():
            return exc
        case exceptions.ValidationError():
            return invalid_fields(exc.detail)
        case exceptions.ParseError():
            return errors.InvalidJson()
        case exceptions.NotAuthenticated():
            return errors.MissingApiKey()
        case exceptions.AuthenticationFailed():
            return errors.InvalidApiKey()
        case exceptions.PermissionDenied() | PermissionDenied():
            return errors.InsufficientScope()
        case exceptions.NotFound() | Http404():
            return errors.NotFound()
        case exceptions.NotAcceptable():
            return errors.NotAcceptable()
        case exceptions.UnsupportedMediaType():
            return errors.UnsupportedMediaType()
        case exceptions.MethodNotAllowed():
            return errors.MethodNotAllowed()
        case exceptions.Throttled():
            return errors.RateLimitExceeded(retry_after=math.ceil(getattr(exc, "wait", None) or 1))
        case OperationalError() | InterfaceError():
            logger.error("database_unavailable", exc_info=exc)
            return errors.Unavailable("The database does not answer.")
    return None


def invalid_fields(detail: Any) -> errors.InvalidRequest:
    """DRF's nested validation errors, by dotted field name; of very many fields the first."""
    fields: dict[str, list[str]] = {}
    for path, problem in _problems(detail, ""):
        fields.setdefault(_short(path) or "body", []).append(_short(problem))
    first, problems = next(iter(fields.items()), ("body", ["This is not valid."]))
    more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
    told = dict(islice(fields.items(), MOST_FIELDS))
    return errors.InvalidRequest(f"{first}: {problems[0]}{more}", details={"fields": told})


def _short(text: str) -> str:
    """A name or a problem; DRF repeats in both what was sent."""
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


def _problems(detail: Any, path: str) -> Iterator[tuple[str, str]]:
    prefix = f"{path}." if path else ""
    if isinstance(detail, dict):
        for name, child in detail.items():
            own = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from _problems(child, path if own else f"{prefix}{name}")
    elif isinstance(detail, list):
        for at, child in enumerate(detail):
            plain = isinstance(child, str)
            yield from _problems(child, path if plain else f"{prefix}{at}")
    else:
        yield path, str(detail)
