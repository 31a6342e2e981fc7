"""What the form for a key is filled in with: a preset's policy, or another key's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from console.keys.finding import find
from keys_app.budgets import money
from keys_app.models import ApiKey
from keys_app.presets import PRESETS, policy_of

CHECKED = ("scopes", "engines", "permission_modes")


@dataclass(frozen=True, slots=True)
class Filled:
    """Values for the form, and where they come from.

    Attributes:
        preset: the name of the preset that was chosen.
        like: the key that this one shall be like.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    preset: str = ""
    like: ApiKey | None = None


def from_query(query: Mapping[str, Any]) -> Filled:
    """`?preset=NAME`, or `?like=ID`; nothing for what is unknown."""
    if preset := PRESETS.get(str(query.get("preset", ""))):
        return Filled(preset.fields(), preset=preset.name)
    like = find(query.get("like"))
    return Filled(_alike(like), like=like) if like else Filled()


def as_inputs() -> dict[str, dict[str, Any]]:
    """Every preset as a browser's form has it: lists for check boxes, text for the rest."""
    return {
        name: {key: value for pair in preset.fields().items() for key, value in _inputs(*pair)}
        for name, preset in PRESETS.items()
    }


def _alike(key: ApiKey) -> dict[str, Any]:
    """The policy of a key, and a life as long as it was given; its name and owner are its own."""
    lifetime = key.expires_at - key.created_at if key.expires_at else None
    return {
        **policy_of(key),
        "allowed_ips": key.allowed_ips,
        "metadata": key.metadata,
        "expires_at": timezone.now() + lifetime if lifetime else None,
    }


def _inputs(name: str, value: Any) -> list[tuple[str, Any]]:
    if name == "expires_at":
        at: datetime = value.astimezone(UTC)
        return [(f"{name}_0", at.strftime("%Y-%m-%d")), (f"{name}_1", at.strftime("%H:%M:%S"))]
    if name in CHECKED or isinstance(value, bool):
        return [(name, value)]
    if isinstance(value, list):
        return [(name, "\n".join(value))]
    if isinstance(value, Decimal):
        return [(name, money(value))]
    return [(name, "" if value is None else str(value))]
