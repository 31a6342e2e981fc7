"""A key's text, on its way from the request that made it to the one page that shows it.

It waits in the cache, encrypted, for the sign-in that made it, for five minutes: it is in no
table, no address and no log. Whoever reads it takes it away.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from redis.exceptions import RedisError

from claudeapi.core.errors import Unavailable
from keys_app import tokens
from keys_app.models import ApiKey

SECONDS = 300


def keep(request: HttpRequest, key: ApiKey, text: str) -> None:
    """Let the text wait. To be called in the transaction that makes it valid.

    Raises:
        Unavailable: the cache does not answer; the transaction should not stand.
    """
    try:
        cache.set(_place(request, key), _cipher().encrypt(text.encode()), SECONDS)
    except (OSError, RedisError) as error:
        raise Unavailable("The cache does not answer, so the key could not be shown.") from error


def is_waiting(request: HttpRequest, key: ApiKey) -> bool:
    """Whether a text of this key waits for this sign-in."""
    return cache.get(_place(request, key)) is not None


def take(request: HttpRequest, key: ApiKey) -> str:
    """The text, this once; "" when it was taken, has lapsed, or is no longer the key's."""
    place = _place(request, key)
    sealed = cache.get(place)
    # Of two who read at once, one deletes it.
    if sealed is None or not cache.delete(place):
        return ""
    text = _cipher().decrypt(sealed).decode()
    return text if hmac.compare_digest(tokens.digest(text), key.secret_hash) else ""


def _place(request: HttpRequest, key: ApiKey) -> str:
    sign_in = hashlib.sha256(str(request.session.session_key).encode()).hexdigest()
    return f"console.key:{sign_in}:{key.pk}"


def _cipher() -> Fernet:
    material = hashlib.sha256(b"console.keys.shown_once:" + settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(material.digest()))
