"""The list of what was asked, and who answered it when."""

from __future__ import annotations

from django.db.models import Q

from console.reading.finding import named_keys
from console.reading.lists import LONG_IN_ITS_SESSION, NOBODY, Filters, Listed, page_of
from sessions_app.actions.lookup import as_uuid
from sessions_app.models import Approval


def approvals(wanted: Filters) -> Listed[Approval]:
    """Approvals, newest first: what was asked, and who answered it when."""
    rows = Approval.objects.all()
    narrow = Q()
    if wanted.session:
        rows = rows.filter(session_id=as_uuid(wanted.session) or NOBODY)
    if wanted.key:
        narrow &= Q(session__key_id=as_uuid(wanted.key) or NOBODY)
    if wanted.status:
        narrow &= Q(status=wanted.status)
    if wanted.q:
        identity = as_uuid(wanted.q)
        if identity is not None:
            rows = rows.filter(Q(pk=identity) | Q(session_id=identity) | Q(run_id=identity))
        else:
            narrow &= _named(wanted.q)
    related, unshown = ("session", "session__key"), ("suggestions", *LONG_IN_ITS_SESSION)
    return page_of(rows, "created_at", narrow, wanted.cursor, related, unshown)


def _named(text: str) -> Q:
    found = Q(tool_name__icontains=text) | Q(decided_by__icontains=text)
    if keys := named_keys(text):
        found |= Q(session__key_id__in=keys)
    return found
