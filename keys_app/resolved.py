"""Keys resolved a moment ago, kept for two seconds, and the word that one has changed.

In this process a change takes effect at once; other processes hear it over the channel layer
(group `keys`), and without one the two seconds bound it.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from django.utils import timezone

TTL = 2.0
LIVE_TTL = 1.0
TOUCH_SECONDS = 60.0
MAX_ENTRIES = 10_000


class Identified(Protocol):
    """All that is asked of a key here."""

    pk: Any


K = TypeVar("K", bound=Identified)


@dataclass(frozen=True)
class Liveness:
    """What was last read of a key: whether it stood, until when, and when to ask again."""

    standing: bool
    expires_at: datetime | None
    stale_at: float

    @property
    def is_stale(self) -> bool:
        """Whether it is time to read again."""
        return self.stale_at <= time.monotonic()

    @property
    def is_live(self) -> bool:
        """Whether the key stands now, by this reading."""
        return self.standing and (self.expires_at is None or self.expires_at > timezone.now())


class ResolvedKeys(Generic[K]):
    """A bounded, thread-safe cache of keys by the digest of their text, and of their liveness.

    A lookup that began before a change does not get in after it: `generation` is taken before
    the query and given back with its result.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        """Begin empty; `max_entries` bounds each of its three tables."""
        self.generation = 0
        self._max = max_entries
        self._lock = threading.Lock()
        self._keys: OrderedDict[str, tuple[K, float]] = OrderedDict()
        self._live: OrderedDict[UUID, Liveness] = OrderedDict()
        self._touched: OrderedDict[UUID, float] = OrderedDict()

    def get(self, digest: str) -> K | None:
        """The key resolved for this digest within the last two seconds."""
        entry = self._keys.get(digest)
        if entry is None or entry[1] <= time.monotonic():
            return None
        return entry[0]

    def put(self, digest: str, key: K, generation: int) -> None:
        """Keep a key, unless something changed since the generation given."""
        with self._lock:
            if generation != self.generation:
                return
            self._keys[digest] = (key, time.monotonic() + TTL)
            self._keys.move_to_end(digest)
            while len(self._keys) > self._max:
                self._keys.popitem(last=False)

    def liveness(self, key_id: UUID) -> Liveness | None:
        """What was last read of this key's standing, however old."""
        return self._live.get(key_id)

    def claim_reading(self, key_id: UUID, seen: Liveness) -> bool:
        """Whether this caller is the one to read again; others keep to what was `seen`."""
        with self._lock:
            if self._live.get(key_id) is not seen:
                return False
            self._live[key_id] = replace(seen, stale_at=time.monotonic() + LIVE_TTL)
            return True

    def put_liveness(
        self, key_id: UUID, standing: bool, expires_at: datetime | None, generation: int
    ) -> None:
        """Keep a key's standing for a second, unless something changed meanwhile."""
        with self._lock:
            if generation != self.generation:
                return
            self._live[key_id] = Liveness(standing, expires_at, time.monotonic() + LIVE_TTL)
            self._live.move_to_end(key_id)
            while len(self._live) > self._max:
                self._live.popitem(last=False)

    def is_touch_due(self, key_id: UUID) -> bool:
        """Whether a minute has passed since this process noted the key's use."""
        noted = self._touched.get(key_id)
        return noted is None or time.monotonic() - noted >= TOUCH_SECONDS

    def claim_touch(self, key_id: UUID) -> bool:
        """Whether it is this caller's turn to note the key's use: once a minute in a process."""
        with self._lock:
            if not self.is_touch_due(key_id):
                return False
            self._touched[key_id] = time.monotonic()
            self._touched.move_to_end(key_id)
            while len(self._touched) > self._max:
                self._touched.popitem(last=False)
            return True

    def forget(self, key_id: UUID) -> None:
        """Drop all that is known of a key: the next question goes to the database."""
        with self._lock:
            self.generation += 1
            self._live.pop(key_id, None)
            for digest in [d for d, (key, _) in self._keys.items() if key.pk == key_id]:
                del self._keys[digest]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self.generation += 1
            self._keys.clear()
            self._live.clear()
            self._touched.clear()


RESOLVED: ResolvedKeys[Any] = ResolvedKeys()
