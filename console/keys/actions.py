"""What is done to keys: revoking, extending, rotating, one or several; each asks first.

A change and its line in the audit log are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from claudeapi.core.errors import Unavailable, timestamp
from console import audit, pages, roles
from console.keys import changes, shown_once, usage_export
from console.keys.action_forms import ExtendForm, RotateForm
from console.keys.finding import find
from keys_app.holdings import held_by, sentence
from keys_app.models import ApiKey, KeyNotChangeableError, UsageSum

# Django's own class is generic for the type checker only.
if TYPE_CHECKING:
    KeyModelAdmin = admin.ModelAdmin[ApiKey]
else:
    KeyModelAdmin = admin.ModelAdmin

KEYS_TOLD = 50
AT_ONCE = 200
"""Keys that one question can be about: what each holds is looked up, and the form names each."""
SHOWN = 200
ROTATED = (
    "The key was rotated since this page was opened, and its new secret was shown to whoever "
    "did it. To replace that one too, rotate again: what was overlapping until now then stops."
)


class KeyActions(KeyModelAdmin):
    """The pages and bulk actions of the keys' admin."""

    def get_urls(self) -> list[URLPattern]:
        """The pages of what is done to one key, beside Django's own."""
        views: dict[str, Callable[..., HttpResponse]] = {
            "revoke": self.revoke_view,
            "rotate": self.rotate_view,
            "extend": self.extend_view,
            "shown": self.shown_view,
        }
        own = [
            path(
                f"<uuid:key_id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"keys_app_apikey_{name}",
            )
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def revoke_view(self, request: HttpRequest, key_id: UUID) -> HttpResponse:
        """Say what revoking will cut off; revoke when that is confirmed."""
        key = self._changeable(request, key_id)
        if request.method == "POST":
            self._revoke(request, [key])
            return _to_key(key)
        return self._revoke_page(request, [key])

    @admin.action(description="Revoke selected keys", permissions=["change"])
    def revoke_selected(
        self, request: HttpRequest, queryset: QuerySet[ApiKey]
    ) -> HttpResponse | None:
        """The same for several, with one page to confirm them all."""
        keys = self._changeable_of(request, queryset)
        if not keys:
            return None
        if "confirmed" not in request.POST:
            return self._revoke_page(request, keys)
        self._revoke(request, keys)
        return None

    def extend_view(self, request: HttpRequest, key_id: UUID) -> HttpResponse:
        """Ask until when; extend."""
        key = self._changeable(request, key_id)
        form = ExtendForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            self._extend(request, [key], form)
            return _to_key(key)
        return self._extend_page(request, [key], form)

    @admin.action(description="Extend selected keys", permissions=["change"])
    def extend_selected(
        self, request: HttpRequest, queryset: QuerySet[ApiKey]
    ) -> HttpResponse | None:
        """The same for several, with one question for them all."""
        keys = self._changeable_of(request, queryset)
        if not keys:
            return None
        form = ExtendForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            return self._extend_page(request, keys, form)
        self._extend(request, keys, form)
        return None

    @admin.action(description="Export usage of selected keys (CSV)", permissions=["export_usage"])
    def export_usage(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse:
        """What they used, by the hour."""
        keys = list(queryset)
        rows = UsageSum.objects.filter(key__in=keys)
        told = [str(key) for key in keys[:KEYS_TOLD]]
        return usage_export.export(request, rows, keys=told, count=len(keys))  # type: ignore[return-value]

    def has_export_usage_permission(self, request: HttpRequest) -> bool:
        """For Django: who may use the action above."""
        return roles.may(request.user, roles.EXPORT_USAGE)

    def rotate_view(self, request: HttpRequest, key_id: UUID) -> HttpResponse:
        """Give a key a new secret, and lead to the page that shows it."""
        key = self._changeable(request, key_id)
        sent = request.method == "POST"
        form = RotateForm(
            request.POST if sent else None, initial={"secret": changes.secret_version(key)}
        )
        if form.is_valid():
            try:
                return self._rotate(request, key_id, form)
            except (KeyNotChangeableError, Unavailable) as error:
                form.add_error(None, str(error))
        return self._page(request, "rotate.html", f"Rotate {key}", key=key, form=form)

    def shown_view(self, request: HttpRequest, key_id: UUID) -> HttpResponse:
        """A new key or secret, to whoever made it, this once."""
        key = get_object_or_404(ApiKey, pk=key_id)
        if not self.has_view_permission(request, key):
            raise PermissionDenied
        text = shown_once.take(request, key)
        address = request.build_absolute_uri("/api/v1/me")
        return self._page(
            request, "shown_once.html", f"Key of {key.name}", key=key, text=text, address=address
        )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What was done to a key here: from the audit log, which nobody can edit."""
        key = find(object_id)
        if key is None:
            raise Http404("There is no such key.")
        if not self.has_view_permission(request, key):
            raise PermissionDenied
        entries = [
            (entry, audit.in_words(entry.details)) for entry in changes.entries_of(key)[:SHOWN]
        ]
        return self._page(request, "history.html", f"History of {key}", key=key, entries=entries)

    def show_once(self, request: HttpRequest, key: ApiKey) -> HttpResponse:
        """To the page that shows the key's text: by another address, so that a reload of it
        makes nothing.
        """
        return HttpResponseRedirect(reverse("admin:keys_app_apikey_shown", args=[key.pk]))

    @transaction.atomic
    def _rotate(self, request: HttpRequest, key_id: UUID, form: RotateForm) -> HttpResponse:
        key = ApiKey.objects.select_for_update().get(pk=key_id)
        if form.cleaned_data["secret"] != changes.secret_version(key):
            # The same form sent twice, by a double click: its first answer was not seen.
            if shown_once.is_waiting(request, key):
                return self.show_once(request, key)
            raise KeyNotChangeableError(ROTATED)
        text = key.rotate(form.overlap)
        until = key.previous_valid_until
        self._write_down(
            request, key, "rotated", f"Rotated, with an overlap of {form.overlap}.",
            previous_valid_until=timestamp(until) if until else None,
        )  # fmt: skip
        shown_once.keep(request, key, text)
        return self.show_once(request, key)

    @transaction.atomic
    def _revoke(self, request: HttpRequest, keys: list[ApiKey]) -> None:
        for key in keys:
            held = held_by(key.pk)
            if key.revoke():
                self._write_down(request, key, "revoked", "Revoked.", cut_off=held)
                self.message_user(request, f"{key} is revoked; its streams end within 2 seconds.")
            else:
                self.message_user(request, f"{key} was revoked before.", messages.WARNING)

    @transaction.atomic
    def _extend(self, request: HttpRequest, keys: list[ApiKey], form: ExtendForm) -> None:
        until = form.until
        for key in keys:
            old = key.expires_at
            if key.extend(until):
                change = {"old": timestamp(old) if old else None, "new": timestamp(until)}
                self._write_down(
                    request, key, "extended", f"Extended to {until:%Y-%m-%d %H:%M} UTC.",
                    expires_at=change,
                )  # fmt: skip
                self.message_user(request, f"{key} works until {until:%Y-%m-%d %H:%M} UTC.")
            else:
                stays = "lasts longer already" if key.expires_at else "never expires"
                self.message_user(request, f"{key} {stays}: nothing changed.", messages.WARNING)

    def _write_down(
        self, request: HttpRequest, key: ApiKey, done: str, message: str, **details: Any
    ) -> None:
        audit.record(request.user, f"key.{done}", key, **details)
        self.log_change(request, key, message)

    def _revoke_page(self, request: HttpRequest, keys: list[ApiKey]) -> HttpResponse:
        rows = [(key, sentence(held_by(key.pk))) for key in keys]
        return self._action_page(request, "revoke", keys, rows=rows)

    def _extend_page(self, request: HttpRequest, keys: list[ApiKey], form: Form) -> HttpResponse:
        return self._action_page(request, "extend", keys, form=form)

    def _action_page(
        self, request: HttpRequest, verb: str, keys: list[ApiKey], **context: Any
    ) -> HttpResponse:
        what = str(keys[0]) if len(keys) == 1 else f"{len(keys)} keys"
        return self._page(
            request, f"{verb}.html", f"{verb.capitalize()} {what}",
            keys=keys,
            action=f"{verb}_selected" if "action" in request.POST else "",
            action_checkbox_name=ACTION_CHECKBOX_NAME,
            **context,
        )  # fmt: skip

    def _page(
        self, request: HttpRequest, template: str, title: str, **context: Any
    ) -> TemplateResponse:
        page = pages.context(request, title, opts=self.opts, **context)
        return TemplateResponse(request, f"console/keys/{template}", page)

    def _changeable(self, request: HttpRequest, key_id: UUID) -> ApiKey:
        key = get_object_or_404(ApiKey, pk=key_id)
        if not self.has_change_permission(request, key):
            raise PermissionDenied
        return key

    def _changeable_of(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> list[ApiKey]:
        chosen = queryset.count()
        if chosen > AT_ONCE:
            said = f"These are {chosen:,} keys, and {AT_ONCE} can be changed at once: choose fewer."
            self.message_user(request, f"{said} Nothing was changed.", messages.ERROR)
            return []
        keys = [key for key in queryset if self.has_change_permission(request, key)]
        left = chosen - len(keys)
        if left:
            said = f"Left as they are, for they are revoked or from the environment: {left}."
            self.message_user(request, said, messages.WARNING)
        return keys


def _to_key(key: ApiKey) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:keys_app_apikey_change", args=[key.pk]))
