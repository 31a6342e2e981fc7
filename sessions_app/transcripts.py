"""Claude Code's transcripts in our database: a session resumes on any machine.

Of several agents on one conversation, on servers that don't know of each other, only the one
started last may write: each claims the transcript before it reads it, and what comes with an
earlier claim is refused in the transaction that would have added it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import Exists, Max, OuterRef

from claudeapi.core.database import in_db, waiting_out
from sessions_app.models import Session, Transcript, TranscriptEntry

Entry = dict[str, Any]

TROUBLE_SECONDS = 45.0
"""Less than the minute that the SDK waits for one try."""


class DatabaseTranscripts:
    """The `TranscriptRepository` of the Claude Code engine."""

    async def claim(self, conversation: str) -> str:
        """Become the only one who adds to a conversation."""
        return await in_db(claim, conversation)

    async def append(
        self, conversation: str, subpath: str, entries: Sequence[Entry], claim: str | None = None
    ) -> bool:
        """Add entries at the end; one that is there already is not added twice.

        A database in trouble is waited for: what the SDK could not hand over after three
        quick tries it drops, and the agent would forget it.
        """
        return await waiting_out(
            TROUBLE_SECONDS, lambda: in_db(append, conversation, subpath, entries, claim)
        )

    async def load(self, conversation: str, subpath: str) -> list[Entry] | None:
        """All entries, in order; None for what was never written."""
        return await in_db(load, conversation, subpath)

    async def list_subkeys(self, conversation: str) -> list[str]:
        """The subpaths there are, without the main one."""
        return await in_db(list_subkeys, conversation)

    async def delete(self, conversation: str, subpath: str | None = None) -> None:
        """Remove a conversation, or one subpath of it."""
        await in_db(delete, conversation, subpath)


def claim(conversation: str) -> str:
    """Become the only one who adds to a conversation; from now on it can be read in peace."""
    made = uuid4().hex
    Transcript.objects.update_or_create(conversation=conversation, defaults={"claim": made})
    return made


def append(
    conversation: str, subpath: str, entries: Sequence[Entry], claim: str | None = None
) -> bool:
    """Add entries at the end of a transcript. False, and nothing added, for a claim that is over.

    Args:
        claim: the agent's that wrote them; None for a copy, which no agent knows of yet.
    """
    rows = TranscriptEntry.objects.filter(conversation=conversation, subpath=subpath)
    with transaction.atomic():
        if not _hold(conversation, claim):
            return False
        last = rows.aggregate(last=Max("position"))["last"] or 0
        known = set(
            rows.filter(uuid__in=[e["uuid"] for e in entries if e.get("uuid")]).values_list(
                "uuid", flat=True
            )
        )
        fresh = []
        for entry in entries:
            if entry.get("uuid") not in known:
                fresh.append(entry)
                known |= {entry["uuid"]} if entry.get("uuid") else set()
        TranscriptEntry.objects.bulk_create(
            TranscriptEntry(
                conversation=conversation,
                subpath=subpath,
                position=position,
                uuid=str(entry.get("uuid") or "")[:64],
                data=entry,
            )
            for position, entry in enumerate(fresh, start=last + 1)
        )
    return True


def _hold(conversation: str, claim: str | None) -> bool:
    """Keep others from adding, until the transaction's end; False for a claim that is over."""
    if claim is None:
        Transcript.objects.get_or_create(conversation=conversation)
    held = Transcript.objects.select_for_update().filter(conversation=conversation)
    return claim in (None, held.values_list("claim", flat=True).first())


def load(conversation: str, subpath: str) -> list[Entry] | None:
    """All entries of a transcript, in order, or None."""
    rows = TranscriptEntry.objects.filter(conversation=conversation, subpath=subpath)
    found: list[Any] = list(rows.order_by("position").values_list("data", flat=True))
    return found or None


def list_subkeys(conversation: str) -> list[str]:
    """The subpaths of a conversation, without the main one."""
    rows = TranscriptEntry.objects.filter(conversation=conversation).exclude(subpath="")
    return sorted(set(rows.values_list("subpath", flat=True)))


def delete(conversation: str, subpath: str | None = None) -> None:
    """Remove a conversation, or one subpath of it."""
    rows = TranscriptEntry.objects.filter(conversation=conversation)
    if subpath:
        rows.filter(subpath=subpath).delete()
        return
    with transaction.atomic():
        Transcript.objects.filter(conversation=conversation).delete()  # nobody adds to it now
        rows.delete()


def of_no_session() -> list[str]:
    """The conversations that no session has any more."""
    has_one = Exists(Session.objects.filter(claude_session_id=OuterRef("conversation")))
    return list(Transcript.objects.filter(~has_one).values_list("conversation", flat=True))
