"""The front page, and its charts as pieces of HTML that the page fetches anew."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse

from console import pages, roles
from console.overview import charts as drawn
from console.overview import figures, snapshot


def front_page(request: HttpRequest) -> TemplateResponse:
    """What is going on now; without the permission, what one's role includes instead."""
    if not roles.may(request.user, roles.VIEW_LIVE):
        return TemplateResponse(
            request, "console/welcome.html", pages.context(request, "Welcome", subtitle=None)
        )
    choice, now = drawn.Choice.of(request.GET), snapshot.take()
    context = pages.context(
        request,
        "Now",
        subtitle=None,
        now=now,
        groups=figures.groups(now, request),
        choice=choice,
        drawn=drawn.draw(choice),
    )
    return TemplateResponse(request, "console/front.html", context)


@roles.needs(roles.VIEW_LIVE)
def charts(request: HttpRequest) -> HttpResponse:
    """All charts of one span and grouping, each with its table."""
    choice = drawn.Choice.of(request.GET)
    return render(request, "console/charts.html", {"choice": choice, "drawn": drawn.draw(choice)})
