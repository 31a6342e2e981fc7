"""From credentials to a key: the only door, for DRF, streams and sockets alike."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import NoReturn
from uuid import UUID

import structlog
from django.db import DatabaseError
from django.utils import timezone

from claudeapi.conf import MAXIMUM_KEY_LENGTH, options
from claudeapi.core.errors import InvalidApiKey, IpNotAllowed, MissingApiKey
from keys_app import limits, pages, routes, tokens
from keys_app.environment import anonymous_key, environment_digest, environment_key, is_gone
from keys_app.models import ANONYMOUS_HASH, ApiKey, Source
from keys_app.resolved import RESOLVED

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="claudeapi"'}
_NO_HASH = "0" * 64

log = structlog.get_logger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def identify(headers: Mapping[str, str], method: str, path: str, ip: str) -> ApiKey:
    """Whose request this is: all of authentication, for every interface.

    Where the server's options need no key, callers without credentials share the anonymous
    key; wrong credentials are refused there too. With `auth.enabled` off credentials are
    not looked at: everybody is the anonymous key, but for web pages of other origins.

    Args:
        headers: by lower-case (or case-insensitive) name, decoded as latin-1.
        path: from the root of this server, without the query string.
        ip: the client's address.

    Raises:
        MissingApiKey, InvalidApiKey, IpNotAllowed, PolicyDenied, RateLimitExceeded, Unavailable.
    """
    credentials = None
    if options().auth.enabled:
        try:
            credentials = credentials_from(headers)
        except InvalidApiKey:
            _refuse(ip)
    if credentials is not None or route_needs_key(method, path):
        return resolve(credentials, ip)
    pages.refuse_foreign(headers, method)
    return anonymous()


def remembered(headers: Mapping[str, str], method: str, path: str, ip: str) -> ApiKey | None:
    """The key that `identify` would give, where memory alone tells; None: ask `identify`.

    Never waits for a database or a cache, so an event loop may call it. Refuses nobody.
    """
    try:
        credentials = credentials_from(headers)
    except InvalidApiKey:
        return None
    if not options().auth.enabled or (credentials is None and not route_needs_key(method, path)):
        if pages.is_foreign(headers, method):
            return None
        anonymous_one: ApiKey | None = RESOLVED.get(ANONYMOUS_HASH)
        return anonymous_one
    known: ApiKey | None = RESOLVED.get(tokens.digest(credentials)) if credentials else None
    if known is None or not _is_valid(known) or not _may_come_from(known, ip):
        return None
    return None if RESOLVED.is_touch_due(known.pk) else known


def credentials_from(headers: Mapping[str, str]) -> str | None:
    """The key a request carries, or None. Query strings are never looked at.

    An `Authorization` of another scheme than Bearer counts as none: a proxy may have put it
    there.

    Raises:
        InvalidApiKey: both headers are there and differ: nobody should have to guess which
            tenant was meant.
    """
    plain = headers.get("x-api-key", "").strip()
    scheme, _, rest = headers.get("authorization", "").strip().partition(" ")
    bearer = rest.strip() if scheme.lower() == "bearer" else ""
    if plain and bearer and not hmac.compare_digest(plain.encode(), bearer.encode()):
        raise InvalidApiKey(headers=CHALLENGE)
    return plain or bearer or None


def resolve(credentials: str | None, ip: str) -> ApiKey:
    """The key that these credentials prove, valid now and from this address.

    Unknown, malformed, expired and revoked keys get the same answer. Only failures count
    against an address, so a valid key always passes.

    Raises:
        MissingApiKey: there are no credentials.
        InvalidApiKey: they prove nothing.
        IpNotAllowed: the key is right, and may not be used from this address.
        RateLimitExceeded: too many failures from this address.
    """
    if not credentials:
        raise MissingApiKey(headers=CHALLENGE)
    key = _lookup(credentials)
    if key is None or not _is_valid(key):
        _refuse(ip)
    if not _may_come_from(key, ip):
        raise IpNotAllowed()
    _note_use(key, ip)
    return key


def check_standing(key: ApiKey, ip: str) -> None:
    """Pass if a key that was proved otherwise (by a ticket) stands, and from this address.

    Raises:
        InvalidApiKey, IpNotAllowed.
    """
    if not is_live(key.pk):
        raise InvalidApiKey(headers=CHALLENGE)
    if not _may_come_from(key, ip):
        raise IpNotAllowed()


def route_needs_key(method: str, path: str) -> bool:
    """Whether this route needs a key by the server's `requireAuth`; in doubt it does."""
    rules = options().auth
    return rules.enabled and routes.needs_key(rules.require_auth, method, path)


