"""The key (which is the tenant), and the sums of what it used."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models as db
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from keys_app import scopes as scope_names
from keys_app import tokens, validators
from keys_app.announce import changed

ANONYMOUS_HASH = "anonymous"  # no SHA-256 in hex, so no credentials can ever match it
LIST_FIELDS = (
    "scopes", "engines", "models", "permission_modes", "roots", "tools", "allowed_ips",
)  # fmt: skip
TOUCH_INTERVAL = timedelta(minutes=1)


class KeyNotChangeableError(Exception):
    """The transition asked for does not apply to this key in its present state."""


class Source(db.TextChoices):
    """Where a key comes from."""

    ISSUED = "issued", "issued here"
    ENVIRONMENT = "environment", "environment"
    ANONYMOUS = "anonymous", "callers without a key"


def default_scopes() -> list[str]:
    """Every scope but `admin`."""
    return list(scope_names.DEFAULT)


def default_permission_modes() -> list[str]:
    """Every permission mode but the one that bypasses all questions."""
    return [mode for mode in validators.PERMISSION_MODES if mode != "bypassPermissions"]


class ApiKeyQuerySet(db.QuerySet["ApiKey"]):
    """Reads of keys, and the one way to make one."""

    def standing(self) -> ApiKeyQuerySet:
        """Keys that are neither revoked nor expired."""
        return self.filter(revoked_at=None).filter(
            Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        )

    def issue(self, name: str, **fields: Any) -> tuple[ApiKey, str]:
        """Make a key and return it with its text, which cannot be had again.

        Raises:
            django.core.exceptions.ValidationError: a field is wrong; it names each.
        """
        token = tokens.mint()
        key = ApiKey(name=name, public_id=token.id, secret_hash=tokens.digest(token.text), **fields)
        key.full_clean()
        key.save(force_insert=True)
        return key, token.text


class ApiKey(db.Model):
    """A key, its policy and limits. Sessions and sums belong to it, over its rotations too.

    Empty `engines`, `models` and `tools` mean no restriction by the key, empty `roots` only
    private workspaces; a null number means the server's own limit. Money is in US dollars,
    days and months are UTC.
    """

    id = db.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = db.CharField(max_length=200)
    source = db.CharField(
        max_length=20, choices=Source.choices, default=Source.ISSUED, editable=False
    )
    public_id = db.CharField(
        max_length=tokens.ID_LENGTH, unique=True, null=True, blank=True, editable=False
    )
    secret_hash = db.CharField(max_length=64, unique=True, editable=False)
    previous_secret_hash = db.CharField(max_length=64, blank=True, editable=False)
    previous_valid_until = db.DateTimeField(null=True, blank=True, editable=False)

    scopes = db.JSONField(default=default_scopes, validators=[validators.known_scopes])
    engines = db.JSONField(default=list, blank=True, validators=[validators.string_list])
    models = db.JSONField(default=list, blank=True, validators=[validators.string_list])
    permission_modes = db.JSONField(
        default=default_permission_modes,
        blank=True,
        validators=[validators.known_permission_modes],
    )
    roots = db.JSONField(default=list, blank=True, validators=[validators.absolute_paths])
    tools = db.JSONField(default=list, blank=True, validators=[validators.string_list])
    allow_slash_commands = db.BooleanField(default=False)

    max_turns = db.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    max_sessions = db.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    max_runs = db.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    rate_limit = db.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    budget_day_usd = db.DecimalField(
        max_digits=12, decimal_places=4, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    budget_month_usd = db.DecimalField(
        max_digits=12, decimal_places=4, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    allowed_ips = db.JSONField(default=list, blank=True, validators=[validators.ip_ranges])

    expires_at = db.DateTimeField(null=True, blank=True)
    revoked_at = db.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = db.DateTimeField(null=True, blank=True, editable=False)
    last_used_ip = db.GenericIPAddressField(null=True, blank=True, editable=False)
    owner = db.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=db.SET_NULL,
        null=True,
        blank=True,
        related_name="api_keys",
    )
    metadata = db.JSONField(default=dict, blank=True, validators=[validators.json_object])
    created_at = db.DateTimeField(default=timezone.now, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        """Newest first; the previous hash of a rotation is never looked up by itself."""

        verbose_name = "API key"
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            db.Index(fields=["-created_at"], name="apikey_created"),
            db.Index(fields=["source"], name="apikey_source"),
        ]

    def __str__(self) -> str:
        """The name and the public part of the key."""
        return f"{self.name} ({self.prefix})"

    def clean(self) -> None:
        """Refuse empty values of the wrong type: Django validates none that is empty.

        Raises:
            django.core.exceptions.ValidationError: by field.
        """
        wrong = {
            name: "Give a list of strings."
            for name in LIST_FIELDS
            if not isinstance(getattr(self, name), list)
        }
        if not isinstance(self.metadata, dict):
            wrong["metadata"] = "Give a JSON object."
        if wrong:
            raise ValidationError(wrong)

    @property
    def prefix(self) -> str:
        """The public, loggable name of the key: `capi_<id>`, `env_<8 hex>` or `anonymous`."""
        if self.public_id:
            return f"{tokens.MARK}_{self.public_id}"
        return "anonymous" if self.source == Source.ANONYMOUS else f"env_{self.pk.hex[:8]}"

    @property
    def is_standing(self) -> bool:
        """Whether the key is neither revoked nor expired, as far as this object knows."""
        return self.revoked_at is None and (
            self.expires_at is None or self.expires_at > timezone.now()
        )

    @property
    def state(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.is_standing else "expired"

    @property
    def is_changeable(self) -> bool:
        """Whether it was issued here: other keys change where they come from."""
        return self.source == Source.ISSUED

    @property
    def is_overlapping(self) -> bool:
        """Whether the secret before the present one still works."""
        until = self.previous_valid_until
        return until is not None and until > timezone.now()

    def announce(self) -> None:
        """After the transaction, tell every process that this key has changed."""
        transaction.on_commit(partial(changed, self.pk))

    def revoke(self) -> bool:
        """End the key for good; False when it was revoked before.

        Raises:
            KeyNotChangeableError: the key comes from the environment.
        """
        self._require_changeable()
        now = timezone.now()
        won = ApiKey.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=now)
        if won:
            self.revoked_at = now
        else:
            self.refresh_from_db(fields=["revoked_at"])
        self.announce()
        return bool(won)

    def rotate(self, overlap: timedelta = timedelta(0)) -> str:
        """Give the key a new secret under the same id and return its text, shown once.

        The secret so far goes on working for `overlap`; an older one stops at once.

        Raises:
            KeyNotChangeableError: it is revoked, comes from the environment, or somebody else
                rotated it at the same moment.
        """
        self._require_changeable()
        token = tokens.mint(self.public_id)
        changes = {
            "secret_hash": tokens.digest(token.text),
            "previous_secret_hash": self.secret_hash if overlap else "",
            "previous_valid_until": timezone.now() + overlap if overlap else None,
        }
        mine = ApiKey.objects.filter(pk=self.pk, secret_hash=self.secret_hash, revoked_at=None)
        if not mine.update(**changes):
            raise KeyNotChangeableError("The key is revoked, or was rotated at the same moment.")
        for name, value in changes.items():
            setattr(self, name, value)
        self.announce()
        return token.text

    def extend(self, until: datetime) -> bool:
        """Let the key work until then, also one that has expired; False when it does already.

        Raises:
            KeyNotChangeableError: it is revoked, or comes from the environment.
        """
        self._require_changeable()
        shorter = ApiKey.objects.filter(pk=self.pk, revoked_at=None, expires_at__lt=until)
        won = bool(shorter.update(expires_at=until))
        self.refresh_from_db(fields=["expires_at", "revoked_at"])
        if self.revoked_at is not None:
            raise KeyNotChangeableError("The key is revoked.")
        self.announce()
        return won

    def touch(self, ip: str | None) -> bool:
        """Note its use, unless that was done within the last minute; whether it was noted."""
        now = timezone.now()
        due = Q(last_used_at=None) | Q(last_used_at__lte=now - TOUCH_INTERVAL)
        stale = ApiKey.objects.filter(due, pk=self.pk)
        return bool(stale.update(last_used_at=now, last_used_ip=ip))

    def _require_changeable(self) -> None:
        if not self.is_changeable:
            raise KeyNotChangeableError(
                f"This key's source is {self.get_source_display()!r}: change it there."
            )


class UsageSum(db.Model):
    """What one key used in one hour of UTC, on one engine and model."""

    key = db.ForeignKey(ApiKey, on_delete=db.CASCADE, related_name="usage_sums")
    hour = db.DateTimeField()
    engine = db.CharField(max_length=50)
    model = db.CharField(max_length=200)
    runs = db.PositiveBigIntegerField(default=0)
    input_tokens = db.PositiveBigIntegerField(default=0)
    output_tokens = db.PositiveBigIntegerField(default=0)
    cache_read_tokens = db.PositiveBigIntegerField(default=0)
    cache_creation_tokens = db.PositiveBigIntegerField(default=0)
    cost_usd = db.DecimalField(max_digits=20, decimal_places=9, default=0)

    class Meta:
        """One row for each key, hour, engine and model; the unique index serves the sums, the
        others the console's list.
        """

        constraints: ClassVar = [
            db.UniqueConstraint(fields=["key", "hour", "engine", "model"], name="usagesum_once")
        ]
        indexes: ClassVar = [
            db.Index(fields=["hour"], name="usagesum_hour"),
            db.Index(fields=["engine", "-hour", "-id"], name="usagesum_engine"),
            db.Index(fields=["model", "-hour", "-id"], name="usagesum_model"),
        ]

    def __str__(self) -> str:
        """Which hour of which key."""
        return f"{self.hour:%Y-%m-%dT%H}Z {self.engine} {self.model}"
