"""Answers to approvals, told to those who keep them: approvals go with their sessions.

Other apps register a function each; sessions know nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable

from sessions_app.models import Approval

Keeper = Callable[[Approval], object]

_kept_by: list[Keeper] = []


def register(keeper: Keeper) -> Keeper:
    """Tell this function too, from now on; usable as a decorator, harmless when repeated.

    Args:
        keeper: takes the row as it was decided, in the transaction that decides it.
    """
    if keeper not in _kept_by:
        _kept_by.append(keeper)
    return keeper


def tell(row: Approval) -> None:
    """Somebody has answered, over whichever interface."""
    for keeper in _kept_by:
        keeper(row)
