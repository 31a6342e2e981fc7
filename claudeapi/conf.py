"""The product's own options: one frozen, validated object, and how it is loaded.

Most specific wins: a single variable, then the variable `CLAUDE_CODE_API` (the option tree as
JSON), then the Django setting `CLAUDE_CODE_API` (the same tree as a dict), then the default.
Nothing here raises for a wrong value: problems are collected for the system checks.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
from django.conf import settings

from claudeapi.core.environment import Problem, flatten, read, wrong_value
from claudeapi.settings_table import ANTHROPIC_URL, TABLE

TREE = "CLAUDE_CODE_API"
MINIMUM_KEY_LENGTH = 16
MAXIMUM_KEY_LENGTH = 1024
UpstreamKind = Literal["anthropic", "gateway", "simulator"]
SandboxMode = Literal["required", "auto", "off"]

_KEY_LIST = next(row for row in TABLE if row.name == "CLAUDE_API_KEYS")
_ROWS = tuple(row for row in TABLE if row is not _KEY_LIST)
_OPTION_PATHS = tuple(setting.option for setting in TABLE if setting.option)
_NUMBERED_KEY = re.compile(r"CLAUDE_API_KEY_(\d+)")


@dataclass(frozen=True, slots=True)
class AuthOptions:
    """Who needs a key, and the keys that come from the environment.

    Attributes:
        require_auth: patterns of the routes that need a key; None is every route.
    """

    enabled: bool = True
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    require_auth: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RateLimitOptions:
    """Requests of one key in a window of milliseconds."""

    enabled: bool = True
    window_ms: int = 60_000
    max_requests: int = 1000


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """The Messages API behind us.

    Attributes:
        base_url: without a trailing slash and without `/v1`; empty when it is the simulator
            and none was started.
        idle_timeout: seconds without content after which a stream counts as stalled.
    """

    base_url: str
    api_key: str = field(repr=False)
    kind: UpstreamKind
    idle_timeout: float = 90.0


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How Claude Code agents are kept.

    Attributes:
        sandbox: `required`, `auto` or `off`.
        max_live: agent processes at once in one server process.
        idle_seconds: after which an unused one is ended.
        quota: bytes that the folders of one session may take.
    """

    sandbox: SandboxMode
    max_live: int = 20
    idle_seconds: float = 300.0
    quota: int = 2 << 30


@dataclass(frozen=True, slots=True)
class Options:
    """Everything about the product that can be configured, validated."""

    enabled: bool
    session_timeout_ms: int
    max_sessions: int
    auth: AuthOptions
    rate_limit: RateLimitOptions
    default_engine: str
    agents: AgentOptions
    default_model: str
    upstream: UpstreamOptions
    drain_timeout: float
    approval_timeout: float
    max_body_bytes: int
    data_dir: Path
    workers: int
    host: str
    port: int
    redis_url: str | None = field(repr=False)
    cors_allowed_origins: tuple[str, ...]
    retention_days: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading gave: the options, every value by its variable's name, what is wrong."""

    options: Options
    values: Mapping[str, Any] = field(repr=False)
    problems: tuple[Problem, ...]


def options() -> Options:
    """The options in force."""
    return settings.OPTIONS


def load(environ: Mapping[str, str], setting: object) -> Loaded:
    """Read the whole configuration.

    Args:
        environ: the environment variables.
        setting: the Django setting `CLAUDE_CODE_API`, a dict.
    """
    trees, problems = _option_trees(environ, setting)
    values, wrong = read(_ROWS, environ, ChainMap(*reversed(trees)))
    problems += wrong
    listed, wrong = _listed_keys(environ, trees)
    problems += wrong
    keys = _client_keys(environ, listed)
    problems += _wrong_keys(keys)
    upstream, wrong = _upstream(values)
    problems += [*wrong, *_unconfirmed(values)]
    return Loaded(_options(values, tuple(keys), upstream), values, tuple(problems))


def _option_trees(
    environ: Mapping[str, str], setting: object
) -> tuple[list[dict[str, tuple[str, Any]]], list[Problem]]:
    """The options of each tree by path, the least specific tree first."""
    problems: list[Problem] = []
    trees: list[dict[str, tuple[str, Any]]] = []
    sources = [(f"setting {TREE}", setting)]
    if raw := environ.get(TREE, "").strip():
        try:
            sources.append((f"variable {TREE}", orjson.loads(raw)))
        except orjson.JSONDecodeError as error:
            problems.append(Problem("claudeapi.E003", TREE, f"{TREE} is not JSON: {error}."))
    for source, tree in sources:
        if not isinstance(tree, Mapping):
            problems.append(
                Problem("claudeapi.E003", TREE, f"The {source} must be an object of options.")
            )
            continue
        found, unknown = flatten(tree, _OPTION_PATHS)
        trees.append({path: (source, value) for path, value in found.items()})
        problems += [_unknown_option(path, source) for path in unknown]
    return trees, problems


def _unknown_option(path: str, source: str) -> Problem:
    known = ", ".join(_OPTION_PATHS)
    return Problem(
        "claudeapi.E002", path, f"{path} ({source}) is not an option. There are: {known}."
    )


