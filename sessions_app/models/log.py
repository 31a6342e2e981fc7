"""What was said: the history, the event log's rows, agents' transcripts."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from sessions_app.fields import JsonText
from sessions_app.models.conversations import Run, Session


class Message(models.Model):
    """An entry of the history: a whole Claude message, numbered by its event."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="messages")
    run = models.ForeignKey(
        Run, null=True, on_delete=models.CASCADE, related_name="messages"
    )  # none: taken over from the session this one was forked from
    sequence = models.PositiveBigIntegerField()
    type = models.CharField(max_length=32)
    subtype = models.CharField(max_length=64, blank=True)
    source = models.CharField(max_length=8, choices=[("user", "user"), ("sdk", "sdk")])
    content = JsonText(help_text="the Claude message object")
    unanswered = models.BooleanField(
        default=False,
        help_text="of a run that got no reply: the model is not told",
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        """One message an event number."""

        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session", "sequence"], name="message_sequence")
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.sequence}"


class EventChunk(models.Model):
    """Some consecutive events of a session's log, in one row. See `eventlog`."""

    id = models.BigAutoField(primary_key=True)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="+")
    first = models.PositiveBigIntegerField()
    last = models.PositiveBigIntegerField()
    payload = models.BinaryField()

    class Meta:
        """Read by session and number; two rows can't begin with the same number."""

        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session", "first"], name="chunk_first")
        ]
        indexes: ClassVar = [models.Index(fields=["session", "last"], name="chunk_last")]

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


class Transcript(models.Model):
    """A Claude Code conversation, and who may write its transcript. See `transcripts`."""

    conversation = models.CharField(
        primary_key=True, max_length=64, help_text="the Claude session id"
    )
    claim = models.CharField(
        max_length=32, blank=True, help_text="of the agent started last; empty: of none yet"
    )

    def __str__(self) -> str:
        return self.conversation


class TranscriptEntry(models.Model):
    """A line of a Claude Code transcript, opaque to us. See `transcripts`."""

    id = models.BigAutoField(primary_key=True)
    conversation = models.CharField(max_length=64, help_text="the Claude session id")
    subpath = models.CharField(max_length=255, blank=True, help_text="a subagent's, or empty")
    position = models.PositiveIntegerField()
    uuid = models.CharField(max_length=64, blank=True)
    data = JsonText()

    class Meta:
        """Read in order, written once."""

        verbose_name_plural = "transcript entries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["conversation", "subpath", "position"], name="transcript_position"
            ),
            models.UniqueConstraint(
                fields=["conversation", "subpath", "uuid"],
                condition=~Q(uuid=""),
                name="transcript_uuid",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.conversation} {self.position}"
