"""The sign-in forms: name and password, then a code from those who have a second factor."""

from __future__ import annotations

from typing import Any

import structlog
from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

from console import audit
from console.models import SecondFactor
from console.sign_in import throttle, totp

log = structlog.get_logger(__name__)

WRONG = "That was not right: check name and password. Both are case-sensitive."
WRONG_CODE = "This code was not right. Try the next one."
SHUT = "Too many failed attempts. Wait five minutes, then try again."
SHUT_CODES = "Too many codes. Wait an hour, then try again."


class SignInForm(AdminAuthenticationForm):
    """Counts failures; says the same for a wrong name and a wrong password."""

    error_messages = {**AdminAuthenticationForm.error_messages, "invalid_login": WRONG}  # noqa: RUF012

    def clean(self) -> dict[str, Any]:
        """Look at the password only while the address and the name may try.

        Raises:
            ValidationError: wrong, or tried too often.
        """
        if self.errors:
            return self.cleaned_data
        name = self.cleaned_data["username"]
        address = self.request.META.get("REMOTE_ADDR") or "" if self.request else ""
        attempt = throttle.begin(address, name)
        if not attempt.is_open:
            log.warning("signin_shut", address=address, name=name[:150])
            raise ValidationError(SHUT, code="shut")
        try:
            cleaned = super().clean()
        except ValidationError:
            audit.record(_known(name) or name, "signin.failed")
            raise
        attempt.take_back()
        return cleaned


class CodeInput(forms.TextInput):
    """A field that is empty again after a wrong code: no code is right later."""

    def format_value(self, value: Any) -> None:
        """Nothing, ever."""


class CodeForm(forms.Form):
    """A code of a second factor: from the app, or a spare one.

    Args:
        factor: whose code it must be.
        address: where it comes from.
    """

    code = forms.CharField(
        max_length=32,
        widget=CodeInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}
        ),
    )

    def __init__(self, *args: Any, factor: SecondFactor, address: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._factor, self._address = factor, address

    def clean(self) -> dict[str, Any]:
        """Take the code, if it is right, and for the first time.

        Raises:
            ValidationError: wrong, or tried too often.
        """
        if self.errors:
            return self.cleaned_data
        name = self._factor.user.get_username()
        attempt = throttle.begin(self._address, name)
        if not attempt.is_open:
            raise ValidationError(SHUT, code="shut")
        if not throttle.may_try_code(name):
            attempt.take_back()
            log.warning("signin_codes_shut", address=self._address, name=name)
            raise ValidationError(SHUT_CODES, code="shut")
        if not self.accept(self.cleaned_data["code"]):
            audit.record(self._factor.user, "second_factor.failed")
            raise ValidationError(WRONG_CODE, code="wrong")
        attempt.take_back()
        return self.cleaned_data

    def accept(self, code: str) -> bool:
        """Whether it is right."""
        return totp.accepts(self._factor, code)


class ConfirmForm(CodeForm):
    """The first code, which turns a second factor on.

    Attributes:
        spare: the spare codes, once it is on.
    """

    spare: list[str] | None = None

    def accept(self, code: str) -> bool:
        """Whether it is right."""
        self.spare = totp.confirm(self._factor, code)
        return self.spare is not None


def _known(name: str) -> Any:
    return get_user_model()._default_manager.filter(username=name).first()
