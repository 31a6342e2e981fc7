"""What the fields of a key may hold, each refusal in a sentence for the operator."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from django.core.exceptions import ValidationError

from keys_app import scopes

PERMISSION_MODES = ("default", "acceptEdits", "plan", "dontAsk", "bypassPermissions")
MAX_ENTRIES = 200
MAX_ENTRY_LENGTH = 1024
MAX_METADATA_BYTES = 16 * 1024


def string_list(value: Any) -> None:
    """Refuse all but a list of up to 200 different non-empty strings."""
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValidationError("Give a list of strings.", code="not_a_list")
    if len(value) > MAX_ENTRIES:
        raise ValidationError(f"At most {MAX_ENTRIES} entries are allowed.", code="too_many")
    for entry in value:
        if (
            not entry.strip()
            or len(entry) > MAX_ENTRY_LENGTH
            or "\0" in entry
            or not _is_utf8(entry)
        ):
            raise ValidationError("An entry is empty, too long or holds NUL.", code="bad_entry")
    if len(set(value)) != len(value):
        raise ValidationError("An entry is given twice.", code="duplicate")


def known_scopes(value: Any) -> None:
    """Refuse unknown scopes."""
    _one_of(value, scopes.ALL, "scope")


def known_permission_modes(value: Any) -> None:
    """Refuse unknown permission modes."""
    _one_of(value, PERMISSION_MODES, "permission mode")


def ip_ranges(value: Any) -> None:
    """Refuse what is not an IPv4 or IPv6 address or CIDR range."""
    string_list(value)
    for entry in value:
        try:
            ipaddress.ip_network(entry)
        except ValueError as error:
            raise ValidationError(
                f"{entry!r} is not an address or range such as 192.0.2.0/24 or 2001:db8::/32"
                f" ({error}).",
                code="bad_range",
            ) from error


def absolute_paths(value: Any) -> None:
    """Refuse folders that are not absolute, or climb with `..`."""
    string_list(value)
    for entry in value:
        if not entry.startswith("/") or ".." in entry.split("/"):
            raise ValidationError(f"{entry!r} is not an absolute path.", code="bad_path")


def json_object(value: Any) -> None:
    """Refuse all but a JSON object of at most 16 KiB that every database can keep."""
    if not isinstance(value, dict):
        raise ValidationError("Give a JSON object.", code="not_an_object")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValidationError("NaN and infinities are not allowed.", code="bad_number") from error
    if "\\u0000" in text or not _is_utf8(text):
        raise ValidationError("NUL and lone surrogates are not allowed.", code="bad_text")
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise ValidationError("At most 16 KiB are allowed.", code="too_long")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _one_of(value: Any, allowed: tuple[str, ...], what: str) -> None:
    string_list(value)
    for entry in value:
        if entry not in allowed:
            raise ValidationError(
                f"{entry!r} is not a {what}; known: {', '.join(allowed)}.", code="unknown"
            )
