"""System checks of our own, `claudeapi.E…`: what is wrong with the configuration, by name."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from claudeapi import api_routes
from claudeapi.conf import options
from claudeapi.core.route_pattern import parse_pattern
from claudeapi.core.secret_key import kept_in
from keys_app.routes import needs_key

MINIMUM_SECRET_KEY_LENGTH = 50
SENDING = (
    ("POST", "/api/v1/sessions/id/messages"),
    ("POST", "/api/v1/sessions/id/stream"),
    ("GET", "/api/v1/sessions/id/stream"),
)


@register()
def check_configuration(**_: Any) -> list[CheckMessage]:
    """Every problem that loading the configuration met (E001 to E005)."""
    return [Error(problem.message, id=problem.id) for problem in settings.LOADED.problems]


@register()
def check_data_dir(**_: Any) -> Iterator[CheckMessage]:
    """The folder of everything the server writes."""
    folder = options().data_dir
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        if not settings.LOADED.values["SECRET_KEY"]:
            kept_in(folder)
    except OSError as error:
        yield Error(f"DATA_DIR={folder} can't be used: {error.strerror}.", id="claudeapi.E013")


@register()
def check_several_processes(**_: Any) -> Iterator[CheckMessage]:
    """More than one process needs what they can share."""
    if options().workers == 1:
        return
    if not options().redis_url:
        yield Error(
            f"WORKERS={options().workers} needs REDIS_URL: rate limits are counted, and streams "
            "of other processes announced, in Redis.",
            id="claudeapi.E010",
        )
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        yield Error(
            f"WORKERS={options().workers} needs PostgreSQL: set DATABASE_URL to "
            "postgres://USER:PASSWORD@HOST:PORT/NAME.",
            id="claudeapi.E011",
        )


@register()
def check_open_routes(**_: Any) -> Iterator[CheckMessage]:
    """A pattern that protects nothing, or only one of several doors to the same room."""
    patterns = options().auth.require_auth or ()
    for text in patterns:
        if not api_routes.exists(parse_pattern(text)):
            yield Error(
                f"auth.requireAuth (REQUIRE_AUTH): there is no route like {text!r}.",
                id="claudeapi.E012",
            )
    left_open = [route for route in SENDING if not needs_key(patterns, *route)]
    if patterns and left_open and len(left_open) < len(SENDING):
        names = ", ".join(f"{method} {path}" for method, path in left_open)
        yield Warning(
            f"auth.requireAuth (REQUIRE_AUTH) leaves open {names}, which send messages too.",
            id="claudeapi.W025",
        )


@register(Tags.security)
def check_production(**_: Any) -> Iterator[CheckMessage]:
    """What development forgives and production does not."""
    if not settings.PRODUCTION:
        if not _is_loopback(options().host):
            yield Warning(
                f"HOST={options().host} serves other machines: set ENVIRONMENT=production.",
                id="claudeapi.W020",
            )
        return
    if settings.DEBUG:
        yield Error("DEBUG is not allowed in production.", id="claudeapi.E021")
    if len(settings.SECRET_KEY) < MINIMUM_SECRET_KEY_LENGTH or len(set(settings.SECRET_KEY)) < 5:
        yield Error(
            f"SECRET_KEY is weak: {MINIMUM_SECRET_KEY_LENGTH} characters or more are needed; "
            "unset, one is made and kept in DATA_DIR.",
            id="claudeapi.E022",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield Error(
            "ALLOWED_HOSTS=* is not allowed in production: name the hosts. It is what stops a "
            "web page from reaching this server under a name of its own.",
            id="claudeapi.E023",
        )
    if not options().auth.enabled or options().auth.require_auth == ():
        cause = "auth.requireAuth=[]" if options().auth.enabled else "AUTH_ENABLED=false"
        yield Warning(
            f"{cause}: everybody who reaches this server may use it.", id="claudeapi.W024"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
