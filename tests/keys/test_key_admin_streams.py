"""How many streams revoking a key would cut off."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from sessions_app.models import ServerProcess

pytestmark = pytest.mark.django_db


def test_open_streams_are_counted_over_all_living_processes(
    admin_client: Client, alice: Any, issue: Any
) -> None:
    bob, now = issue("Bob").key, timezone.now()
    for number, (key, age) in enumerate(
        [(alice.key, 0), (alice.key, 1), (bob, 0), (alice.key, 60)]
    ):
        ServerProcess.objects.create(
            id=str(number),
            host="h",
            pid=number,
            version="1",
            heartbeat_at=now - timedelta(seconds=age),
            facts={"streams": 2, "streamsByKey": {str(key.pk): 2}},
        )
    page = reverse("admin:keys_app_apikey_revoke", args=[alice.key.pk])
    assert "open streams (4)" in admin_client.get(page).content.decode()
