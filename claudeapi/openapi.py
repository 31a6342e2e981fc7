"""What drf-spectacular cannot know: keys, headers, the one shape of every error, the probes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from claudeapi.core.errors import CODES, OUTCOME_STATUS
from claudeapi.openapi_text import (
    DESCRIPTION,
    HEADERS,
    ORDER,
    PROBES,
    REQUEST_ID_PARAMETER,
    TAGS,
    TICKET,
)

Schema = dict[str, Any]

API = "/api/v1"
_SNAKE = re.compile("_([a-z])")

ANY = (400, 405, 406, 500, 503)
AUTHENTICATED = (401, 403, 429)
WITH_BODY = (413, 415)
BY_METHOD = {"post": (409, 422)}

REQUEST_ID = "X-Request-ID"
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
REPLAYED = "Idempotency-Replayed"
RETRY_AFTER = "Retry-After"

# An operation names the further statuses it answers with: `extensions={"x-errors": [402, 504]}`.
FURTHER = "x-errors"

ENVELOPE: Schema = {
    "type": "object",
    "description": "Every error, on every route.",
    "required": ["error", "timestamp", "requestId"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string", "enum": sorted(CODES)},
                "message": {"type": "string"},
                "details": {"type": "object", "additionalProperties": True},
            },
        },
        "timestamp": {"type": "string", "format": "date-time"},
        "requestId": {"type": "string"},
    },
}


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Our keys, in either of two headers."""

    target_class = "keys_app.drf.KeyAuthentication"
    name = ["ApiKey", "Bearer"]  # noqa: RUF012  (typed so by the class above)

    def get_security_definition(self, auto_schema: Any) -> list[Schema]:
        """Both ways of sending a key."""
        return [
            {"type": "apiKey", "in": "header", "name": "x-api-key"},
            {"type": "http", "scheme": "bearer"},
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[Schema]:
        """One of them is enough."""
        return [{name: []} for name in self.name]


def finish(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """Add what all operations share: errors, headers, probes, tags (a schema hook)."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = ENVELOPE
    components["responses"] = _responses()
    components["headers"] = HEADERS
    components.setdefault("securitySchemes", {})["Ticket"] = TICKET
    components["parameters"] = {"RequestId": REQUEST_ID_PARAMETER}
    # A copy: what is added to the probes' answers is not to be added twice.
    paths = {_plain(path): item for path, item in result["paths"].items()}
    result["paths"] = dict(sorted({**paths, **deepcopy(PROBES)}.items(), key=_place))
    for path, method, operation in _operations(result):
        _complete(path, method, operation)
    result["tags"] = TAGS
    result["info"]["description"] = DESCRIPTION
    return result


def _plain(path: str) -> str:
    """Without the slash at the end, and with parameters in the case of the wire."""
    return _SNAKE.sub(lambda found: found[1].upper(), path.rstrip("/"))


def _place(item: tuple[str, Schema]) -> int:
    return ORDER.index(item[0]) if item[0] in ORDER else len(ORDER)


def _complete(path: str, method: str, operation: Schema) -> None:
    needs_key = any(operation.get("security", ()))
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        if parameter["in"] == "path":
            parameter["name"] = _SNAKE.sub(lambda found: found[1].upper(), parameter["name"])
    parameters.append({"$ref": "#/components/parameters/RequestId"})
    shared = [REQUEST_ID, *(LIMITS if needs_key else ())]
    if any(parameter.get("name") == "Idempotency-Key" for parameter in parameters):
        shared.append(REPLAYED)
    for response in operation["responses"].values():
        response.setdefault("headers", {}).update(_headers(*shared))
    if path in PROBES:
        operation["responses"]["405"] = {"$ref": "#/components/responses/Error405"}
    if path.startswith(API):
        statuses = {*_statuses(method, operation), *((404,) if "{" in path else ())}
        for status in sorted(statuses):
            operation["responses"].setdefault(
                str(status), {"$ref": f"#/components/responses/Error{status}"}
            )


def _headers(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _responses() -> Schema:
    by_status: dict[int, list[str]] = defaultdict(list)
    for code, kind in CODES.items():
        by_status[kind.status or OUTCOME_STATUS[code]].append(code)
    return {
        f"Error{status}": _response(status, codes) for status, codes in sorted(by_status.items())
    }


def _response(status: int, codes: list[str]) -> Schema:
    again = (RETRY_AFTER,) if status in (429, 503) else ()
    counted = () if status == 401 else LIMITS
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "headers": _headers(REQUEST_ID, *counted, *again),
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "examples": {code: {"value": _example(code)} for code in codes},
            }
        },
    }


def _example(code: str) -> Schema:
    return {
        "error": {"code": code, "message": CODES[code].default_message, "details": {}},
        "timestamp": "2026-11-22T10:00:00.000Z",
        "requestId": "4f1c7c0e-0f0e-4c7a-9d25-6c1f7a2f6b1e",
    }


def _operations(result: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, item in result["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and "responses" in operation:
                yield path, method, operation


def _statuses(method: str, operation: Schema) -> set[int]:
    statuses = {*ANY, *BY_METHOD.get(method, ()), *operation.pop(FURTHER, ())}
    if any(operation.get("security", ())):
        statuses.update(AUTHENTICATED)
    if method in ("post", "patch"):
        statuses.update(WITH_BODY)
    return statuses
