"""Filters for text of strangers, moments and money."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.approvals import cards
from console.reading import text
from console.reading.names import name_of
from keys_app import budgets

register = template.Library()

register.filter("prose", text.prose)
register.filter("code", text.code)
register.filter("line", text.line)
register.filter("in_a_line", cards.in_a_line)
register.filter("pretty", lambda value: text.code(text.pretty(value)))
register.filter("session_name", name_of)


@register.filter
def money(value: Decimal | None) -> str:
    """US dollars, as exactly as they are known."""
    return f"${budgets.money(value or Decimal(0))}"


@register.filter
def cost(value: Decimal | None) -> str:
    """US dollars at a glance: four decimals."""
    amount = value or Decimal(0)
    if 0 < amount < Decimal("0.0001"):
        return "<$0.0001"
    return f"${amount:,.4f}" if amount else "$0"


@register.filter
def tokens_in(row: Any) -> int:
    """What was sent to the model, also what it had in its cache."""
    return int(row.input_tokens + row.cache_read_tokens + row.cache_creation_tokens)


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """A moment in UTC, with the year where it is another one.

    The browser may say it in its own time zone.
    """
    if value is None:
        return "-"
    at = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        at.isoformat(timespec="milliseconds"),
        at.strftime("%Y-%m-%d %H:%M:%S"),
        at.strftime("%d %b %H:%M:%S" if at.year == timezone.now().year else "%d %b %Y %H:%M:%S"),
    )


@register.filter
def duration(milliseconds: int | None) -> str:
    """Milliseconds as a person says them."""
    if not milliseconds:
        return "-"
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@register.filter
def thousands(value: int | None) -> str:
    """A whole number in groups of three."""
    return f"{value or 0:,}"


@register.filter
def tone(status: Any) -> str:
    """The colour that a status has everywhere."""
    return _TONES.get(str(status), "quiet")


_TONES = {
    "active": "ok",
    "completed": "ok",
    "allowed": "ok",
    "done": "ok",
    "running": "ok",
    "waiting": "warn",
    "pending": "warn",
    "queued": "warn",
    "failed": "bad",
    "error": "bad",
    "denied": "bad",
}
