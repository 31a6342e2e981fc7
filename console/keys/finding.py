"""A key by its id, as an address or a form has it."""

from __future__ import annotations

from keys_app.models import ApiKey
from sessions_app.actions.lookup import as_uuid


def find(text: object) -> ApiKey | None:
    """The key with its owner, or None for what is no key's id."""
    identity = as_uuid(text)
    if identity is None:
        return None
    return ApiKey.objects.select_related("owner").filter(pk=identity).first()
