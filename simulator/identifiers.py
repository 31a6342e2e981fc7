"""Ids that look like the real ones. Random, because clients rely on their being unique."""

from __future__ import annotations

import random

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def new_id(prefix: str) -> str:
    """A fresh id, such as ``msg_01…`` for the prefix ``msg``."""
    return f"{prefix}_01" + "".join(random.choices(_ALPHABET, k=22))
