"""What goes wrong below /admin/, as pages for people: the API's envelope is for programs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from console import pages

SAYS = {
    400: ("That was not understood", "Something in the address or the form cannot be right."),
    403: (
        "Your role does not include this",
        "An administrator of the console can give you one that does.",
    ),
    404: ("There is no such page", "What was here may have been removed by retention."),
    405: ("This address is not for looking at", "It only takes what a form of the console sends."),
}
UNCHANGEABLE = (
    "This cannot be done here",
    "Nobody may: it is kept as it is, or managed outside of the console.",
)
FORGED = (
    "This form was too old",
    "You have signed in or out since it was opened, or your browser keeps no cookies. "
    "Go back, load the page anew, and send it again.",
)


def page(request: HttpRequest, status: int) -> HttpResponse:
    """The page for a status, with the menu of who is signed in."""
    # A superuser's role includes everything: what refuses is the thing itself.
    barred = status == 403 and request.user.is_superuser
    return _page(request, status, *(UNCHANGEABLE if barred else SAYS[status]))


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's `CSRF_FAILURE_VIEW`."""
    return _page(request, 403, *FORGED)


def broken(request: HttpRequest) -> HttpResponse:
    """Our own fault: a page that asks nothing of the database, which may be what is broken."""
    return HttpResponse(render_to_string("console/broken.html"), status=500)


def _page(request: HttpRequest, status: int, title: str, words: str) -> HttpResponse:
    context = pages.context(request, title, words=words)
    return render(request, "console/failure.html", context, status=status)
