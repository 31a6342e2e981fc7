"""Keys in the admin: made, seen, changed; what else is done to them is in `actions`."""

from __future__ import annotations

from datetime import UTC
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import SimpleLazyObject
from django.utils.html import format_html, format_html_join

from claudeapi.core.errors import Unavailable
from console import audit, roles
from console.keys import changes, figures, filling, policy_words, shown_once, states
from console.keys import usage_admin as usage_admin  # registers itself
from console.keys.actions import KeyActions
from console.keys.filters import StateFilter
from console.keys.finding import find
from console.keys.forms import ApiKeyForm
from console.paging import EstimatingPaginator
from console.templatetags.console_keys import about
from console.templatetags.console_text import moment
from keys_app import scopes, tokens
from keys_app.describe import masked
from keys_app.models import ApiKey
from keys_app.presets import PRESETS

ON_BUDGETS = (
    "When a budget is spent, new messages are refused with 402 <code>BUDGET_EXCEEDED</code> until "
    "it begins anew; what else the key may do stays. A reply in progress is finished, and an agent "
    "is stopped before its next request, so a budget can be passed by the cost of one reply."
)


SCOPE_WORDS = {
    scopes.SESSIONS_READ: "read",
    scopes.SESSIONS_WRITE: "write",
    scopes.APPROVALS_WRITE: "approvals",
    scopes.USAGE_READ: "usage",
}


class KeyList(ChangeList):
    """The list of keys, with what each on the page has cost."""

    def get_results(self, request: HttpRequest) -> None:
        """One query more for all of them together."""
        super().get_results(request)
        keys = list(self.result_list)
        costs = figures.costs_this_month(key.pk for key in keys)
        for key in keys:
            key.cost_this_month = costs.get(key.pk)
        self.result_list = keys


