"""What a key holds now, told by those who know: what revoking it would cut off.

Other apps register a function each; keys know nothing of sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

Holding = Callable[[UUID], Mapping[str, int]]

_told_by: list[Holding] = []


def register(holding: Holding) -> Holding:
    """Ask this function too, from now on; usable as a decorator, harmless when repeated.

    Args:
        holding: from a key's id to counts by what is counted, in the plural: `active sessions`.
    """
    if holding not in _told_by:
        _told_by.append(holding)
    return holding


def unregister(holding: Holding) -> None:
    """Ask it no more."""
    _told_by.remove(holding)


def held_by(key_id: UUID) -> dict[str, int]:
    """Everything that the key holds now, counts of nothing left out."""
    counts: dict[str, int] = {}
    for holding in _told_by:
        counts |= {what: count for what, count in holding(key_id).items() if count}
    return counts


def sentence(counts: Mapping[str, int]) -> str:
    """The counts as a person reads them."""
    if not counts:
        return "Nothing is in progress with it."
    held = ", ".join(f"{what} ({n})" for what, n in counts.items())
    return f"This cuts its clients off from {held}."