def _listed_keys(
    environ: Mapping[str, str], trees: Iterable[Mapping[str, tuple[str, Any]]]
) -> tuple[list[str], list[Problem]]:
    """The lists of keys: no source takes another's place, they add up."""
    listed: list[str] = []
    problems: list[Problem] = []
    nothing: Mapping[str, Any] = {}
    for variables, tree in ((environ, nothing), *((nothing, tree) for tree in trees)):
        values, wrong = read((_KEY_LIST,), variables, tree)
        listed += values[_KEY_LIST.name]
        problems += wrong
    return listed, problems


def _client_keys(environ: Mapping[str, str], several: Iterable[str]) -> dict[str, str]:
    """Every key for our clients -> the variable it came from, in a stable order."""
    numbered = sorted(
        (int(match[1]), name) for name in environ if (match := _NUMBERED_KEY.fullmatch(name))
    )
    found: dict[str, str] = {}
    for name in ("CLAUDE_API_KEY", *(name for _, name in numbered)):
        if key := environ[name].strip() if name in environ else "":
            found.setdefault(key, name)
    for key in several:
        found.setdefault(key, "CLAUDE_API_KEYS (auth.apiKeys)")
    return found


def _wrong_keys(keys: Mapping[str, str]) -> list[Problem]:
    return [
        Problem(
            "claudeapi.E004",
            name,
            f"{name} holds a key of {len(key)} characters: {MINIMUM_KEY_LENGTH} to "
            f"{MAXIMUM_KEY_LENGTH} visible ASCII characters are allowed.",
        )
        for key, name in keys.items()
        if not MINIMUM_KEY_LENGTH <= len(key) <= MAXIMUM_KEY_LENGTH
        or not re.fullmatch(r"[!-~]+", key)
    ]


def _unconfirmed(values: Mapping[str, Any]) -> list[Problem]:
    """In production nobody goes without a sandbox by mistake."""
    sandbox = values["CLAUDE_SANDBOX"] or "required"
    if values["ENVIRONMENT"] != "production" or sandbox == "required":
        return []
    if values["TRUST_EVERY_CALLER"]:
        return []
    return [
        Problem(
            "claudeapi.E005",
            "CLAUDE_SANDBOX",
            f"CLAUDE_SANDBOX={sandbox} can leave agents unprotected, which production refuses: "
            "whoever may use one can reach what this server's user can. Unset it, or set "
            "TRUST_EVERY_CALLER=true if that is meant.",
        )
    ]


def _upstream(values: Mapping[str, Any]) -> tuple[UpstreamOptions, list[Problem]]:
    """Anthropic with a key; a gateway at another address; neither: the simulator."""
    base_url, key = values["ANTHROPIC_BASE_URL"], values["ANTHROPIC_API_KEY"]
    idle = values["UPSTREAM_IDLE_TIMEOUT"]
    if base_url and urlsplit(base_url).hostname != urlsplit(ANTHROPIC_URL).hostname:
        return UpstreamOptions(base_url, key or "none", "gateway", idle), []
    if key:
        return UpstreamOptions(base_url or ANTHROPIC_URL, key, "anthropic", idle), []
    if base_url:
        unset = wrong_value("ANTHROPIC_API_KEY", "", f"{base_url} needs credentials", secret=True)
        return UpstreamOptions(base_url, "", "anthropic", idle), [unset]
    return UpstreamOptions(values["SIMULATOR_URL"] or "", "simulator", "simulator", idle), []


def _options(
    values: Mapping[str, Any], keys: tuple[str, ...], upstream: UpstreamOptions
) -> Options:
    return Options(
        enabled=values["CLAUDE_CODE_API_ENABLED"],
        session_timeout_ms=values["SESSION_TIMEOUT"],
        max_sessions=values["MAX_SESSIONS"],
        auth=AuthOptions(values["AUTH_ENABLED"], keys, values["REQUIRE_AUTH"]),
        rate_limit=RateLimitOptions(
            values["RATE_LIMIT_ENABLED"],
            values["RATE_LIMIT_WINDOW_MS"],
            values["RATE_LIMIT_MAX_REQUESTS"],
        ),
        default_engine=values["DEFAULT_ENGINE"],
        agents=AgentOptions(
            sandbox=values["CLAUDE_SANDBOX"]
            or ("required" if values["ENVIRONMENT"] == "production" else "auto"),
            max_live=values["MAX_LIVE_AGENTS"],
            idle_seconds=values["AGENT_IDLE_SECONDS"],
            quota=values["WORKSPACE_QUOTA_BYTES"],
        ),
        default_model=values["DEFAULT_MODEL"],
        upstream=upstream,
        drain_timeout=values["DRAIN_TIMEOUT"],
        approval_timeout=values["APPROVAL_TIMEOUT"],
        max_body_bytes=values["MAX_BODY_BYTES"],
        data_dir=Path(values["DATA_DIR"]).absolute(),
        workers=values["WORKERS"],
        host=values["HOST"],
        port=values["PORT"],
        redis_url=values["REDIS_URL"],
        cors_allowed_origins=values["CORS_ALLOWED_ORIGINS"],
        retention_days=values["RETENTION_DAYS"],
    )
