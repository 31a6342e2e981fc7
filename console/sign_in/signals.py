"""Signing in and out, written down; a sign-in has a beginning."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest

from console import audit
from console.sign_in import lifetime


def connect() -> None:
    """Listen, once."""
    user_logged_in.connect(_signed_in, dispatch_uid="console.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="console.signed_out")


def _signed_in(sender: Any, request: HttpRequest, user: Any, **_: Any) -> None:
    lifetime.begin(request.session)
    audit.record(user, "signin.done")


def _signed_out(sender: Any, request: HttpRequest, user: Any, **_: Any) -> None:
    if user is not None:
        audit.record(user, "signin.ended")
