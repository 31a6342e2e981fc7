"""The service-wide switch: pause, drain, resume."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from claudeapi.core import errors
from console.models import AuditEntry
from keys_app.models import ApiKey
from sessions_app import runs, switch
from sessions_app.actions.messages import NewMessage, send_message
from sessions_app.actions.service import turn_switch
from sessions_app.models import Run, RunStatus, Session
from sessions_app.runner import runner

pytestmark = pytest.mark.django_db
PAGE = "admin:console_service"


@pytest.fixture
def session() -> Session:
    key = ApiKey.objects.create(name="Alice", secret_hash="a" * 64, scopes=["sessions:write"])
    return Session.objects.create(
        key=key,
        engine="messages",
        model="claude-sonnet-5-5",
        timeout_ms=60_000,
        expires_at=timezone.now() + timedelta(minutes=1),
    )


def send(session: Session) -> Run:
    return send_message(session.key, session.id, NewMessage([{"type": "text", "text": "Hi"}]))


@pytest.mark.parametrize("state", ["paused", "draining"])
def test_a_paused_or_draining_service_refuses_messages_and_says_why(
    state: str, session: Session
) -> None:
    turn_switch(state, by="alice", reason="Moving house")
    switch.forget()
    with pytest.raises(errors.Draining) as refused:
        send(session)
    assert (refused.value.message, refused.value.status) == ("Moving house", 503)
    assert refused.value.retry_after == switch.RETRY_AFTER_SECONDS
    turn_switch("running", by="alice")
    switch.forget()
    assert send(session).status == RunStatus.QUEUED


def test_a_queued_run_waits_while_paused_and_is_finished_while_draining(session: Session) -> None:
    send(session)
    turn_switch("paused", by="alice")
    switch.forget()
    assert runs.claim_next(session.id) is None
    turn_switch("draining", by="alice")
    switch.forget()
    assert runs.claim_next(session.id) is not None


def test_resuming_starts_what_was_held_back(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Callable[..., object],
) -> None:
    run = send(session)
    Run.objects.update(owner="another process")
    started: list[object] = []
    monkeypatch.setattr(runner, "advance", lambda *given: started.append(given))
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[attr-defined]
        turn_switch("running", by="alice")
    assert started == [(run.session_id, "another process")]


def test_the_switch_is_read_once_a_second(django_assert_num_queries: Callable[..., object]) -> None:
    with django_assert_num_queries(1):  # type: ignore[attr-defined]
        for _ in range(20):
            switch.current()


def test_an_operator_pauses_and_everybody_sees_the_banner(
    signed_in: Callable[..., Client],
) -> None:
    operator, viewer = signed_in("operator"), signed_in("viewer")
    operator.post(reverse(PAGE), {"state": "paused", "reason": "Moving house", "sure": "on"})
    switch.forget()
    page = viewer.get(reverse("admin:keys_app_apikey_changelist")).content.decode()
    banner = page.partition('id="service-banner"')[2].partition("</div>")[0]
    assert "Moving house" in banner
    assert "hidden" not in banner.partition(">")[0]
    entry = AuditEntry.objects.get(verb="service.paused")
    assert (entry.actor, entry.details) == (
        "operator",
        {"reason": "Moving house", "before": "running"},
    )


@pytest.mark.parametrize("state", ["paused", "draining"])
def test_pausing_and_draining_ask_first(state: str, signed_in: Callable[..., Client]) -> None:
    asked = signed_in("operator").post(reverse(PAGE), {"state": state, "reason": "Moving house"})
    page = asked.content.decode()
    assert "the service?" in page
    assert "Moving house" in page
    switch.forget()
    assert switch.current().state == "running"


def test_what_was_said_of_one_incident_is_not_told_of_the_next(
    signed_in: Callable[..., Client],
) -> None:
    operator = signed_in("operator")
    turn_switch("paused", by="alice", reason="Moving house")
    switch.forget()
    operator.post(reverse(PAGE), {"state": "running", "reason": "Moving house"})
    switch.forget()
    assert (switch.current().state, switch.current().reason) == ("running", "")
    assert "Moving house" not in operator.get(reverse(PAGE)).content.decode()


def test_resuming_what_runs_is_nothing_to_write_down(signed_in: Callable[..., Client]) -> None:
    signed_in("operator").post(reverse(PAGE), {"state": "running", "reason": "Twice"})
    assert not AuditEntry.objects.filter(verb__startswith="service.").exists()


def test_the_reason_is_changed_while_the_service_is_paused(
    signed_in: Callable[..., Client],
) -> None:
    turn_switch("paused", by="alice", reason="Moving house")
    switch.forget()
    signed_in("operator").post(reverse(PAGE), {"state": "paused", "reason": "Back at noon"})
    switch.forget()
    assert (switch.current().state, switch.current().reason) == ("paused", "Back at noon")
    assert AuditEntry.objects.get(verb="service.reason_changed").actor == "operator"


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "x"},
        {},
        {"state": "paused", "reason": "\0"},
        {"state": "paused", "reason": "x" * 201},
    ],
)
def test_what_the_switch_cannot_take_turns_nothing(
    fields: dict[str, str], signed_in: Callable[..., Client]
) -> None:
    answer = signed_in("operator").post(reverse(PAGE), {"sure": "on", **fields}, follow=True)
    assert "errornote" in answer.content.decode() or 'class="error"' in answer.content.decode()
    switch.forget()
    assert switch.current().state == "running"


def test_a_viewer_cannot_turn_the_switch(signed_in: Callable[..., Client]) -> None:
    viewer = signed_in("viewer")
    assert viewer.post(reverse(PAGE), {"state": "paused"}).status_code == 403
    assert 'value="paused"' not in viewer.get(reverse(PAGE)).content.decode()
    switch.forget()
    assert switch.current().state == "running"


def test_health_is_degraded_and_readiness_tells_but_stays_ready(client: Client) -> None:
    turn_switch("paused", by="alice")
    switch.forget()
    assert client.get("/api/v1/health").json()["status"] == "degraded"
