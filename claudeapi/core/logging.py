"""Structured logs: one JSON line an event, on stderr, the standard library's lines too.

Never a prompt, a reply or a secret: whoever logs passes ids and counts; what looks like a key
is masked all the same, here, in every line.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
import structlog

MASK = "***"

# A key's readable prefix stays: it tells which key, and is no secret.
_KEYS = re.compile(
    r"(capi_[0-9A-Za-z]{12}_)[0-9A-Za-z]+"
    r"|(sk-ant-)[0-9A-Za-z_-]+"
    # A header or a parameter, as `name: value`, `name=value`, `"name": "value"` or a pair.
    r"|((?:authorization|x-api-key|api[-_]key|ticket)(?:['\"]\s*,|['\"]?\s*[:=])"
    r"\s*(?:b['\"]|['\"])?(?:bearer\s+)?)[^\s'\",;&}]+"
    r"|(bearer\s+)[^\s'\",;&}]+"
    # The password in a URL.
    r"|(://[^/\s:@]*:)[^@/\s]+(?=@)",
    re.IGNORECASE,
)
_SECRET_NAMES = frozenset(
    {"authorization", "x-api-key", "x_api_key", "api_key", "apikey", "password", "secret",
     "ticket", "cookie", "set-cookie"}
)  # fmt: skip


def mask(text: str) -> str:
    """The text without anything that looks like a key, a token or a password."""
    return _KEYS.sub(lambda found: next(filter(None, found.groups()), "") + MASK, text)


def mask_secrets(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: masks every text of a log line, however deep.

    What is neither a text nor a number becomes one, so that nothing unmasked is left to print.
    """
    return {name: _masked(name, value) for name, value in event.items()}


def _masked(name: str, value: Any) -> Any:
    if name.lower() in _SECRET_NAMES and value:
        return MASK
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, bytes):
        return mask(value.decode("latin-1"))
    if isinstance(value, Mapping):
        return {str(key): _masked(str(key), one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_masked("", one) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return mask(str(value))


def configure(level: str, style: str, *, production: bool) -> None:
    """Send structlog's and the standard library's lines to stderr.

    Args:
        level: the least serious level to write.
        style: `json`, `console`, or `auto`: console on a terminal in development.
    """
    console = style == "console" or (style == "auto" and not production and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks become text before the mask, and without local variables.
    last = [
        structlog.processors.format_exc_info,
        mask_secrets,
        structlog.dev.ConsoleRenderer() if console else _json_renderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(_standard_library(level, shared, last))


def _json_renderer() -> Any:
    return structlog.processors.JSONRenderer(
        serializer=lambda value, **_: orjson.dumps(value).decode()
    )


def _drop(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Any:
    """Uvicorn's messages come a second time, with colours; Django's requests have queries."""
    event.pop("color_message", None)
    event.pop("request", None)
    return event


def _standard_library(level: str, shared: list[Any], last: list[Any]) -> dict[str, Any]:
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [*shared, structlog.stdlib.ExtraAdder(), _drop],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    }
    quiet = {"level": "WARNING"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Their request lines would say again, with queries, what the edge says once.
            "uvicorn.access": quiet,
            "daphne.http_protocol": quiet,
            "django.channels.server": quiet,
            "django.request": {"level": "ERROR"},
            "httpx2": quiet,
            "httpcore2": quiet,
            "anthropic": quiet,
            "asyncio": quiet,
        },
    }
