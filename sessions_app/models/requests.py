"""What is kept of requests: passes for browsers, and first answers."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from keys_app.models import ApiKey
from sessions_app.models.conversations import Run, Session


class Ticket(models.Model):
    """A single-use pass to one session's stream, for browsers; only its hash is kept."""

    digest = models.CharField(primary_key=True, max_length=64)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="+")
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.digest[:8]


class IdempotencyRecord(models.Model):
    """The first answer to a POST with an Idempotency-Key, kept for 24 hours."""

    id = models.BigAutoField(primary_key=True)
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    idempotency_key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body")
    run = models.ForeignKey(Run, null=True, on_delete=models.CASCADE, related_name="+")
    status = models.PositiveSmallIntegerField(default=0)
    location = models.CharField(max_length=300, blank=True)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        """One record a key and Idempotency-Key."""

        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key", "idempotency_key"], name="idempotency_once")
        ]

    def __str__(self) -> str:
        return self.idempotency_key
