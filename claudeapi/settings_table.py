"""The one table of everything that can be configured; `docs/configuration.md` is made of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from claudeapi.core.database_url import database
from claudeapi.core.environment import (
    Refused,
    Setting,
    boolean,
    choice,
    integer,
    number,
    text,
    words,
)
from claudeapi.core.route_pattern import parse_pattern

ANTHROPIC_URL = "https://api.anthropic.com"
DAY_MS = 86_400_000

SERVING, STORAGE, UPSTREAM, KEYS, LIMITS, WEB, OPERATION = SECTIONS = (
    "Serving",
    "Storage",
    "Upstream",
    "Keys of our clients",
    "Sessions and limits",
    "Security and browsers",
    "Operation",
)

_URL = "an http or https URL such as `https://api.example.com`"
_HOST = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9A-Fa-f:.]+\]")
_HOSTS = "host names or addresses without a port, separated by commas, or `*`"
_ORIGIN = "origins such as `https://app.example.com`, separated by commas"
_REDIS = "a URL such as `redis://127.0.0.1:6379/0`, `rediss://…` or `unix://…`"
_DATABASE = (
    "`sqlite:///PATH` (a file) or `postgres://USER:PASSWORD@HOST:PORT/NAME`, with what is not a "
    "letter or digit of USER and PASSWORD as `%2F`"
)
_PROXIES = "addresses or ranges such as `10.0.0.0/8`, separated by commas, or `*`"
_PATTERN = (
    "patterns such as `POST /sessions/:id/messages`: a method or `*`, a space, and a path "
    "below /api/v1 whose parts are words, `:name` or a last `*`"
)


def _url(value: str) -> str:
    """An upstream's address without a trailing slash and without `/v1`."""
    try:
        parts = urlsplit(value)
        well_formed = parts.port is None or parts.port > 0
    except ValueError:
        raise Refused(_URL) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not well_formed:
        raise Refused(_URL)
    return value.rstrip("/").removesuffix("/v1").rstrip("/")


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
        raise Refused(_ORIGIN)
    return value


def _answered_host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise Refused(_HOSTS)
    return value


