"""The playground, and the page for the first run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST, require_safe

from claudeapi.conf import options
from claudeapi.core import errors
from console import audit, once, roles
from console.keys import changes
from console.pages import page
from console.playground import trying
from console.playground.snippets import PROMPT, snippets
from console.sessions import events, reading
from console.sessions.acting import VERBS
from console.sessions.views import cards_of, facts, has_files
from keys_app.models import ApiKey, default_permission_modes
from keys_app.validators import PERMISSION_MODES
from sessions_app.engines import registry
from sessions_app.engines.base import Upstream
from sessions_app.engines.catalog import list_models
from sessions_app.models import Session

THROW_AWAY = "new"
EVENTS = 100
"""So many of those that were before are listed beside the conversation."""


class BeginForm(forms.Form):
    """What to try."""

    key = forms.CharField(max_length=64)
    engine = forms.CharField(max_length=32)
    model = forms.CharField(max_length=128, required=False)
    mode = forms.ChoiceField(choices=[(m, m) for m in ("", *PERMISSION_MODES)], required=False)
    system_prompt = forms.CharField(max_length=20_000, required=False)
    title = forms.CharField(max_length=200, required=False)
    prompt = forms.CharField(max_length=100_000, required=False, strip=False)
    once = forms.CharField(max_length=64, required=False)


@roles.needs(roles.USE_PLAYGROUND)
def start(request: HttpRequest) -> HttpResponse:
    """Choose a key, an engine and a model."""
    form = BeginForm(request.POST or None)
    session = _begun(request, form) if request.method == "POST" and form.is_valid() else None
    if session is not None:
        return HttpResponseRedirect(reverse("admin:console_talk", args=[session]))
    return page(
        request,
        "playground/start.html",
        "Playground",
        form=form,
        once=once.token(),
        keys=trying.usable_keys(),
        engines=registry.names(),
        modes=PERMISSION_MODES,
        default_engine=options().default_engine,
        default_model=options().default_model,
        is_simulator=options().upstream.kind == "simulator",
        throw_away_usd=trying.BUDGET_USD,
        throw_away_modes=default_permission_modes(),
    )


def _begun(request: HttpRequest, form: BeginForm) -> str | None:
    """The session's id; None where it was refused, as the form then says."""
    token = form.cleaned_data["once"]
    if (made := once.begin(token)) == once.UNDER_WAY:
        form.add_error(None, "This was sent before, and is being begun.")
        return None
    if made is not None:
        return made
    try:
        session = str(_begin(request, form.cleaned_data).pk)
    except errors.ApiError as error:
        once.failed(token)
        form.add_error(None, f"{error.code}: {error.message}")
        return None
    once.done(token, session)
    return session


def _begin(request: HttpRequest, wanted: dict[str, Any]) -> Session:
    """All of it or nothing: a first message that is refused leaves no key behind."""
    with transaction.atomic():
        key = _key(request, wanted["key"])
        session = trying.begin(request.user, key, wanted)
        audit.record(request.user, "playground.begun", session, key=key.prefix)
        if wanted["prompt"].strip():
            _say(request, session, wanted["prompt"])
    return session


def _key(request: HttpRequest, chosen: str) -> ApiKey:
    if chosen != THROW_AWAY:
        return trying.key_of(chosen)
    if (kept := trying.throw_away_key(request.user)) is not None:
        return kept
    key = trying.issue_throw_away_key(request.user)
    audit.record(request.user, "key.created", key, purpose=trying.MARK, **changes.made(key))
    return key


def _say(request: HttpRequest, session: Session, prompt: str) -> None:
    with transaction.atomic():
        run = trying.say(session, prompt)
        audit.record(request.user, "playground.said", session, run=str(run.pk))


@require_safe
@roles.needs(roles.USE_PLAYGROUND)
def talk(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """The conversation, its events, and the same from a program."""
    session = _ours(session_id)
    shown = reading.conversation(session)
    body = {"engine": session.engine, "model": session.model}
    if session.system_prompt:
        body["systemPrompt"] = session.system_prompt
    if mode := session.config.get("permissionMode"):
        body["permissionMode"] = mode
    extra = {
        **facts(session),
        "conversation": shown,
        "cards": cards_of(shown.turns),
        "has_files": has_files(session),
        "cancel": VERBS["cancel"],
        "snippets": snippets(request.build_absolute_uri("/api/v1"), body, _first_words(session)),
        "events": events.read(session.pk, max(0, shown.last - EVENTS), shown.last),
    }
    return page(request, "playground/talk.html", session.title or "Playground", **extra)


def _first_words(session: Session) -> str:
    first = session.runs.order_by("created_at", "id").first()
    for block in first.prompt if first else ():
        if block.get("type") == "text":
            return str(block["text"])
    return PROMPT


@require_POST
@roles.needs(roles.USE_PLAYGROUND)
def said(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Take a message."""
    session = _ours(session_id)
    is_fetch = request.headers.get("X-Requested-With") == "fetch"
    try:
        _say(request, session, request.POST.get("prompt", ""))
    except errors.ApiError as error:
        if is_fetch:
            return JsonResponse({"error": errors.body(error)})
        messages.error(request, f"{error.code}: {error.message}")
    if is_fetch:
        return JsonResponse({"ok": True})
    return HttpResponseRedirect(reverse("admin:console_talk", args=[session.pk]))


@require_GET
@roles.needs(roles.USE_PLAYGROUND)
def models(request: HttpRequest) -> HttpResponse:
    """The upstream's models; none where it does not say."""
    upstream = options().upstream
    try:
        found = async_to_sync(list_models)(
            Upstream(upstream.base_url, upstream.api_key, min(upstream.idle_timeout, 5.0))
        )
    except errors.ApiError as error:
        return JsonResponse({"models": [], "problem": error.message})
    return JsonResponse({"models": found})


@roles.needs(roles.VIEW_LIVE)
def first_run(request: HttpRequest) -> HttpResponse:
    """What the simulator is, and what to set to go live."""
    extra = {"upstream_kind": options().upstream.kind, "has_keys": ApiKey.objects.exists()}
    return page(request, "playground/first_run.html", "First steps", **extra)


def _ours(session_id: UUID) -> Session:
    session = reading.find(session_id)
    if not trying.is_ours(session):
        raise Http404("This session was not made in the playground.")
    return session
