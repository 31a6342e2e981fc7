"""Keys from the environment: strings the operator chose, each a key and tenant of its own."""

from __future__ import annotations

import hmac
from functools import lru_cache

from django.db.models import Q

from claudeapi.conf import options
from keys_app import tokens
from keys_app.models import ANONYMOUS_HASH, ApiKey, ApiKeyQuerySet, Source


def sync_environment_keys() -> list[ApiKey]:
    """Make a row for every key of the environment that has none; all of them, in order.

    Safe to run in many processes at once. A row whose key is gone from the environment stays,
    with its sessions and sums, and lets nobody in.
    """
    return [_row(digest, number) for number, digest in enumerate(_configured(), start=1)]


def environment_digest(text: str) -> str | None:
    """The digest of a text that is a key of the environment now, compared in constant time."""
    presented = tokens.digest(text)
    found = None
    for digest in _configured():
        if hmac.compare_digest(digest, presented):
            found = digest
    return found


def environment_key(digest: str) -> ApiKey:
    """The row of a key of the environment, made on first use."""
    return _row(digest, _configured().index(digest) + 1)


def is_gone(key: ApiKey) -> bool:
    """Whether a key came from the environment and is there no more."""
    return key.source == Source.ENVIRONMENT and key.secret_hash not in _configured()


def working(keys: ApiKeyQuerySet) -> ApiKeyQuerySet:
    """Those of these keys that stand, and are not gone from the environment."""
    return keys.standing().exclude(_gone())


def gone(keys: ApiKeyQuerySet) -> ApiKeyQuerySet:
    """Those of these keys that came from the environment and are there no more."""
    return keys.filter(_gone())


def _gone() -> Q:
    return Q(source=Source.ENVIRONMENT) & ~Q(secret_hash__in=_configured())


def anonymous_key() -> ApiKey:
    """The tenant of callers without a key, where none is needed; made on first use."""
    return _get_or_create(ANONYMOUS_HASH, "Callers without a key", Source.ANONYMOUS)


def _configured() -> tuple[str, ...]:
    return _digests(options().auth.api_keys)


@lru_cache(maxsize=4)
def _digests(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tokens.digest(text) for text in texts))


def _row(digest: str, number: int) -> ApiKey:
    return _get_or_create(digest, f"Environment key {number}", Source.ENVIRONMENT)


def _get_or_create(secret_hash: str, name: str, source: Source) -> ApiKey:
    key, _ = ApiKey.objects.get_or_create(
        secret_hash=secret_hash, defaults={"name": name, "source": source}
    )
    return key
