"""`Idempotency-Key`: the same request, sent again, gives the first answer again.

A record is written in the transaction of what it guards: a request that is refused leaves
none, so it may be tried again, and one that was accepted can't be lost.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from django.utils import timezone

from claudeapi.core import errors
from keys_app.models import ApiKey
from sessions_app.models import IdempotencyRecord

LIFETIME = timedelta(hours=24)
MAX_LENGTH = 255
REPLAYED = {"Idempotency-Replayed": "true"}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that carries an Idempotency-Key.

    Attributes:
        fingerprint: SHA-256 over method, path and body.
    """

    value: str
    fingerprint: str

    @classmethod
    def of(cls, value: str | None, method: str, path: str, body: Any) -> Attempt | None:
        """The attempt, or None without the header.

        Raises:
            InvalidRequest: the header is empty, too long, or not printable.
        """
        if value is None:
            return None
        if not 1 <= len(value) <= MAX_LENGTH or not value.isascii() or not value.isprintable():
            raise errors.InvalidRequest.field(
                "Idempotency-Key", "must be 1 to 255 printable ASCII characters."
            )
        canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        head = f"{method} {path.rstrip('/').lower()}\n".encode()
        return cls(value, hashlib.sha256(head + canonical).hexdigest())


def begin(key: ApiKey, attempt: Attempt) -> tuple[IdempotencyRecord, bool]:
    """The record of this attempt, and whether it is the first. Inside a transaction.

    Raises:
        IdempotencyConflict: the key was used with another request.
    """
    mine = IdempotencyRecord.objects.filter(key=key, idempotency_key=attempt.value)
    mine.filter(created_at__lt=timezone.now() - LIFETIME).delete()
    record, first = IdempotencyRecord.objects.select_related("run", "run__session").get_or_create(
        key=key,
        idempotency_key=attempt.value,
        defaults={"fingerprint": attempt.fingerprint},
    )
    _require_same(record, attempt)
    return record, first


def find(key: ApiKey, attempt: Attempt) -> IdempotencyRecord | None:
    """The record of an attempt that was answered before.

    Raises:
        IdempotencyConflict: the key was used with another request.
    """
    record = IdempotencyRecord.objects.filter(
        key=key, idempotency_key=attempt.value, created_at__gte=timezone.now() - LIFETIME
    ).first()
    if record is not None:
        _require_same(record, attempt)
    return record


def _require_same(record: IdempotencyRecord, attempt: Attempt) -> None:
    if record.fingerprint != attempt.fingerprint:
        raise errors.IdempotencyConflict(details={"idempotencyKey": attempt.value})


def require_finished(record: IdempotencyRecord) -> None:
    """Refuse to replay what still runs.

    Raises:
        IdempotencyInProgress: with the `runId`.
    """
    if record.run is not None and not record.run.finished:
        raise errors.IdempotencyInProgress(details={"runId": str(record.run_id)})
