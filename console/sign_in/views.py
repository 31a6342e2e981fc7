"""Signing in, by password and code; and one's own second factor."""

from __future__ import annotations

from typing import Any

from django.contrib import auth, messages
from django.contrib.auth.views import LoginView
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache

from console import audit, pages
from console.models import SecondFactor
from console.sign_in import pending, totp
from console.sign_in.forms import CodeForm, ConfirmForm, SignInForm


class SignInView(LoginView):
    """Name and password. Who has a second factor is not signed in yet, but asked for a code."""

    authentication_form = SignInForm
    template_name = "admin/login.html"

    def get_default_redirect_url(self) -> str:
        """The front page."""
        return reverse("admin:index")

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        """What the page shows."""
        name = self.request.user.get_username()
        shown = pages.context(self.request, "Sign in", username=name)
        return super().get_context_data(**{**shown, **context})

    def form_valid(self, form: Any) -> HttpResponse:
        """The password was right."""
        user = form.get_user()
        if totp.of(user) is None:
            return super().form_valid(form)
        pending.begin(self.request, user, self.get_success_url())
        return HttpResponseRedirect(reverse("admin:console_sign_in_code"))


@never_cache
def code(request: HttpRequest) -> HttpResponse:
    """The code, from those who gave the right password a moment ago."""
    asked = pending.of(request)
    factor = totp.of(asked.user) if asked else None
    if asked is None or factor is None:
        return HttpResponseRedirect(reverse("admin:login"))
    form = _form(CodeForm, request, factor)
    if form.is_valid():
        pending.end(request)
        auth.login(request, asked.user, asked.backend)
        return HttpResponseRedirect(asked.next)
    context = pages.context(request, "Sign in", form=form)
    return TemplateResponse(request, "console/sign_in_code.html", context)


def second_factor(request: HttpRequest) -> HttpResponse:
    """Everybody's own: begin, confirm with a code, take away with a code."""
    factor = totp.any_of(request.user)
    wanted = request.POST.get("do", "") if request.method == "POST" else ""
    if wanted == "begin" and (factor is None or factor.confirmed_at is None):
        return _page(request, totp.begin(request.user))
    if wanted == "confirm" and factor is not None and factor.confirmed_at is None:
        return _confirm(request, factor)
    if wanted == "remove" and factor is not None and factor.confirmed_at is not None:
        return _remove(request, factor)
    return _page(request, factor)


def _confirm(request: HttpRequest, factor: SecondFactor) -> HttpResponse:
    form = _form(ConfirmForm, request, factor)
    if not form.is_valid():
        return _page(request, factor, form=form)
    audit.record(request.user, "second_factor.added", factor.user)
    factor.refresh_from_db()
    return _page(request, factor, spare=form.spare)


def _remove(request: HttpRequest, factor: SecondFactor) -> HttpResponse:
    form = _form(CodeForm, request, factor)
    if not form.is_valid():
        return _page(request, factor, form=form)
    factor.delete()
    audit.record(request.user, "second_factor.removed", factor.user)
    messages.success(request, "Your second factor is no longer asked for.")
    return HttpResponseRedirect(request.path)


def _form(kind: Any, request: HttpRequest, factor: SecondFactor) -> Any:
    address = request.META.get("REMOTE_ADDR") or ""
    return kind(request.POST or None, factor=factor, address=address)


def _page(
    request: HttpRequest, factor: SecondFactor | None, form: Form | None = None, **extra: Any
) -> HttpResponse:
    unconfirmed = factor is not None and factor.confirmed_at is None
    if factor is not None and form is None:
        form = CodeForm(factor=factor, address="")
    # Ours: made of a secret and a user name by the QR encoder, which escapes nothing.
    picture = mark_safe(totp.picture(factor)) if unconfirmed and factor else ""
    context = pages.context(
        request, "Second factor", factor=factor, picture=picture, form=form, **extra
    )
    return TemplateResponse(request, "console/second_factor.html", context)
