"""What a key used and has left, on its own page and in the list of keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.keys import figures
from keys_app import budgets, limits
from sessions_app import processes
from sessions_app.models import ServerProcess
from tests.console.talking import run_of, session_of

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def used(key: Any, model: str = "m", **fields: Any) -> None:
    budgets.record(key.pk, fields.pop("engine", "messages"), model, **fields)


def test_usage_is_summed_by_day_month_and_thirty_days(alice: Any) -> None:
    for days, cost in ((0, 1), (3, 2), (9, 4), (20, 8), (40, 16)):
        used(alice.key, cost_usd=Decimal(cost), input_tokens=10, at=NOON - timedelta(days=days))
    periods = figures.used_by(alice.key, NOON).periods
    assert {label: int(sums.cost_usd) for label, sums in periods.items()} == {
        "Today": 1,
        "This month": 7,
        "30 days": 15,
    }
    assert periods["30 days"].tokens == 40


def test_usage_is_shown_by_model_and_by_day(alice: Any) -> None:
    used(alice.key, "dear", cost_usd=Decimal(9), at=NOON)
    used(alice.key, "cheap", cost_usd=Decimal(1), at=NOON - timedelta(days=1))
    usage = figures.used_by(alice.key, NOON)
    assert [model for _, model, _ in usage.models] == ["dear", "cheap"]
    assert [row.total for row in usage.days.rows] == ["9", "1"]


def test_a_key_page_shows_what_it_used_and_what_is_left(admin_client: Client, issue: Any) -> None:
    key = issue("Alice", rate_limit=9, budget_day_usd=5, max_sessions=4, max_runs=2).key
    used(key, "claude-x", cost_usd=Decimal("1.25"), runs=3)
    limits.hit(key)
    session = session_of(key)
    run_of(session, status="running", finished_at=None, owner=_process())
    page = admin_client.get(reverse("admin:keys_app_apikey_change", args=[key.pk]))
    left = {line.label: (line.used, line.remaining) for line in page.context["left"]}
    assert left["Requests in this window"] == (1, 8)
    assert left["Sessions at once"] == (1, 3)
    assert left["Runs at once"] == (1, 1)
    assert left["Budget of this day"] == (Decimal("1.25"), Decimal("3.75"))
    html = page.content.decode()
    assert "claude-x" in html
    assert "3 runs" in html


def _process() -> str:
    processes.beat({})
    return ServerProcess.objects.get().pk


def test_the_list_of_keys_shows_what_each_cost_this_month(admin_client: Client, alice: Any) -> None:
    used(alice.key, cost_usd=Decimal("12.345"))
    used(alice.key, cost_usd=Decimal(100), at=timezone.now() - timedelta(days=40))
    html = admin_client.get(reverse("admin:keys_app_apikey_changelist")).content.decode()
    assert "$12.35" in html or "$12.34" in html


def test_the_chart_of_a_key_names_its_days(admin_client: Client, alice: Any) -> None:
    at = timezone.now() - timedelta(days=3)
    used(alice.key, cost_usd=Decimal("1.25"), at=at)

    url = reverse("admin:keys_app_apikey_change", args=[alice.key.pk])
    html = admin_client.get(url).content.decode()

    assert f"<title>{at:%d %b}, cost: 1.25</title>" in html
    assert f'<th scope="row">{at:%d %b}</th><td class="number">$1.25</td>' in html


@pytest.mark.django_db(transaction=True)
async def test_the_usage_of_chosen_keys_is_exported_from_their_list(
    admin_client: Client, alice: Any, issue: Any
) -> None:
    for holder in (alice, await sync_to_async(issue)("Bob")):
        await sync_to_async(used)(holder.key, holder.key.name)
    chosen = {"action": "export_usage", "_selected_action": [alice.key.pk]}
    keys = reverse("admin:keys_app_apikey_changelist")
    answer = await sync_to_async(admin_client.post)(keys, chosen)
    text = b"".join([part async for part in answer]).decode()
    assert "Alice" in text
    assert "Bob" not in text
