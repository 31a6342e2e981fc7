"""The pages of sessions and runs."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console import once, roles
from console.approvals.cards import Card, cards
from console.pages import page
from console.reading import names
from console.reading.lists import NOBODY, Filters
from console.sessions import acting, history, listing, reading
from console.sessions import events as log
from console.sessions.conversation import Turn
from sessions_app import agents
from sessions_app.actions.lookup import as_uuid
from sessions_app.engines import registry
from sessions_app.models import RunStatus, Session, SessionStatus

EVENTS = 100


@roles.needs(roles.VIEW_SESSIONS)
def session_list(request: HttpRequest) -> HttpResponse:
    """Sessions, newest activity first."""
    wanted = Filters.of(request.GET)
    extra = {
        "wanted": wanted,
        "listed": listing.sessions(wanted),
        "statuses": SessionStatus.values,
        "spans": listing.SINCE,
        "engines": registry.names(),
    }
    return page(request, "sessions/sessions.html", "Sessions", **extra)


@roles.needs(roles.VIEW_SESSIONS)
def run_list(request: HttpRequest) -> HttpResponse:
    """Runs, newest first."""
    wanted = Filters.of(request.GET)
    extra = {
        "wanted": wanted,
        "listed": listing.runs(wanted),
        "statuses": ["unfinished", *RunStatus.values],
        "spans": listing.SINCE,
        "engines": registry.names(),
    }
    return page(request, "sessions/runs.html", "Runs", **extra)


@roles.needs(roles.VIEW_SESSIONS)
def session_page(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """A session: its conversation, what it costs, and what can be done about it."""
    session = reading.find(session_id)
    shown = reading.conversation(session, _before(request, session))
    extra = {
        **facts(session),
        "conversation": shown,
        "cards": cards_of(shown.turns),
        "ancestors": reading.ancestors(session),
        "forks": reading.forks(session),
        "acts": history.acts(session),
        "verbs": acting.VERBS.values(),
        "extensions": acting.EXTENSIONS,
        "once": once.token(),
        "has_files": has_files(session),
        "is_newest": "before" not in request.GET and "run" not in request.GET,
    }
    names.name_all([session])
    return page(request, "sessions/session.html", names.name_of(session), **extra)


@roles.needs(roles.VIEW_SESSIONS)
def turn_piece(request: HttpRequest, session_id: UUID, run_id: UUID) -> HttpResponse:
    """One run of the page, and the facts beside it, as a live page fetches them anew."""
    session = reading.find(session_id)
    turn = reading.one_turn(session, run_id)
    extra = {**facts(session), "turn": turn, "cards": cards_of([turn]), "session": session}
    return render(request, "console/sessions/piece.html", extra)


@roles.needs(roles.VIEW_SESSIONS)
def events(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """The session's log as it is, a page at a time, for whoever debugs."""
    session = reading.find(session_id)
    after = _number(request, "after")
    found = log.read(session.pk, after, after + EVENTS)
    last = found[-1].id if found else after
    extra = {
        "session": session,
        "events": found,
        "after": after,
        "last": last,
        "back": max(0, after - EVENTS),
        "has_more": session.last_event_id > last,
    }
    return page(request, "sessions/events.html", "Events", **extra)


def facts(session: Session) -> dict[str, object]:
    """What is said beside a conversation, and changes while it runs."""
    unfinished = list(session.runs.unfinished().defer("prompt").order_by("created_at", "id")[:20])
    is_open = session.status == SessionStatus.ACTIVE
    status = session.status if unfinished or not is_open else session.current_status
    return {
        "session": session,
        "status": status,
        "unfinished": unfinished,
        "is_active": status == SessionStatus.ACTIVE,
    }


def has_files(session: Session) -> bool:
    """Whether it has a private workspace to look into."""
    return agents.private_folder(session) is not None


def cards_of(turns: Iterable[Turn]) -> dict[str, list[Card]]:
    """The open questions of these turns, by run."""
    found: dict[str, list[Card]] = {}
    for shown in cards(row for turn in turns for row in turn.waiting):
        found.setdefault(str(shown.row.run_id), []).append(shown)
    return found


def _before(request: HttpRequest, session: Session) -> int:
    """Where the shown stretch ends: at a number, or after a run that somebody came for."""
    if run_id := request.GET.get("run"):
        run = session.runs.filter(pk=as_uuid(run_id) or NOBODY)
        last = run.values_list("last_event_id", flat=True).first()
        if last is not None and 0 < last < session.last_event_id:
            return last + 1
        return 0
    return _number(request, "before")


def _number(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "0")
    return int(text) if text.isdecimal() and len(text) <= 18 else 0
