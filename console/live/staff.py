"""Who holds a session cookie of the console, for what Django itself does not answer."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib import auth

from claudeapi.core import errors
from console import roles
from console.sign_in import lifetime
from keys_app.asgi import headers_of


def cookie_of(scope: Mapping[str, Any]) -> str:
    """The session's id that the browser sent, or ""."""
    try:
        cookies = SimpleCookie(headers_of(scope).get("cookie", ""))
    except CookieError:
        return ""
    found = cookies.get(settings.SESSION_COOKIE_NAME)
    return found.value if found else ""


def signed_in(session_key: str) -> Any:
    """The active member of staff whose session this is, or None. Two queries; sync."""
    if not session_key:
        return None
    store = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    if lifetime.is_over(store):
        return None
    user = auth.get_user(SimpleNamespace(session=store))  # type: ignore[arg-type]
    return user if user.is_active and user.is_staff else None


def admit(session_key: str, permission: str) -> Any:
    """The member of staff, if the permission is there.

    Raises:
        MissingApiKey: nobody is signed in, or no longer.
        InsufficientScope: they may not.
    """
    user = signed_in(session_key)
    if user is None:
        raise errors.MissingApiKey("Sign in to the console first.")
    if not roles.may(user, permission):
        raise errors.InsufficientScope("Your role in the console does not include this.")
    return user
