"""Keys in Django REST framework: authentication, scopes, and rate headers on every answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from claudeapi.core.access_log import note
from claudeapi.core.drf import HTTP_METHODS
from keys_app import limits, policy
from keys_app.auth import CHALLENGE, identify
from keys_app.models import ApiKey


@dataclass(frozen=True)
class KeyUser:
    """What `request.user` is in the API: the key itself, never a member of staff."""

    key: ApiKey
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    is_staff: ClassVar[bool] = False
    is_superuser: ClassVar[bool] = False

    @property
    def pk(self) -> Any:
        """The key's id."""
        return self.key.pk

    def __str__(self) -> str:
        """The key's public name."""
        return self.key.prefix


class KeyAuthentication(BaseAuthentication):
    """Sets `request.auth` to the `ApiKey`; logs of this request name its prefix."""

    def authenticate(self, request: Request) -> tuple[KeyUser, ApiKey]:
        """Resolve the request's key.

        Raises:
            MissingApiKey, InvalidApiKey, IpNotAllowed, RateLimitExceeded, Unavailable.
        """
        key = identify(
            request.headers,
            request.method or "",
            request.path_info,
            request.META.get("REMOTE_ADDR") or "",
        )
        note(key=key.prefix)
        return KeyUser(key), key

    def authenticate_header(self, request: Request) -> str:
        """The challenge of a 401."""
        return CHALLENGE["WWW-Authenticate"]


def key_of(request: Request) -> ApiKey:
    """The key of an authenticated request, typed; the same as `request.auth`."""
    return cast(ApiKey, request.auth)


class HasScope(BasePermission):
    """Passes keys that hold the scope of the method; made by `scope()`."""

    read: ClassVar[str]
    write: ClassVar[str]

    def has_permission(self, request: Request, view: APIView) -> bool:
        """True, or `InsufficientScope` raised with what was needed."""
        needed = self.read if request.method in SAFE_METHODS else self.write
        policy.require_scope(key_of(request), needed)
        return True


def scope(needed: str, write: str | None = None) -> type[HasScope]:
    """A permission class: `permission_classes = [scope(SESSIONS_READ, write=SESSIONS_WRITE)]`.

    Args:
        needed: the scope for every method, or for the safe ones if `write` is given.
        write: the scope for the others.
    """
    return type("HasScope", (HasScope,), {"read": needed, "write": write or needed})


class KeyApiView:
    """Mix in before `APIView`: keys, one count per request, rate headers on every answer."""

    authentication_classes: ClassVar[Any] = [KeyAuthentication]
    http_method_names: Sequence[str] = HTTP_METHODS
    rate_state: limits.RateState | None = None

    def perform_authentication(self, request: Request) -> None:
        """Authenticate, and count the request: DRF comes here exactly once for each."""
        super().perform_authentication(request)  # type: ignore[misc]
        self.rate_state = limits.hit(key_of(request))

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """Add the rate headers, to errors raised after authentication too."""
        final: Response = super().finalize_response(  # type: ignore[misc]
            request, response, *args, **kwargs
        )
        if self.rate_state is not None:
            for name, value in self.rate_state.headers().items():
                final[name] = value
        return final
