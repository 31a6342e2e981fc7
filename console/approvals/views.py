"""The inbox of what waits for a yes, and the record of what was answered."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from claudeapi.core import errors
from console import roles
from console.approvals import listing
from console.approvals.cards import Card, card, cards
from console.approvals.feed import SHOWN, pending
from console.approvals.forms import Answer, NotAnAnswer, answer
from console.approvals.record import BY
from console.pages import came_from, page
from console.reading.lists import LONG_IN_ITS_SESSION, Filters
from console.reading.text import code, line, pretty
from sessions_app.actions.approvals import decide
from sessions_app.models import Approval, ApprovalStatus


@roles.needs(roles.VIEW_SESSIONS)
def inbox(request: HttpRequest) -> HttpResponse:
    """Everything that waits, across sessions, the most urgent first."""
    shown = cards(pending()[:SHOWN])
    return page(request, "approvals/inbox.html", "Approvals", cards=shown)


@roles.needs(roles.VIEW_SESSIONS)
def waiting(request: HttpRequest) -> HttpResponse:
    """The cards alone, as a live page fetches them anew."""
    shown = cards(pending()[:SHOWN])
    return render(request, "console/approvals/cards.html", {"cards": shown})


@roles.needs(roles.VIEW_SESSIONS)
def history(request: HttpRequest) -> HttpResponse:
    """What was asked, and who answered it when."""
    wanted = Filters.of(request.GET)
    extra = {
        "wanted": wanted,
        "listed": listing.approvals(wanted),
        "statuses": ApprovalStatus.values,
    }
    return page(request, "approvals/history.html", "Approvals so far", **extra)


@roles.needs(roles.VIEW_SESSIONS)
def one(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """One approval, open or answered; of one that is answered, a live page takes a line."""
    shown = card(_find(approval_id))
    if request.headers.get("X-Requested-With") == "fetch" and not shown.is_open:
        return render(request, "console/approvals/answered.html", {"card": shown})
    return page(request, "approvals/one.html", "Approval", card=shown)


@require_GET
@roles.needs(roles.VIEW_SESSIONS)
def whole_input(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """All of an input as plain text, with what hides in it marked."""
    text = code(pretty(_find(approval_id).input))
    response = HttpResponse(text, content_type="text/plain; charset=utf-8")
    response["X-Content-Type-Options"] = "nosniff"
    return response


@require_POST
@roles.needs(roles.DECIDE_APPROVALS)
def answered(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Take an answer. Of two operators at once, the second is told who was first."""
    row = _find(approval_id)
    problem = ""
    try:
        given = answer(card(row), request.POST)
    except NotAnAnswer as error:
        return _invalid(request, card(row), str(error))
    try:
        _decide(request, row, given)
        told = f"{line(row.tool_name, 60)}: {'allowed' if given.allow else 'denied'}."
    except errors.InvalidRequest as error:
        return _invalid(request, card(row), error.message)
    except (errors.ApprovalResolved, errors.ApprovalExpired):
        row.refresh_from_db()
        told, problem = "", outcome(row)
    if request.headers.get("X-Requested-With") == "fetch":
        extra = {"card": card(row), "problem": problem}
        return render(request, "console/approvals/answered.html", extra)
    if problem:
        messages.warning(request, problem)
    else:
        messages.success(request, told)
    return HttpResponseRedirect(came_from(request, reverse("admin:console_approvals")))


def outcome(row: Approval) -> str:
    """What became of it, in a sentence for whoever came too late."""
    at = f" at {row.decided_at:%H:%M:%S} UTC" if row.decided_at else ""
    if row.status == ApprovalStatus.EXPIRED:
        return "Time ran out before your answer, so this call was denied."
    if row.status == ApprovalStatus.CANCELLED:
        return "The run ended before your answer, so this call was not made."
    who = row.decided_by.removeprefix(BY) or "Somebody"
    return f"{who} was first: {row.status}{at}. Your answer changes nothing."


def _decide(request: HttpRequest, row: Approval, given: Answer) -> None:
    decide(
        row,
        allow=given.allow,
        decided_by=f"{BY}{request.user.get_username()}",
        scope=given.scope,
        updated_input=given.updated_input,
        message=given.message,
    )


def _invalid(request: HttpRequest, shown: Card, problem: str) -> HttpResponse:
    extra = {"card": shown, "problem": problem, "typed": request.POST}
    if request.headers.get("X-Requested-With") == "fetch":
        return render(request, "console/approvals/answered.html", extra)
    response = page(request, "approvals/one.html", "Approval", **extra)
    response.status_code = 422
    return response


def _find(approval_id: UUID) -> Approval:
    rows = Approval.objects.select_related("session__key").defer(*LONG_IN_ITS_SESSION)
    found = rows.filter(pk=approval_id).first()
    if found is None:
        raise Http404("There is no such approval.")
    return found
