"""How often somebody may fail to sign in: per address, and per name from one address.

A name alone has a wide bound only, or strangers could lock its owner out. Codes of a second
factor have a narrow one: only who has the password gets that far.

An attempt is counted before it is looked at, and taken back where it was right, or where it was
not looked at: of any number that come at the same moment, no more are looked at than may fail.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from django.core.cache import cache
from redis.exceptions import RedisError

from claudeapi.core.errors import Unavailable
from keys_app.limits import count_use, site_of

WINDOW_SECONDS = 300
PER_ADDRESS = 20
PER_NAME_AND_ADDRESS = 5
PER_NAME = 100
CODE_WINDOW_SECONDS = 3600
CODES_PER_NAME = 10


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that has been counted.

    Attributes:
        is_open: whether it may be looked at; too many have failed else.
    """

    counters: tuple[str, ...]
    is_open: bool

    def take_back(self) -> None:
        """It was right, or not looked at."""
        for counter in self.counters:
            # One that has ended meanwhile, or cannot be reached, has nothing to take back.
            with suppress(ValueError, OSError, RedisError):
                cache.decr(counter)


def begin(address: str, name: str) -> Attempt:
    """Count an attempt that is about to be looked at.

    Raises:
        Unavailable: it cannot be counted; nobody is let in uncounted.
    """
    where, who = site_of(address), _who(name)
    bounds = {
        _counter("address", where): PER_ADDRESS,
        _counter("pair", f"{where} {who}"): PER_NAME_AND_ADDRESS,
        _counter("name", who): PER_NAME,
    }
    counts = [(_add(counter), most) for counter, most in bounds.items()]
    attempt = Attempt(tuple(bounds), all(count <= most for count, most in counts))
    if not attempt.is_open:
        attempt.take_back()
    return attempt


def may_try_code(name: str) -> bool:
    """Count one code that is about to be looked at, right or wrong, from wherever it comes.

    Raises:
        Unavailable: it cannot be counted.
    """
    count, _ = count_use("signin.code", _who(name), CODES_PER_NAME, CODE_WINDOW_SECONDS)
    return count <= CODES_PER_NAME


def _counter(group: str, subject: str) -> str:
    digest = hashlib.sha256(subject.encode("utf-8", "replace")).hexdigest()
    return f"signin.{group}.{digest}"


def _add(counter: str) -> int:
    try:
        cache.add(counter, 0, WINDOW_SECONDS)
        return int(cache.incr(counter))
    except ValueError:
        return _add(counter)  # it ended between the two
    except (OSError, RedisError) as error:
        raise Unavailable("Sign-ins cannot be counted at the moment.") from error


def _who(name: str) -> str:
    return name.strip().lower()[:150]
