"""Numbers and money at a glance, and keys that need a look, for the pages that show keys."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import template

from console import roles
from console.keys import states
from console.overview.drawing import shown
from keys_app import budgets

register = template.Library()


@register.filter
def short(value: float) -> str:
    """1,234 or 12.3k."""
    return shown(value)


@register.filter
def about(amount: Decimal | None) -> str:
    """US dollars in cents; what is less than ten of them, more exactly."""
    amount = amount or Decimal(0)
    if amount >= Decimal("0.1"):
        return f"${amount:,.2f}"
    return f"${budgets.money(round(amount, 4) if amount >= Decimal('0.001') else amount)}"


@register.inclusion_tag("console/keys/attention.html", takes_context=True)
def keys_to_look_at(context: Any) -> dict[str, Any]:
    """Which keys expire soon or are not used, for those who may see keys."""
    may_see = roles.may(context["request"].user, "keys_app.view_apikey")
    return {"attention": states.attention() if may_see else None}
