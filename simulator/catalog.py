"""The models that ``GET /v1/models`` lists, newest first."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from simulator.errors import ApiError, invalid

# (id, release day, lifecycle). The ids are those of anthropic 2.12; the days are made up, only
# their order matters.
_MODELS = (
    ("claude-fable-5-2", "2026-11-10", "active"),
    ("claude-mythos-5-2", "2026-11-10", "active"),
    ("claude-haiku-5-5", "2026-10-20", "active"),
    ("claude-sonnet-5-5", "2026-10-01", "active"),
    ("claude-fable-5-1", "2026-09-08", "active"),
    ("claude-opus-5-5", "2026-09-01", "active"),
    ("claude-mythos-5-1", "2026-08-18", "active"),
    ("claude-sonnet-5", "2026-06-30", "active"),
    ("claude-fable-5", "2026-06-09", "active"),
    ("claude-mythos-5", "2026-06-09", "active"),
    ("claude-opus-5", "2026-05-28", "active"),
    ("claude-opus-4-8", "2026-05-05", "active"),
    ("claude-opus-4-7", "2026-04-16", "active"),
    ("claude-opus-4-6", "2026-02-05", "active"),
    ("claude-sonnet-4-6", "2026-02-17", "active"),
    ("claude-haiku-4-5", "2025-10-15", "active"),
    ("claude-opus-4-5", "2025-11-24", "active"),
    ("claude-sonnet-4-5", "2025-09-29", "deprecated"),
)
_DEPRECATED_AT = "2026-05-30T00:00:00Z"
_RETIRES_AT = "2026-11-30T00:00:00Z"
_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000


def _entry(model: str, day: str, lifecycle: str) -> dict[str, Any]:
    _, line, *version = model.split("-")
    deprecated = lifecycle == "deprecated"
    return {
        "type": "model",
        "id": model,
        "display_name": f"Claude {line.capitalize()} {'.'.join(version)}",
        "created_at": f"{day}T00:00:00Z",
        "lifecycle": lifecycle,
        "line": line,
        "deprecated_at": _DEPRECATED_AT if deprecated else None,
        "retires_at": _RETIRES_AT if deprecated else None,
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }


MODELS = {model: _entry(model, day, lifecycle) for model, day, lifecycle in _MODELS}


def check_model(model: str) -> None:
    """Refuse a model whose id says that it does not exist; any other id is served."""
    if "nonexistent" in model:
        raise ApiError(404, f"model: {model}")


def get(model: str) -> dict[str, Any]:
    """The entry of one model, or 404."""
    if model not in MODELS:
        raise ApiError(404, f"model: {model}")
    return MODELS[model]


def page(query: str) -> dict[str, Any]:
    """One page of the list; ``query`` is the query string with limit, after_id, before_id."""
    given = {key: values[-1] for key, values in parse_qs(query).items()}
    limit = given.get("limit", str(_DEFAULT_LIMIT))
    if not limit.isdecimal() or not 1 <= int(limit) <= _MAX_LIMIT:
        raise invalid(f"limit: Input should be between 1 and {_MAX_LIMIT}")
    entries = list(MODELS.values())
    if "before_id" in given:
        before = entries[: _position(given["before_id"], "before_id")]
        data, has_more = before[-int(limit) :], len(before) > int(limit)
    else:
        start = _position(given["after_id"], "after_id") + 1 if "after_id" in given else 0
        data, has_more = entries[start : start + int(limit)], len(entries) > start + int(limit)
    return {
        "data": data,
        "has_more": has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def _position(model: str, name: str) -> int:
    ids = list(MODELS)
    if model not in ids:
        raise invalid(f"{name}: unknown model {model}")
    return ids.index(model)