def anonymous() -> ApiKey:
    """The key that stands for callers without one."""
    known: ApiKey | None = RESOLVED.get(ANONYMOUS_HASH)
    if known is not None:
        return known
    generation = RESOLVED.generation
    key = anonymous_key()
    RESOLVED.put(ANONYMOUS_HASH, key, generation)
    return key


def known_live(key_id: UUID) -> bool | None:
    """Whether the key stands, as read within the last second; None: ask `is_live`."""
    known = RESOLVED.liveness(key_id)
    return None if known is None or known.is_stale else known.is_live


def is_live(key_id: UUID) -> bool:
    """Whether a key is still neither revoked nor expired, for streams already open.

    Reads the database at most about once a second for a key, however many streams ask: whoever
    finds the last reading stale renews it, and the others go by that one meanwhile.
    """
    known = RESOLVED.liveness(key_id)
    if known is not None and not (known.is_stale and RESOLVED.claim_reading(key_id, known)):
        return known.is_live
    generation = RESOLVED.generation
    key = ApiKey.objects.filter(pk=key_id).first()
    standing = key is not None and _is_valid(key)
    RESOLVED.put_liveness(key_id, standing, key.expires_at if key else None, generation)
    return standing


def _lookup(credentials: str) -> ApiKey | None:
    if len(credentials) > MAXIMUM_KEY_LENGTH or not credentials.isascii():
        return None
    digest = tokens.digest(credentials)
    known: ApiKey | None = RESOLVED.get(digest)
    if known is not None:
        return known
    generation = RESOLVED.generation
    key = _find(credentials, digest)
    if key is not None:
        RESOLVED.put(digest, key, generation)
    return key


def _find(credentials: str, digest: str) -> ApiKey | None:
    configured = environment_digest(credentials)
    if configured is not None:
        return environment_key(configured)
    parsed = tokens.parse(credentials)
    if parsed is None:
        return None
    key = ApiKey.objects.filter(public_id=parsed.id, source=Source.ISSUED).first()
    # An unknown id costs the same comparisons as a wrong secret.
    current = hmac.compare_digest(key.secret_hash if key else _NO_HASH, digest)
    previous = hmac.compare_digest((key and key.previous_secret_hash) or _NO_HASH, digest)
    overlapping = bool(
        key and key.previous_valid_until and key.previous_valid_until > timezone.now()
    )
    return key if current or (previous and overlapping) else None


def _is_valid(key: ApiKey) -> bool:
    return key.is_standing and not is_gone(key)


def _refuse(ip: str) -> NoReturn:
    limits.failed_credentials(ip)
    raise InvalidApiKey(headers=CHALLENGE)


def _may_come_from(key: ApiKey, ip: str) -> bool:
    return not key.allowed_ips or _is_within(ip, tuple(key.allowed_ips))


def _is_within(ip: str, ranges: tuple[str, ...]) -> bool:
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    candidates = [address] if mapped is None else [address, mapped]
    return any(one in network for network in _networks(ranges) for one in candidates)


@lru_cache(maxsize=1024)
def _networks(ranges: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in ranges)


def _note_use(key: ApiKey, ip: str) -> None:
    if not RESOLVED.claim_touch(key.pk):
        return
    try:
        key.touch(_storable(ip))
    except DatabaseError as error:
        # Worth less than the request it belongs to.
        log.warning("last_used_not_noted", key=key.prefix, error=type(error).__name__)


def _storable(ip: str) -> str | None:
    try:
        return str(ipaddress.ip_address(ip.partition("%")[0]))
    except ValueError:
        return None
