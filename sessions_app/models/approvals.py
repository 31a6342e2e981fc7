"""Tool calls that ask."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from sessions_app.fields import JsonText
from sessions_app.models.conversations import Run, Session


class ApprovalStatus(models.TextChoices):
    """What became of a tool call that asked."""

    PENDING = "pending"
    ALLOWED = "allowed"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Approval(models.Model):
    """A tool call waiting for a yes, and who answered it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="approvals")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="approvals")
    tool_use_id = models.CharField(max_length=128, blank=True)
    tool_name = models.CharField(max_length=128)
    input = JsonText(default=dict)
    reason = models.TextField(blank=True)
    suggestions = JsonText(default=list, blank=True)
    status = models.CharField(
        max_length=16, choices=ApprovalStatus.choices, default=ApprovalStatus.PENDING
    )
    scope = models.CharField(max_length=8, blank=True)
    updated_input = JsonText(null=True, blank=True)
    message = models.TextField(blank=True)
    decided_by = models.CharField(max_length=200, blank=True, help_text="key prefix or operator")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """The inbox is a list of the pending ones."""

        indexes: ClassVar = [
            models.Index(fields=["session", "created_at"], name="approval_of_session"),
            models.Index(fields=["-created_at", "-id"], name="approval_recent"),
            models.Index(
                fields=["expires_at"], condition=Q(status="pending"), name="approval_pending"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool_name} ({self.status})"

    @property
    def has_changed_input(self) -> bool:
        """Whether it was allowed with another input than the agent's own."""
        return self.replaced_by(self.updated_input)

    def replaced_by(self, updated_input: dict[str, Any] | None) -> bool:
        """Whether this is another input than the agent's own; answers to a question are none."""
        is_other = updated_input is not None and updated_input != self.input
        return is_other and self.tool_name != "AskUserQuestion"

    def settle(self, status: str, **fields: Any) -> bool:
        """Move from pending to `status`; True for the one caller that did it."""
        won = Approval.objects.filter(pk=self.pk, status=ApprovalStatus.PENDING).update(
            status=status, decided_at=timezone.now(), **fields
        )
        return won == 1

    def call_off(self, message: str) -> None:
        """Cancel it, unless it was denied or has expired: a yes too, which no agent has heard."""
        unheard = (ApprovalStatus.PENDING, ApprovalStatus.ALLOWED)
        Approval.objects.filter(pk=self.pk, status__in=unheard).update(
            status=ApprovalStatus.CANCELLED,
            scope="",
            updated_input=None,
            message=message,
            decided_by="",
            decided_at=timezone.now(),
        )
