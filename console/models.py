"""What the console keeps: who did what, and second factors of signing in."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone


class Console(models.Model):
    """No table: a place for permissions that belong to no model. See `console.roles`."""

    class Meta:
        """The permissions; their groups are made by migration."""

        managed = False
        default_permissions = ()
        permissions: ClassVar = [
            ("view_live", "See the live front page"),
            ("view_sessions", "Read sessions, runs and approvals"),
            ("export_sessions", "Export sessions and download workspace files"),
            ("decide_approvals", "Answer approvals"),
            ("operate_sessions", "Cancel, end, extend and fork"),
            ("use_playground", "Use the playground"),
            ("switch_service", "Pause, drain and resume the service"),
            ("export_audit", "Export the audit log"),
            ("export_usage", "Export usage"),
        ]

    def __str__(self) -> str:
        return "console"


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Reads only: what was written stays."""

    def update(self, **kwargs: Any) -> int:
        """Never.

        Raises:
            TypeError: always.
        """
        raise TypeError("The audit log is not changed.")


class AuditEntry(models.Model):
    """One thing that somebody did in the console. Written once, by `audit.record`.

    People are named, not referred to: an entry outlives the account.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(default=timezone.now, editable=False)
    actor = models.CharField(max_length=150, editable=False, help_text="user name")
    actor_id = models.PositiveBigIntegerField(null=True, editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)
    verb = models.CharField(max_length=64, editable=False)
    target_type = models.CharField(max_length=64, blank=True, editable=False)
    target_id = models.CharField(max_length=64, blank=True, editable=False)
    target = models.CharField(max_length=200, blank=True, editable=False)
    details = models.JSONField(default=dict, editable=False)
    request_id = models.CharField(max_length=128, blank=True, editable=False)

    objects = AuditQuerySet.as_manager()

    class Meta:
        """Indexes for the filters; only reading is a permission."""

        default_permissions = ("view",)
        verbose_name_plural = "audit entries"
        indexes: ClassVar = [
            models.Index(fields=["-at", "-id"], name="audit_at"),
            models.Index(fields=["actor", "-at"], name="audit_actor"),
            models.Index(fields=["verb", "-at"], name="audit_verb"),
            models.Index(fields=["target_type", "target_id", "-at"], name="audit_target"),
            models.Index(fields=["request_id", "-at"], name="audit_request"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.target}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write it, once.

        Raises:
            TypeError: it was written before.
        """
        if not self._state.adding:
            raise TypeError("The audit log is not changed.")
        super().save(*args, **kwargs)


class SecondFactor(models.Model):
    """A person's authenticator app: asked for at every sign-in once it is confirmed."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="second_factor"
    )
    secret = models.CharField(max_length=64, editable=False)
    confirmed_at = models.DateTimeField(null=True, editable=False)
    last_step = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="the newest time step used: no code works twice"
    )
    spare_codes = models.JSONField(default=list, editable=False, help_text="SHA-256 of each")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        """Taken away by administrators; made by each for oneself."""

        default_permissions = ("view", "delete")

    def __str__(self) -> str:
        return f"second factor of {self.user}"
