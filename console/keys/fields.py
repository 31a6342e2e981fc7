"""Fields of the form of a key."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib.admin.widgets import AdminSplitDateTime


class LinesField(forms.CharField):
    """A list of strings, one a line."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        """Take the arguments of a `CharField`; it is never required."""
        super().__init__(required=False, **kwargs)
        self.widget.attrs.update({"rows": 3, "cols": 60, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        """Show a list as lines."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Read lines as a list, without blank ones."""
        lines = value if isinstance(value, list) else str(value or "").splitlines()
        return [line.strip() for line in lines if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the list differs, not its layout."""
        return bool(self.to_python(initial) != self.to_python(data))


class ChoicesField(forms.MultipleChoiceField):
    """Check boxes for a JSON list of known names."""

    widget = forms.CheckboxSelectMultiple


class UnseenField(forms.CharField):
    """What the form says to itself: nobody changes it."""

    widget = forms.HiddenInput

    def __init__(self, **kwargs: Any) -> None:
        """Take the arguments of a `CharField`; a program may leave it out."""
        super().__init__(required=False, **kwargs)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Never: it is no field of the key."""
        return False


class NewIdField(forms.UUIDField):
    """The id of the key to be made: a form that is sent twice makes one key."""

    widget = forms.HiddenInput

    def __init__(self) -> None:
        """Another one for each form; a program may leave it out."""
        super().__init__(required=False, initial=uuid4)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Never: it is chosen here."""
        return False


class MomentWidget(AdminSplitDateTime):
    """A day and a time, each named for those who cannot see that they belong together."""

    def __init__(self, label: str) -> None:
        """Name both after the field."""
        super().__init__()
        for widget, part in zip(self.widgets, ("day", "time"), strict=True):
            widget.attrs["aria-label"] = f"{label}, {part}"
