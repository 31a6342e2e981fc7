"""What an agent may ask of the upstream, and what of its request goes there.

The agent's tools can write a request by hand. So nothing goes on as it came: the path is one
of ours, few headers pass, and the body is written anew from what was read in it. What tells
where a request ends is never the agent's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from aiohttp import web
from multidict import CIMultiDict

from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code.failures import Failure
from sessions_app.engines.claude_code.lease import Lease

ROUTES = frozenset(
    {("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models")}
)
MAX_BODY = 32 << 20
"""Bytes of a request, as the Messages API takes them; and of all that one agent asks at once."""
MAX_MARKS = 1_000_000
"""Brackets, braces, commas and colons of a request: what reading it costs. Text of a million
tokens has half as many."""

_MARKS = b"[{,:"
_PASSING_HEADERS = frozenset(
    {"accept", "anthropic-beta", "anthropic-version", "user-agent", "x-app"}
)
_PASSING_FAMILIES = ("x-claude-code-", "x-stainless-")


class Refused(Exception):
    """A request that does not go to the upstream.

    Attributes:
        status, kind, message: of the answer, in the upstream's shape.
        failure: what the run ends with, if the agent gives up on it.
    """

    def __init__(
        self, status: int, kind: str, message: str, failure: Failure | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.failure = failure or Failure("status", status, kind, message)


def url_of(request: web.BaseRequest, upstream: Upstream) -> str:
    """Where a request goes whose path is one of the routes."""
    query = request.rel_url.raw_query_string
    return f"{upstream.base_url}{request.path}{'?' if query else ''}{query}"


def headers_of(request: web.BaseRequest, upstream: Upstream) -> CIMultiDict[str]:
    """The headers that a request has there. Those of its length are added as it is sent."""
    headers = CIMultiDict(
        (name, value) for name, value in request.headers.items() if _passes(name.lower())
    )
    headers["x-api-key"] = upstream.api_key
    headers["Accept-Encoding"] = "identity"
    if request.method == "POST":
        headers["Content-Type"] = "application/json"
    return headers


def _passes(name: str) -> bool:
    return name in _PASSING_HEADERS or name.startswith(_PASSING_FAMILIES)


async def body_of(request: web.BaseRequest, lease: Lease) -> bytes:
    """The body that a request has there.

    Raises:
        Refused: it is not what one of the routes takes, or not what the key's policy allows.
    """
    if "content-encoding" in request.headers:
        raise Refused(415, "invalid_request_error", "A request is not to be compressed.")
    body = await _read(request, lease)
    if request.method == "GET":
        if body:
            raise Refused(400, "invalid_request_error", "A GET request has no body.")
        return b""
    async with lease.share.taken():
        asked = _parsed(body)
        _check(asked, lease)
        return _written(asked)


async def _read(request: web.BaseRequest, lease: Lease) -> bytearray:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(413, "request_too_large", f"A request has at most {MAX_BODY} bytes.")
        lease.hold(len(body))
        if lease.held > MAX_BODY:
            raise Refused(429, "rate_limit_error", "The agent asks too much at once.")
    return body


def _parsed(body: bytearray) -> dict[str, Any]:
    if sum(map(body.count, _MARKS)) > MAX_MARKS:
        raise Refused(413, "request_too_large", "The request body holds too many values.")
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        said = f"The request body is not valid JSON: {error}"
        raise Refused(400, "invalid_request_error", said) from error
    if not isinstance(asked, dict):
        raise Refused(400, "invalid_request_error", "The request body is not a JSON object.")
    return asked


def _written(asked: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(asked)
    except orjson.JSONEncodeError as error:
        said = "The request body is nested too deep."
        raise Refused(400, "invalid_request_error", said) from error


def _check(asked: dict[str, Any], lease: Lease) -> None:
    """Pass if the key's policy allows it: the agent's tools can ask as well."""
    if asked.get("mcp_servers"):
        raise Refused(403, "permission_error", "MCP servers are not reached from here.")
    allowance = lease.allowance
    for model in _models(asked):
        if not allowance.has(model):
            denied = Failure("model", message=str(model)[:200], allowed=allowance.models)
            said = "The key's policy does not allow this model."
            raise Refused(403, "permission_error", said, denied)


def _models(asked: dict[str, Any]) -> Iterator[object]:
    """All that a request may run on: its model, and what `fallbacks` and `tools` name beside it."""
    yield asked.get("model")
    for parameter in asked.values():
        for entry in parameter if isinstance(parameter, list) else [parameter]:
            if isinstance(entry, dict) and "model" in entry:
                yield entry["model"]
    if isinstance(asked.get("fallbacks"), str):
        yield f"fallbacks: {asked['fallbacks']}"  # which ones, only the upstream knows
