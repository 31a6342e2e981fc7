"""The few pages of the project itself, and Django's own errors in the envelope."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from claudeapi.core import errors, metrics
from claudeapi.core.access_log import note
from claudeapi.core.request_id import request_id_var
from console import failures
from console.middleware import ROOT as CONSOLE

JSON = "application/json"

View = Callable[[HttpRequest], HttpResponseBase]

# The pages of the documentation are made of inline scripts; from elsewhere they take nothing.
DOCS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)


def error_response(error: errors.ApiError) -> HttpResponse:
    """The envelope as a Django response."""
    body = errors.encoded(error, request_id_var.get())
    return HttpResponse(
        body,
        status=error.status,
        content_type=JSON,
        headers=error.response_headers(),
    )


def page(view: View) -> View:
    """A view that only reads: other methods get the envelope, and no CSRF page."""

    @csrf_exempt
    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponseBase:
        if request.method in ("GET", "HEAD"):
            return view(request)
        return error_response(errors.MethodNotAllowed(headers={"Allow": "GET, HEAD"}))

    return checked


def documentation(view: View) -> View:
    """A page of the API's documentation, which reaches no other host."""

    @page
    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponseBase:
        response = view(request)
        response.headers["Content-Security-Policy"] = DOCS_POLICY
        return response

    return guarded


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's 400."""
    return error_response(errors.InvalidRequest())


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's 403."""
    return error_response(errors.InsufficientScope("This is not allowed."))


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's 404, and the last route: so it answers with DEBUG too."""
    note(route=metrics.OTHER)
    return error_response(errors.NotFound())


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's 500; the traceback is in the log."""
    if request.path_info.startswith(CONSOLE):
        return failures.broken(request)
    return error_response(errors.InternalError())


@page
def home(request: HttpRequest) -> HttpResponse:
    """The root leads to the API's documentation."""
    return HttpResponseRedirect("/api/docs/")


@page
def prometheus(request: HttpRequest) -> HttpResponse:
    """All metrics, as Prometheus reads them."""
    return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
