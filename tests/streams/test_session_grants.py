"""What was allowed for a session, as its next run finds it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from keys_app.models import ApiKey
from sessions_app import agents
from sessions_app.models import Approval, Run, Session

pytestmark = pytest.mark.django_db


def make_session(engine: str = "claude-code", **policy: Any) -> Session:
    key = ApiKey.objects.create(name="Alice", secret_hash=uuid4().hex, public_id=uuid4().hex[:8])
    for name, value in policy.items():
        setattr(key, name, value)
    now = timezone.now()
    later = now + timedelta(hours=1)
    return Session.objects.create(
        key=key, engine=engine, model="m", timeout_ms=1000, expires_at=later
    )


def asked(session: Session, tool: str, status: str = "allowed", scope: str = "session") -> None:
    run = Run.objects.create(session=session, key=session.key, prompt=[])
    rule = {"type": "addRules", "rules": [{"toolName": tool}], "behavior": "allow"}
    Approval.objects.create(
        session=session,
        run=run,
        tool_name=tool,
        suggestions=[rule],
        status=status,
        scope=scope,
        expires_at=timezone.now(),
    )


def granted(session: Session) -> list[str]:
    updates = agents.turn_config(session)["granted"]
    return [rule["toolName"] for update in updates for rule in update["rules"]]


def test_only_a_yes_for_the_session_lasts_and_only_in_it() -> None:
    session, other = make_session(), make_session()
    asked(session, "Bash")
    asked(session, "Write", scope="once")
    asked(session, "Edit", status="denied", scope="")
    asked(session, "Grep", status="pending", scope="")
    asked(other, "Read")

    assert granted(session) == ["Bash"]


def test_a_tool_that_the_policy_has_no_more_is_not_granted() -> None:
    session = make_session(tools=["Re*"])
    asked(session, "Bash")
    asked(session, "Read")

    assert granted(session) == ["Read"]


def test_a_conversation_has_no_grants(django_assert_num_queries: Any) -> None:
    session = make_session("messages")
    with django_assert_num_queries(0):
        assert agents.turn_config(session)["granted"] == []
