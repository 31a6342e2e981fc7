"""What keys used, in the console: as a list, filtered and added up, and as a file."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.keys import figures, usage_export
from console.keys.filters import period
from console.models import AuditEntry
from keys_app import budgets
from keys_app.models import UsageSum

pytestmark = pytest.mark.django_db
LIST = "admin:keys_app_usagesum_changelist"
EXPORT = "admin:keys_app_usagesum_export"
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def used(key: Any, model: str = "m", **fields: Any) -> None:
    budgets.record(key.pk, fields.pop("engine", "messages"), model, **fields)


def listed(client: Client, **query: str) -> list[str]:
    rows = client.get(reverse(LIST), query).context["cl"].result_list
    return sorted(row.model for row in rows)


async def exported(client: Client, **query: str) -> list[dict[str, str]]:
    answer = await sync_to_async(client.get)(reverse(EXPORT), query)
    text = b"".join([part async for part in answer]).decode()
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("today", "03-10", "03-11"),
        ("7d", "03-04", "03-11"),
        ("30d", "02-09", "03-11"),
        ("month", "03-01", "03-11"),
        ("last-month", "02-01", "03-01"),
    ],
)
def test_periods_are_days_and_months_of_utc(name: str, first: str, last: str) -> None:
    bounds = period(name, NOON)
    assert bounds is not None
    assert [f"{moment:%m-%d}" for moment in bounds] == [first, last]


def test_usage_is_filtered_and_searched(admin_client: Client, alice: Any, issue: Any) -> None:
    used(alice.key, "now")
    used(alice.key, "old", at=timezone.now() - timedelta(days=100))
    used(issue("Bob").key, "bobs", engine="claude-code")
    assert listed(admin_client, period="30d") == ["bobs", "now"]
    assert listed(admin_client, engine="claude-code") == ["bobs"]
    assert listed(admin_client, model="old") == ["old"]
    assert listed(admin_client, key=str(alice.key.pk)) == ["now", "old"]
    assert listed(admin_client, q="bob") == ["bobs"]
    assert listed(admin_client, q=f"{alice.key.prefix}_••••") == ["now", "old"]
    assert listed(admin_client, q="old") == ["old"]


@pytest.mark.parametrize("query", [{"key": str(uuid4())}, {"key": "x"}, {"period": "x"}])
def test_an_unknown_filter_shows_nothing_rather_than_all(
    admin_client: Client, alice: Any, query: dict[str, str]
) -> None:
    used(alice.key)
    assert listed(admin_client, **query) == []


def test_the_list_says_what_it_comes_to(
    admin_client: Client, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in range(5):
        used(alice.key, cost_usd=Decimal(2), at=timezone.now() - timedelta(hours=hours))
    totals = admin_client.get(reverse(LIST)).context["totals"]
    assert (totals["used"].runs, totals["used"].cost_usd, totals["note"]) == (5, 10, "")
    monkeypatch.setattr(figures, "ADDED_UP", 3)
    totals = admin_client.get(reverse(LIST)).context["totals"]
    assert (totals["used"].runs, totals["note"]) == (3, ", of the newest 3 lines")


def test_usage_sums_are_read_only(admin_client: Client, alice: Any) -> None:
    used(alice.key)
    row = alice.key.usage_sums.get()
    change = reverse("admin:keys_app_usagesum_change", args=[row.pk])
    assert admin_client.get(change).status_code == 200
    assert admin_client.post(change, {"runs": "5"}).status_code == 403
    assert admin_client.get(reverse("admin:keys_app_usagesum_add")).status_code == 403


@pytest.mark.django_db(transaction=True)
async def test_the_export_is_what_the_filter_leaves_newest_first(
    admin_client: Client, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_export, "PAGE", 2)
    now = timezone.now()
    for days in (*range(6), 100):
        await sync_to_async(used)(alice.key, f"m{days}", at=now - timedelta(days=days), runs=days)
    found = await exported(admin_client, period="30d")
    assert [row["model"] for row in found] == ["m0", "m1", "m2", "m3", "m4", "m5"]
    assert (found[0]["key"], found[0]["runs"], found[0]["cost_usd"]) == (
        alice.key.prefix, "0", "0.00",
    )  # fmt: skip
    assert await exported(admin_client, key=str(uuid4())) == []
    entry = await AuditEntry.objects.filter(verb="usage.exported").order_by("id").afirst()
    assert entry is not None
    assert entry.details == {"filters": {"period": "30d"}}


@pytest.mark.django_db(transaction=True)
async def test_several_hours_of_one_moment_are_exported_once_each(
    admin_client: Client, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_export, "PAGE", 3)
    for number in range(10):
        await sync_to_async(used)(alice.key, f"m{number}", at=NOON)
    models = [row["model"] for row in await exported(admin_client)]
    assert sorted(models) == [f"m{number}" for number in range(10)]


@pytest.mark.django_db(transaction=True)
async def test_a_name_in_the_export_starts_no_formula(admin_client: Client, issue: Any) -> None:
    holder = await sync_to_async(issue)('=HYPERLINK("http://192.0.2.1")')
    await sync_to_async(used)(holder.key, "@SUM(1)")
    [row] = await exported(admin_client)
    assert row["key_name"].startswith("'=")
    assert row["model"].startswith("'@")


def test_an_export_with_a_filter_that_is_none_is_refused(admin_client: Client) -> None:
    assert admin_client.get(reverse(EXPORT), {"hour__nonsense": "1"}).status_code in (400, 404)
    assert not UsageSum.objects.exists()
