"""Forms of what is done to a key: rotating and extending."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

LIFETIMES = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "a year"}


class RotateForm(forms.Form):
    """How long the present secret goes on working beside the new one.

    `secret` marks the secret that the page was opened with: a form that is sent twice must
    not replace the new one as well.
    """

    secret = forms.CharField(required=False, widget=forms.HiddenInput)
    overlap_hours = forms.IntegerField(
        label="Overlap in hours",
        min_value=0,
        max_value=24 * 30,
        initial=24,
        help_text="The present key goes on working for so long. 0: it stops at once, and its "
        "clients fail until they have the new one.",
    )

    @property
    def overlap(self) -> timedelta:
        """The overlap of a valid form."""
        return timedelta(hours=self.cleaned_data["overlap_hours"])


class ExtendForm(forms.Form):
    """Until when a key shall work. Counted from now: a form sent twice extends once."""

    days = forms.ChoiceField(
        label="From today",
        choices=list(LIFETIMES.items()),
        initial="90",
        widget=forms.RadioSelect,
        help_text="A key that lasts longer already stays as it is; one that has expired works "
        "again.",
    )
    date = forms.DateField(
        label="Or to the end of a day, UTC",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="If given, it wins.",
    )

    @property
    def until(self) -> datetime:
        """The moment that a valid form says."""
        day = self.cleaned_data["date"]
        if day:
            return datetime.combine(day + timedelta(days=1), time(), UTC)
        return timezone.now() + timedelta(days=int(self.cleaned_data["days"]))

    def clean_date(self) -> Any:
        """Refuse a day that is over."""
        day = self.cleaned_data["date"]
        if day and day < timezone.now().astimezone(UTC).date():
            raise forms.ValidationError("This is in the past.")
        return day