def _scheme(allowed: str, *schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value.partition("://")[0] not in schemes or "://" not in value:
            raise Refused(allowed)
        return value

    return check


def _database(value: str) -> str:
    # Django's entry is made of it while settings load, which must not fail.
    database(value, Path(), 1)
    return value


def _proxy(value: str) -> str:
    if value != "*":
        ip_network(value)
    return value


def _pattern(value: str) -> str:
    parse_pattern(value)
    return value


def _host(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9.-]+", value):
        return value
    try:
        return str(ip_address(value.strip("[]")))
    except ValueError:
        raise Refused("a host name or an IP address") from None


TABLE: tuple[Setting, ...] = (
    Setting("HOST", text(_host, "a host name or an IP address"), "127.0.0.1",
            "The address to listen on; `0.0.0.0` is every IPv4 interface.", SERVING),
    Setting("PORT", integer(0, 65535), 3050,
            "The port to listen on; 0 lets the system choose.", SERVING),
    Setting("WORKERS", integer(1, 64), 1,
            "Server processes. More than one needs PostgreSQL and Redis.", SERVING),
    Setting("FORWARDED_ALLOW_IPS", words(_proxy, _PROXIES), ("127.0.0.1",),
            "Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.", SERVING),
    Setting("DRAIN_TIMEOUT", number(0, 3600, "seconds"), 30.0,
            "How long runs in progress may go on after SIGTERM.", SERVING),
    Setting("DATA_DIR", text(), "var",
            "The folder that everything the server writes goes to.", STORAGE,
            shown_default="`./var`"),
    Setting("DATABASE_URL", text(_database, _DATABASE), None,
            "The database. Parameters after `?` go to the PostgreSQL driver.", STORAGE,
            shown_default="SQLite at `DATA_DIR/db.sqlite3`", secret=True),
    Setting("DATABASE_POOL_SIZE", integer(1, 1000), 10,
            "The most PostgreSQL connections a process keeps.", STORAGE),
    Setting("REDIS_URL", text(_scheme(_REDIS, "redis", "rediss", "unix"), _REDIS), None,
            "Redis: rate limits and the doorbell between processes.", STORAGE,
            shown_default="none: everything in one process", secret=True),
    Setting("ANTHROPIC_API_KEY", text(), "",
            "The credentials of the upstream. Never shown, never handed to an agent.",
            UPSTREAM, shown_default="none: the built-in simulator answers", secret=True),
    Setting("ANTHROPIC_BASE_URL", text(_url, _URL), None,
            "The upstream, where it is not Anthropic itself: a gateway or a proxy.", UPSTREAM,
            shown_default=f"`{ANTHROPIC_URL}`"),
    Setting("SIMULATOR_URL", text(_url, _URL), None,
            "A simulator that is running already. `serve` and `runserver` start one, and set "
            "this for their workers.", UPSTREAM, shown_default="none: one is started"),
    Setting("UPSTREAM_IDLE_TIMEOUT", number(0.1, 3600, "seconds"), 90.0,
            "Time without content after which a stream counts as stalled; it bounds the wait "
            "for the first byte too.", UPSTREAM),
    Setting("DEFAULT_ENGINE", choice("messages", "claude-code"), "claude-code",
            "The engine of sessions that name none.", UPSTREAM),
    Setting("DEFAULT_MODEL", text(), "claude-sonnet-5-5",
            "The model of sessions that name none.", UPSTREAM),
    Setting("CLAUDE_SANDBOX", choice("required", "auto", "off"), None,
            "Whether agents are locked into bubblewrap: `required` refuses to run them without, "
            "`auto` does without where it must (default: `required` in production, else `auto`).",
            UPSTREAM),
    Setting("TRUST_EVERY_CALLER", boolean(), False,
            "Confirms that whoever may use an agent may reach all that the server's user can. "
            "Production does not start with a CLAUDE_SANDBOX other than `required` without it.",
            UPSTREAM),
    Setting("MAX_LIVE_AGENTS", integer(1, 1000), 20,
            "Agent processes at once in one server process, about 100 to 200 MiB each; the "
            "longest idle one goes first, and where all are busy messages wait.", UPSTREAM),
    Setting("AGENT_IDLE_SECONDS", number(1, 86_400, "seconds"), 300.0,
            "Time after which an unused agent process is ended; the next message resumes it.",
            UPSTREAM),
    Setting("WORKSPACE_QUOTA_BYTES", integer(1 << 20, 1 << 40), 2 << 30,
            "What the folders of one agent session may take on disk; more ends its run and "
            "refuses its next message.", UPSTREAM),
    Setting("CLAUDE_CODE_API_ENABLED", boolean(), True,
            "Whether the API is served at all.", KEYS, option="enabled"),
    Setting("AUTH_ENABLED", boolean(), True,
            "Whether requests need a key. Without, everybody is one tenant, but for web pages of "
            "origins that CORS_ALLOWED_ORIGINS does not name: they only read.", KEYS,
            option="auth.enabled"),
    Setting("REQUIRE_AUTH", words(_pattern, _PATTERN), None,
            f"The routes that need a key: {_PATTERN}.", KEYS, option="auth.requireAuth",
            shown_default="every route but health, the schema and the docs"),
    Setting("CLAUDE_API_KEYS", words(), (),
            "Keys that clients may use, each a tenant of its own, 16 characters or more. "
            "`CLAUDE_API_KEY` takes one more, and so do `CLAUDE_API_KEY_1`, "
            "`CLAUDE_API_KEY_2` and so on.", KEYS, option="auth.apiKeys", shown_default="none",
            secret=True),
    Setting("SESSION_TIMEOUT", integer(1000, 365 * DAY_MS, "ms"), 3_600_000,
            "How long a session may be idle before it expires.", LIMITS,
            option="sessionTimeout"),
    Setting("MAX_SESSIONS", integer(1, 10_000_000), 1000,
            "Active sessions on the whole server.", LIMITS, option="maxSessions"),
    Setting("RATE_LIMIT_ENABLED", boolean(), True,
            "Whether requests are limited per key.", LIMITS, option="rateLimit.enabled"),
    Setting("RATE_LIMIT_WINDOW_MS", integer(1000, DAY_MS, "ms"), 60_000,
            "The window that requests are counted in.", LIMITS, option="rateLimit.windowMs"),
    Setting("RATE_LIMIT_MAX_REQUESTS", integer(1, 100_000_000), 1000,
            "Requests of one key in a window.", LIMITS, option="rateLimit.maxRequests"),
    Setting("APPROVAL_TIMEOUT", number(1, 86_400, "seconds"), 600.0,
            "How long a tool call waits for an answer before it is denied.", LIMITS),
    Setting("MAX_BODY_BYTES", integer(1024, 2**30, "bytes"), 10 * 2**20,
            "The largest request body, and the largest WebSocket frame.", LIMITS),
    Setting("ENVIRONMENT", choice("development", "production"), "development",
            "`production` refuses weak settings and sends cookies over TLS only.", WEB),
    Setting("SECRET_KEY", text(), "",
            "Signs the admin's cookies.", WEB,
            shown_default="made once and kept in `DATA_DIR/secret_key`", secret=True),
    Setting("ALLOWED_HOSTS", words(_answered_host, _HOSTS), (),
            "Host names the server answers to; `.example.com` stands for all below it.", WEB,
            shown_default="`localhost`, `127.0.0.1`, `[::1]` and HOST"),
    Setting("CORS_ALLOWED_ORIGINS", words(_origin, _ORIGIN), (),
            "Web pages of other origins that may call the API from a browser.", WEB,
            shown_default="none: CORS is off"),
    Setting("DEBUG", boolean(), False,
            "Django's debug pages in the admin. Refused in production.", WEB),
    Setting("LOG_LEVEL", choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO",
            "The least serious log lines to write.", OPERATION),
    Setting("LOG_FORMAT", choice("auto", "json", "console"), "auto",
            "`auto` is JSON, or readable lines on a terminal in development.", OPERATION),
    Setting("RETENTION_DAYS", integer(1, 36_500, "days"), 90,
            "How long ended and expired sessions stay readable.", OPERATION),
)  # fmt: skip
