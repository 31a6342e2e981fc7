"""Values of command-line options: durations, moments, money, JSON."""

from __future__ import annotations

import json
import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d{1,6})([smhd])")


def duration(text: str) -> timedelta:
    """`90s`, `30m`, `24h`, `7d`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not a duration such as 90s, 30m, 24h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment(text: str) -> datetime:
    """A moment still to come: so long from now, or ISO 8601 (UTC unless it says otherwise)."""
    if _DURATION.fullmatch(text):
        return timezone.now() + duration(text)
    try:
        parsed = parse_datetime(text)
    except ValueError:
        parsed = None
    if parsed is None:
        raise ArgumentTypeError(f"{text!r} is neither a duration nor an ISO 8601 time")
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    if aware <= timezone.now():
        raise ArgumentTypeError(f"{text!r} is in the past")
    return aware


def usd(text: str) -> Decimal:
    """An amount of US dollars."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise ArgumentTypeError(f"{text!r} is not an amount such as 25 or 2.50")
    return amount


def json_object(text: str) -> Any:
    """A JSON value; the key's own validation says whether it will do."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ArgumentTypeError(f"not JSON: {error}") from error
