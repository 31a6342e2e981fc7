"""The page of the service-wide switch: pause, drain, resume."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from console import audit, pages, roles
from console.overview import snapshot
from console.service.forms import SwitchForm
from sessions_app import switch
from sessions_app.actions.service import turn_switch
from sessions_app.models import ServiceState

RUNNING = ServiceState.RUNNING.value
VERBS = {
    RUNNING: "service.resumed",
    ServiceState.PAUSED.value: "service.paused",
    ServiceState.DRAINING.value: "service.drained",
}
REASON_CHANGED = "service.reason_changed"


@roles.needs(roles.VIEW_LIVE)
def page(request: HttpRequest) -> HttpResponse:
    """Everybody sees how the switch stands; who may, turns it."""
    if request.method == "POST":
        return _turn(request)
    context = pages.context(request, "Service", switch=switch.current(), now=snapshot.take())
    return TemplateResponse(request, "console/service.html", context)


def _turn(request: HttpRequest) -> HttpResponse:
    roles.require(request.user, roles.SWITCH_SERVICE)
    form = SwitchForm(request.POST)
    if not form.is_valid():
        for problems in form.errors.values():
            messages.error(request, " ".join(map(str, problems)))
        return HttpResponseRedirect(request.path)
    switch.forget()  # what was true a second ago decides nothing
    wanted, before = form.cleaned_data["state"], str(switch.current().state)
    stops = wanted not in (RUNNING, before)
    if stops and not form.cleaned_data["sure"]:
        context = pages.context(request, "Service", form=form, now=snapshot.take())
        return TemplateResponse(request, "console/service_sure.html", context)
    if not wanted == before == RUNNING:
        _put(request, wanted, before, form.cleaned_data["reason"])
    return HttpResponseRedirect(request.path)


def _put(request: HttpRequest, wanted: str, before: str, reason: str) -> None:
    """What was said of one incident must not be told of the next: resuming clears it."""
    kept = "" if wanted == RUNNING else reason
    row = turn_switch(wanted, by=request.user.get_username(), reason=kept)
    verb = REASON_CHANGED if wanted == before else VERBS[wanted]
    audit.record(request.user, verb, reason=row.reason, before=before)
