"""What the service's page takes."""

from __future__ import annotations

from django import forms

from sessions_app.models import ServiceState


class SwitchForm(forms.Form):
    """Where to put the switch, and why.

    `sure` is what the page that asks first sends: without it nothing is paused or drained.
    """

    state = forms.ChoiceField(choices=ServiceState.choices)
    reason = forms.CharField(max_length=200, required=False)
    sure = forms.BooleanField(required=False)
