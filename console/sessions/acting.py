"""What an operator does to a session: asked first, done through the actions, written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from claudeapi.core import errors
from console import audit, once, roles
from console.pages import came_from, page
from console.sessions import reading
from sessions_app.actions import messages as message_actions
from sessions_app.actions import sessions as session_actions
from sessions_app.actions.lookup import as_uuid
from sessions_app.actions.origins import copy_for_fork
from sessions_app.models import Session, SessionStatus

EXTENSIONS = {"1": "1 hour", "4": "4 hours", "24": "a day", "72": "three days"}

Perform = Callable[[HttpRequest, Session], tuple[str, Session]]


@dataclass(frozen=True, slots=True)
class Verb:
    """Something an operator can do; `perform` returns what to say, and where to go on.

    It opens its own transaction, around what is written.
    """

    name: str
    label: str
    question: str
    perform: Perform
    is_danger: bool = False
    needs_active: bool = True


@transaction.atomic
def _cancel(request: HttpRequest, session: Session) -> tuple[str, Session]:
    """Stop the run that was asked about, and what waited behind it: not what came after."""
    unfinished = session.runs.unfinished().order_by("created_at", "id")
    ids = [str(pk) for pk in unfinished.values_list("pk", flat=True)]
    wanted = request.POST.get("run", "")
    if wanted not in ids:
        raise errors.InvalidRequest("That run has ended by itself. Nothing was cancelled.")
    for run_id in ids[ids.index(wanted) :]:
        message_actions.cancel_run(UUID(run_id), "cancelled")
    audit.record(request.user, "run.cancelled", session, run=wanted)
    return "The run is being cancelled.", session


@transaction.atomic
def _end(request: HttpRequest, session: Session) -> tuple[str, Session]:
    if not session_actions.close_session(session, SessionStatus.ENDED):
        raise errors.SessionEnded()
    audit.record(request.user, "session.ended", session)
    return "The session has ended. Its history stays.", session


@transaction.atomic
def _extend(request: HttpRequest, session: Session) -> tuple[str, Session]:
    hours = request.POST.get("hours", "1")
    if hours not in EXTENSIONS:
        raise errors.InvalidRequest.field("hours", "is not one of those offered.")
    until = timezone.now() + timedelta(hours=int(hours))
    found = session_actions.extend_session(session.key, session.id, until)
    if found.expires_at > until:
        open_until = f"{found.expires_at:%Y-%m-%d %H:%M} UTC"
        raise errors.InvalidRequest(f"It is open until {open_until} already. Nothing was changed.")
    audit.record(request.user, "session.extended", session, until=f"{until:%Y-%m-%d %H:%M} UTC")
    return f"The session stays open for {EXTENSIONS[hours]}, even if it is not used.", session


def _fork(request: HttpRequest, session: Session) -> tuple[str, Session]:
    text = request.POST.get("at", "")
    at = as_uuid(text) if text else None
    if text and at is None:
        raise errors.InvalidRequest.field("at", "is not a message's id.")
    # Copying takes as long as it takes: no transaction waits, and it is kept by what is committed.
    with copy_for_fork(session.key, session.id) as copy, transaction.atomic():
        made = session_actions.fork_session(session.key, session.id, copy, at)
        audit.record(request.user, "session.forked", session, into=str(made.id))
    return "This is the new session. The one it was forked from is as it was.", made


VERBS = {
    verb.name: verb
    for verb in (
        Verb(
            "cancel",
            "Cancel the run",
            "The run stops where it is, and those that wait behind it are not begun. What was "
            "said so far stays.",
            _cancel,
            is_danger=True,
        ),
        Verb(
            "end",
            "End the session",
            "A run in progress is cancelled, the agent's process is freed, and the session takes "
            "no more messages. This cannot be undone. Its history stays readable.",
            _end,
            is_danger=True,
        ),
        Verb(
            "extend",
            "Extend",
            "The session stays open for so long, even if it is not used. From its next message "
            "on its own idle lifetime counts again.",
            _extend,
        ),
        Verb(
            "fork",
            "Fork",
            "A new session of the same key, with the same history. This one stays as it is.",
            _fork,
            needs_active=False,
        ),
    )
}


@roles.needs(roles.OPERATE_SESSIONS)
def act(request: HttpRequest, session_id: UUID, verb: str) -> HttpResponse:
    """Ask (GET), or do it (POST)."""
    asked = VERBS.get(verb)
    if asked is None:
        raise Http404("There is no such action.")
    session = reading.find(session_id)
    if request.method != "POST":
        return page(
            request,
            "sessions/confirm.html",
            asked.label,
            session=session,
            verb=asked,
            extensions=EXTENSIONS,
            at=request.GET.get("at", ""),
            once=once.token(),
            unfinished=session.runs.unfinished().order_by("created_at", "id")[:1],
        )
    token = request.POST.get("once", "")
    if (made := once.begin(token)) is not None:
        return _did_before(request, session, made)
    try:
        told, target = asked.perform(request, session)
    except errors.ApiError as error:
        once.failed(token)
        messages.error(request, error.message)
        target = session
    else:
        once.done(token, str(target.pk))
        messages.success(request, told)
    there = _page_of(target.pk)
    return HttpResponseRedirect(came_from(request, there) if target is session else there)


def _did_before(request: HttpRequest, session: Session, made: str) -> HttpResponse:
    """The same form a second time: lead to what came of the first."""
    messages.info(request, "This was done already, once.")
    return HttpResponseRedirect(_page_of(as_uuid(made) or session.pk))


def _page_of(session_id: UUID) -> str:
    return reverse("admin:console_session", args=[session_id])
