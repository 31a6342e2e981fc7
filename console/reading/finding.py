"""What a text in the search field stands for.

Each answer is two conditions: one that indexes serve, and one that only the newest rows are
looked through for.
"""

from __future__ import annotations

import re
from uuid import UUID

from django.db.models import Model, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.db.models.lookups import Contains

from claudeapi.core.errors import CODES
from console.reading.lists import SCANNED
from keys_app.models import ApiKey
from sessions_app.actions.lookup import as_uuid
from sessions_app.models import Run, Session

KEYS_MATCHED = 20
IDS_MATCHED = 50
_BEGINNING = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,27}", re.IGNORECASE)


def sessions(text: str) -> tuple[Q, Q]:
    """By id, its beginning, request id, key; else by words of the title."""
    if found := _sessions_by_id(text):
        return Q(pk__in=found), Q()
    if (identity := as_uuid(text)) is not None:
        return Q(key_id=identity), Q()
    keys = named_keys(text)
    titled = Q(title__icontains=text)
    if not keys:
        return Q(), titled
    newest = Session.objects.order_by("-last_activity", "-pk").values("pk")[:SCANNED]
    if not Session.objects.filter(titled, pk__in=newest).exists():
        return Q(key_id__in=keys), Q()
    return Q(), titled | Q(key_id__in=keys)


def runs(text: str) -> tuple[Q, Q]:
    """By id or its beginning, also of the session, request id, error code or key."""
    if (identity := as_uuid(text)) is not None:
        return Q(pk=identity) | Q(session_id=identity) | Q(request_id=text), Q()
    if text.upper() in CODES:
        error = Cast("error", TextField())
        return Q(), Q(Contains(error, f'"code":"{text.upper()}"'))
    if ids := [*_beginning_with(Run, text), *_runs_of(_beginning_with(Session, text))]:
        return Q(pk__in=ids), Q()
    keys = named_keys(text)
    return Q(key_id__in=keys) | Q(request_id=text) if keys else Q(request_id=text), Q()


def named_keys(text: str) -> list[UUID]:
    """The keys of a public part, or with these words in their names."""
    if text.startswith("capi_"):
        public = text.split("_")[1]
        return list(ApiKey.objects.filter(public_id=public).values_list("pk", flat=True))
    rows = ApiKey.objects.filter(name__icontains=text).order_by("-created_at")
    return list(rows.values_list("pk", flat=True)[:KEYS_MATCHED])


def _sessions_by_id(text: str) -> set[UUID]:
    of_runs = Run.objects.filter(request_id=text)
    found = set(of_runs.values_list("session_id", flat=True)[:IDS_MATCHED])
    if (identity := as_uuid(text)) is None:
        found.update(_beginning_with(Session, text))
        runs = _beginning_with(Run, text)
        if runs:
            found.update(Run.objects.filter(pk__in=runs).values_list("session_id", flat=True))
        return found
    found.update(Run.objects.filter(pk=identity).values_list("session_id", flat=True))
    own = Q(pk=identity) | Q(claude_session_id=str(identity))
    found.update(Session.objects.filter(own).values_list("pk", flat=True)[:IDS_MATCHED])
    return found


def _beginning_with(model: type[Model], text: str) -> list[UUID]:
    """The ids that begin so; pages show the first eight digits."""
    digits = text.replace("-", "").lower()
    if not _BEGINNING.fullmatch(text) or len(digits) >= 32:
        return []
    least, most = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    rows: QuerySet[Model] = model._default_manager.filter(pk__range=(least, most))
    return list(rows.order_by("pk").values_list("pk", flat=True)[:IDS_MATCHED])


def _runs_of(sessions: list[UUID]) -> list[UUID]:
    if not sessions:
        return []
    rows = Run.objects.filter(session_id__in=sessions).order_by("-created_at")
    return list(rows.values_list("pk", flat=True)[:IDS_MATCHED])
