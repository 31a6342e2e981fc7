"""How often a fault has struck: ``times=2`` fails twice and then lets one request through."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

_REMEMBERED = 10_000
"""Counters that are kept; the least recently used goes first."""


class FaultCounters:
    """Counts per key, in bounded memory."""

    def __init__(self) -> None:
        self._struck: OrderedDict[Hashable, int] = OrderedDict()

    def strikes(self, key: Hashable, times: int) -> bool:
        """Whether the fault strikes this time: ``times`` times yes, once no, and so on.

        Starting again after the no lets a test be repeated against a simulator that stays up.
        """
        struck = self._struck.pop(key, 0)
        if struck >= times:
            return False
        self._struck[key] = struck + 1
        if len(self._struck) > _REMEMBERED:
            self._struck.popitem(last=False)
        return True

    def clear(self) -> None:
        """Forget every count."""
        self._struck.clear()
