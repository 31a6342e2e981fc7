"""100,000 sessions and ten million events, and among them a session that is very long: every
page within 300 ms of SQL, by few queries.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse

from console import audit
from console.keys import states
from console.overview import snapshot
from sessions_app import switch
from sessions_app.models import Session
from tests.console import many, many_of_one
from tests.timing import TRIES

pytestmark = pytest.mark.slow

SQL_SECONDS = 0.3
QUERIES = 30
LOOK_QUERIES = 12

# Below the namespace `admin`; those of sessions take the first session's id.
PAGES = (
    "index",
    "index?span=day&by=model",
    "index?span=month&by=key",
    "console_charts?span=month&by=code",
    "console_service",
    "console_auditentry_changelist",
    "console_auditentry_changelist?q=Alice",
    "console_auditentry_changelist?q=Ali",
    "console_auditentry_changelist?q=person-3",
    "console_auditentry_changelist?q={session}",
    "console_auditentry_changelist?q=no+such+words",
    "console_auditentry_changelist?verb=session.ended&actor=person-3",
    "console_auditentry_changelist?what=service",
    "keys_app_apikey_changelist",
    *(f"keys_app_apikey_changelist?state={name}" for name in states.STATES),
    "keys_app_apikey_changelist?q=Key+12",
    "keys_app_apikey_add",
    "keys_app_apikey_change",
    "keys_app_apikey_revoke",
    "keys_app_apikey_extend",
    "keys_app_usagesum_changelist",
    "keys_app_usagesum_changelist?period=30d",
    "keys_app_usagesum_changelist?period=last-month&engine=claude-code",
    "keys_app_usagesum_changelist?q=Key+1999",
    "keys_app_usagesum_changelist?q=no+such+model",
    "keys_app_usagesum_changelist?q=claude-sonnet-5-5",
    "keys_app_usagesum_changelist?engine=claude-code",
    "keys_app_usagesum_changelist?engine=messages",
    "keys_app_usagesum_changelist?model=model-3",
    "keys_app_usagesum_changelist?key={key}",
    "auth_user_changelist",
    "console_sessions",
    "console_runs",
    "console_approvals",
)

FILTERS = (
    "",
    "status=active",
    "status=expired",
    "status=ended",
    "status=failed",
    "status=unfinished",
    "status=denied",
    "engine=messages",
    "engine=claude-code&model=nothing",
    "model=claude-sonnet-5-5&status=completed",
    "key={key}",
    "key={key}&status=active",
    "key={key}&model=nothing",
    "session={session}",
    "session={session}&status=denied",
    "q={session}",
    "q={key}",
    "q=Session+99",
    "q=no+such+words",
    "q=Alice",
    "q=Bash",
    "q=capi_nobody",
    "q=10000000",
    "q=20000000",
    "q=UPSTREAM_OVERLOADED",
    "since=day",
    "since=month&status=active",
    "since=month&key={key}",
)
OF_ONE = (
    "",
    "?before=10000",
    "?before=50",
    "?run={run}",
    "runs/{run}/",
    "events/",
    "events/?after=50000",
    "events/?after=99999",
    "do/end/",
    "do/cancel/",
)


def spent(captured: CaptureQueriesContext) -> float:
    return sum(float(query["time"]) for query in captured.captured_queries)


def url_of(page: str, session: Session) -> str:
    """The page's address; empty where there is no such page."""
    name, _, query = page.format(key=session.key_id, session=session.pk).partition("?")
    one = session.key_id if name.startswith("keys_app") else session.pk
    for arguments in ([], [one]):
        try:
            return f"{reverse(f'admin:{name}', args=arguments)}?{query}"
        except NoReverseMatch:
            continue
    return ""


def lasting(complaint: Callable[[], str]) -> str:
    """A complaint that is made at each of a few tries: any one may have waited for its turn."""
    for _ in range(TRIES):
        found = complaint()
        if not found:
            break
    return found


def page_complaint(client: Client, url: str) -> str:
    """What is wrong with a page; empty for nothing."""
    switch.forget()
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(url)
    if answer.status_code != 200:
        return f"{url}: status {answer.status_code}"
    seconds = spent(captured)
    if len(captured) <= QUERIES and seconds < SQL_SECONDS:
        return ""
    slowest = max(captured.captured_queries, key=lambda query: float(query["time"]))
    return f"{url}: {len(captured)} queries, {seconds:.3f} s; {slowest}"


def feed_complaint() -> str:
    """What is wrong with the live feed; empty for nothing."""
    with CaptureQueriesContext(connection) as captured:
        seen = snapshot.take()
    assert seen.sessions > many.SESSIONS // 20
    if len(captured) <= LOOK_QUERIES and spent(captured) <= SQL_SECONDS / 2:
        return ""
    return f"the live feed: {captured.captured_queries}"


def urls_of(session: Session) -> list[str]:
    run = session.runs.order_by("created_at")[2_500]
    known = {"session": session.pk, "key": session.key_id, "run": run.pk}
    lists = ("sessions", "runs", "approvals/answered")
    return [
        *(url for page in PAGES if (url := url_of(page, session))),
        *(f"/admin/{name}/?{query.format(**known)}" for name in lists for query in FILTERS),
        *(f"/admin/sessions/{session.pk}/{rest.format(**known)}" for rest in OF_ONE),
        "/admin/approvals/",
        "/admin/approvals/waiting/",
        f"/admin/approvals/{session.approvals.latest('created_at').pk}/",
        "/admin/playground/",
    ]


def later_pages(client: Client) -> list[str]:
    """The address behind "Older" of each list."""
    found = []
    for name in ("sessions", "runs", "approvals/answered"):
        listed = client.get(f"/admin/{name}/").context["listed"]
        found.append(f"/admin/{name}/?cursor={listed.next}")
    return found


@pytest.mark.django_db
def test_every_page_stays_quick_with_100_000_sessions_and_10_million_events() -> None:
    session = many.fill()
    many_of_one.fill(session)
    entry = audit.record("Alice", "session.ended", session)
    many.copy(entry, many.SESSIONS, actor="'person-' || (n % 20)", at=many.before("n"))
    client = Client()
    client.force_login(User.objects.create_user("root", is_staff=True, is_superuser=True))

    urls = [*urls_of(session), *later_pages(client)]
    complaints = [lasting(partial(page_complaint, client, url)) for url in urls]
    complaints.append(lasting(feed_complaint))
    assert not any(complaints), "\n\n".join(text[:1500] for text in complaints if text)
