"""The form of a key: each limit explained where it is set, each refusal in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import lazy

from claudeapi.conf import options
from console.keys import changes
from console.keys.fields import ChoicesField, LinesField, MomentWidget, NewIdField, UnseenField
from console.keys.filling import Filled
from keys_app import scopes, validators
from keys_app.budgets import money
from keys_app.models import ApiKey, default_permission_modes, default_scopes
from sessions_app.engines import registry

# Django's own classes are generic for the type checker only.
if TYPE_CHECKING:
    KeyModelForm = forms.ModelForm[ApiKey]
else:
    KeyModelForm = forms.ModelForm

OUT_OF_DATE = (
    "The key was changed by somebody else since this page was opened. Open it anew in another "
    "tab, look at what changed, and enter yours again there."
)
BUDGETS = ("budget_day_usd", "budget_month_usd")
ENGINE_MEANING = {
    "messages": "plain conversation",
    "claude-code": "an agent with tools and files",
}
MODE_MEANING = {
    "default": "asks before tools that change something",
    "acceptEdits": "edits files without asking",
    "plan": "plans, changes nothing",
    "dontAsk": "refuses what it would have to ask for",
    "bypassPermissions": "never asks: only for agents in a sandbox",
}


def _on_rates() -> str:
    rules = options().rate_limit
    return (
        f"Requests in one window of {max(1, rules.window_ms // 1000)} seconds; more are refused "
        f"with 429. Empty: the server's own limit, {rules.max_requests:,}."
    )


class ApiKeyForm(KeyModelForm):
    """Making and changing a key.

    Attributes:
        filled: what an unsent form shows in the place of the key's own or default values.
    """

    filled: ClassVar[Filled] = Filled()

    new_id = NewIdField()
    seen = UnseenField()
    owner = forms.ModelChoiceField(
        queryset=User.objects.none(),
        required=False,
        empty_label="Nobody",
        help_text="The member of staff who answers for it.",
    )
    expires_at = forms.SplitDateTimeField(
        required=False,
        widget=MomentWidget("Expires at"),
        help_text="In UTC. From then on the key is refused and its streams end. Empty: never.",
    )
    scopes = ChoicesField(
        choices=[(name, f"{name}: {meaning}") for name, meaning in scopes.MEANING.items()],
        initial=default_scopes,
        help_text="What the key may do at all.",
    )
    permission_modes = ChoicesField(
        required=False,
        choices=[(mode, f"{mode}: {MODE_MEANING[mode]}") for mode in validators.PERMISSION_MODES],
        initial=default_permission_modes,
        help_text="The modes in which its sessions may run an agent. None: no agents.",
    )
    engines = ChoicesField(
        required=False, help_text="None: every engine of this server, also later ones."
    )
    models = LinesField(
        help_text="One a line; * stands for anything, as in claude-haiku-*. Empty: every model."
    )
    roots = LinesField(
        label="Working folder roots",
        validators=[validators.absolute_paths],
        help_text="Absolute folders, one a line, inside which an agent may work. Empty: only "
        "private workspaces made for each session.",
    )
    tools = LinesField(
        help_text="Tools an agent may use, one a line. Empty: those the engine allows."
    )
    allowed_ips = LinesField(
        label="Allowed addresses",
        validators=[validators.ip_ranges],
        help_text="Addresses or ranges, IPv4 or IPv6, one a line: 192.0.2.0/24. Empty: from "
        "anywhere.",
    )

    class Meta:
        """What can be set; the secret and its hash never can."""

        model = ApiKey
        fields = changes.FIELDS
        help_texts: ClassVar = {
            "name": "For people: who or what uses it.",
            "allow_slash_commands": "Whether prompts may be slash commands of the agent.",
            "max_turns": "The most agent turns for one message. Empty: the server's bound.",
            "max_sessions": "Active sessions at once; one more is refused with 429. Empty: only "
            "the bound of the whole server.",
            "max_runs": "Runs in progress at once; one more is refused with 429. Empty: no bound.",
            "rate_limit": lazy(_on_rates, str)(),
            "budget_day_usd": "US dollars from midnight to midnight, UTC. Empty: no bound.",
            "budget_month_usd": "US dollars in a calendar month, UTC. Empty: no bound.",
            "metadata": "A JSON object for your own records.",
        }
        labels: ClassVar = {
            "budget_day_usd": "Budget per day (USD)",
            "budget_month_usd": "Budget per month (USD)",
            "rate_limit": "Requests per window",
            "max_sessions": "Sessions at once",
            "max_runs": "Runs at once",
            "max_turns": "Turns for one message",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the staff as owners; begin with what is to be filled in."""
        super().__init__(*args, **kwargs)
        staff = Q(is_staff=True, is_active=True) | Q(pk=self.instance.owner_id)
        owner = self.fields["owner"]
        assert isinstance(owner, forms.ModelChoiceField)
        owner.queryset = User.objects.filter(staff).order_by("username")
        self._version = "" if self.instance._state.adding else changes.version(self.instance)
        self.initial["seen"] = self._version
        if not self.is_bound:
            self.initial.update(self.filled.fields)
            for name in BUDGETS:
                if (amount := self.initial.get(name)) is not None:
                    self.initial[name] = money(amount)
        self._offer_engines()

    def _offer_engines(self) -> None:
        """Those of this server, and such as the key has from before."""
        known = dict.fromkeys([*registry.names(), *self.instance.engines])
        engines = self.fields["engines"]
        assert isinstance(engines, forms.MultipleChoiceField)
        engines.choices = [
            (name, f"{name}: {ENGINE_MEANING[name]}" if name in ENGINE_MEANING else name)
            for name in known
        ]

    def clean_expires_at(self) -> Any:
        """Refuse a moment that is past, unless it was there before."""
        moment = self.cleaned_data["expires_at"]
        if moment and "expires_at" in self.changed_data and moment <= timezone.now():
            raise forms.ValidationError("This is in the past. To end a key at once, revoke it.")
        return moment

    def clean_metadata(self) -> Any:
        """An empty field is an empty object."""
        metadata = self.cleaned_data["metadata"]
        return {} if metadata is None else metadata

    def clean(self) -> dict[str, Any]:
        """Refuse a budget for a day that the one for the month can never allow, and a form that
        was filled in while somebody else changed the key.
        """
        cleaned = super().clean() or self.cleaned_data
        day, month = cleaned.get("budget_day_usd"), cleaned.get("budget_month_usd")
        if day is not None and month is not None and day > month:
            self.add_error("budget_day_usd", "This is more than the budget of the whole month.")
        if self._version and cleaned.get("seen") not in ("", self._version):
            self.add_error(None, OUT_OF_DATE)
        return cleaned