@admin.register(ApiKey)
class ApiKeyAdmin(KeyActions):
    """Make, see, change, rotate, extend and revoke keys. A key's text is on one page, once."""

    audits_itself = True
    form = ApiKeyForm
    add_form_template = "console/keys/add.html"
    change_form_template = "console/keys/key.html"
    change_list_template = "console/keys/keys.html"
    list_display = (
        "name", "masked_key", "key_state", "scope_list", "owner", "expires", "last_used",
        "cost_this_month",
    )  # fmt: skip
    list_filter = (StateFilter, "source")
    list_select_related = ("owner",)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = EstimatingPaginator
    search_fields = ("name", "=owner__username", "public_id__startswith")
    search_help_text = "A name, an owner's user name, or a key's public part: capi_…"
    actions = ("extend_selected", "revoke_selected", "export_usage")
    fieldsets: ClassVar[Any] = [
        (None, {"fields": ["name", "owner", "expires_at", "scopes"]}),
        ("Limits", {"fields": ["rate_limit", "max_sessions", "max_runs", "allowed_ips"]}),
        ("Budget", {"fields": ["budget_day_usd", "budget_month_usd"], "description": ON_BUDGETS}),
        (
            "Policy",
            {
                "fields": [
                    "engines", "models", "permission_modes", "max_turns", "roots", "tools",
                    "allow_slash_commands",
                ]
            },
        ),
        ("Records", {"fields": ["metadata"]}),
    ]  # fmt: skip

    @admin.display(description="key", ordering="public_id")
    def masked_key(self, key: ApiKey) -> str:
        """The public part; the rest was shown once."""
        return format_html('<span class="mono">{}</span>', masked(key))

    @admin.display(description="state")
    def key_state(self, key: ApiKey) -> str:
        """Whether it works, and what an operator should see."""
        found = ((badge.tone, badge.text) for badge in states.badges(key))
        return format_html_join(" ", '<span class="badge {}">{}</span>', found)

    @admin.display(description="scopes")
    def scope_list(self, key: ApiKey) -> str:
        """The scopes in a word each."""
        words = ", ".join(SCOPE_WORDS.get(scope, scope) for scope in key.scopes)
        return format_html('<span title="{}">{}</span>', ", ".join(key.scopes), words)

    @admin.display(description="expires", ordering="expires_at", empty_value="never")
    def expires(self, key: ApiKey) -> str | None:
        """When it ends."""
        if key.expires_at is None:
            return None
        at = key.expires_at.astimezone(UTC)
        return format_html('<span title="{}">{}</span>', f"{at:%H:%M} UTC", f"{at:%d %b %Y}")

    @admin.display(description="last used", ordering="last_used_at", empty_value="never")
    def last_used(self, key: ApiKey) -> str | None:
        """When, and from where."""
        if key.last_used_at is None:
            return None
        address = format_html('<span class="mono">{}</span>', key.last_used_ip or "")
        return format_html("{} {}", moment(key.last_used_at), address)

    @admin.display(description="this month", empty_value="-")
    def cost_this_month(self, key: ApiKey) -> str | None:
        """US dollars."""
        cost = getattr(key, "cost_this_month", None)
        return None if cost is None else about(cost)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """The list with costs."""
        return KeyList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """Take a key's public part as a masked key shows it."""
        term = search_term.strip()
        if term.startswith(f"{tokens.MARK}_"):
            term = term.split("_")[1]
        return super().get_search_results(request, queryset, term)

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """What the form says to itself as well; nothing for those who may only look."""
        if obj is not None and not self.has_change_permission(request, obj):
            return []
        unseen = (None, {"fields": ["seen" if obj else "new_id"]})
        return [*self.fieldsets, unseen]

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Filled in as the address says."""
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.filled = filling.from_query(request.GET)
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Whoever makes a key answers for it."""
        return {"owner": request.user.pk}

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Keys from the environment are changed there; a revoked key stays as it was."""
        if obj is not None and not (obj.is_changeable and obj.revoked_at is None):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Never: sessions, sums and history belong to keys. They are revoked."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Give a new key its secret; of an old one write only what was changed here.

        Whole rows are never written back: a revocation or rotation meanwhile must stand.
        """
        if change:
            before = changes.values(ApiKey.objects.select_for_update().get(pk=obj.pk))
            obj.save(update_fields=form.changed_data)
            after = changes.values(ApiKey.objects.get(pk=obj.pk))
            if differences := changes.between(before, after):
                audit.record(request.user, "key.changed", obj, **differences)
        else:
            token = tokens.mint()
            obj.pk = form.cleaned_data["new_id"] or obj.pk
            obj.public_id, obj.secret_hash = token.id, tokens.digest(token.text)
            obj.save(force_insert=True)
            audit.record(request.user, "key.created", obj, **changes.made(obj))
            shown_once.keep(request, obj, token.text)
        obj.announce()

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make a key; the same form sent twice, by a double click, makes one."""
        context = {
            "title": "New key",
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
            **self._filling_context(request),
        }
        try:
            return super().add_view(request, form_url, {**context, **(extra_context or {})})
        except IntegrityError:
            made = find(request.POST.get("new_id"))
            if made is None:
                raise
            return self.show_once(request, made)
        except Unavailable as error:
            self.message_user(request, f"No key was made: {error}", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """To the page that shows the new key."""
        return self.show_once(request, obj)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A key's own page: how it stands, what it used, what is left, and its policy."""
        key = find(object_id)
        context = self._key_context(request, key) if key else {}
        return super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )

    def _key_context(self, request: HttpRequest, key: ApiKey) -> dict[str, Any]:
        return {
            "title": key.name,
            "subtitle": None,
            "show_save_and_add_another": False,
            "key": key,
            "masked": masked(key),
            "badges": states.badges(key),
            # Not asked for where a form is sent: that leads to another page.
            "usage": SimpleLazyObject(lambda: figures.used_by(key)),
            "left": SimpleLazyObject(lambda: figures.left_of(key)),
            "policy": policy_words.policy(key),
            "may_export": roles.may(request.user, roles.EXPORT_USAGE),
            **self._filling_context(request),
        }

    def _filling_context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "presets": PRESETS.values(),
            "preset_inputs": filling.as_inputs(),
            "filled": filling.from_query(request.GET),
        }
