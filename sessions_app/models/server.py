"""The service as a whole: its processes, its sums, its switch."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from keys_app.models import ApiKey


class ServerProcess(models.Model):
    """A server process that drives runs; its heartbeat is the lease on all of them."""

    id = models.CharField(primary_key=True, max_length=32)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    machine = models.CharField(
        max_length=128, blank=True, help_text="where its pid means something; empty: nowhere else"
    )
    version = models.CharField(max_length=32)
    started_at = models.DateTimeField(default=timezone.now)
    heartbeat_at = models.DateTimeField(default=timezone.now, db_index=True)
    draining = models.BooleanField(default=False)
    facts = models.JSONField(default=dict, help_text="what `facts.gather` found at the heartbeat")

    class Meta:
        """Names in the admin."""

        verbose_name_plural = "server processes"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class RunStat(models.Model):
    """Runs that ended within one span of time, of one key, engine, model, outcome and haste.

    Written by `runstats.record`, a minute at a time; made coarser by `runstats.compact`.
    """

    MINUTE, HOUR, DAY = 60, 3600, 86_400

    id = models.BigAutoField(primary_key=True)
    span = models.PositiveIntegerField(default=MINUTE, help_text="seconds")
    at = models.DateTimeField(help_text="where the span begins, UTC")
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+")
    engine = models.CharField(max_length=32)
    model = models.CharField(max_length=128)
    code = models.CharField(max_length=64, blank=True, help_text="the error; empty for none")
    haste = models.SmallIntegerField(
        default=-1, help_text="bucket of the time to the first delta; -1: there was none"
    )
    runs = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cache_read_tokens = models.PositiveBigIntegerField(default=0)
    cache_creation_tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=20, decimal_places=8, default=0)
    last_at = models.DateTimeField(default=timezone.now, help_text="when the newest of them ended")

    class Meta:
        """One row of each; all reads are ranges of time."""

        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["at", "span", "key", "engine", "model", "code", "haste"],
                name="runstat_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%dT%H:%M}Z {self.engine} {self.model} {self.code}".strip()


class ServiceState(models.TextChoices):
    """`paused`: nothing new starts. `draining`: nothing new comes in, what waits is finished."""

    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"


class ServiceSwitch(models.Model):
    """The one row with which operators stop and start the service. See `switch`."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    state = models.CharField(
        max_length=16, choices=ServiceState.choices, default=ServiceState.RUNNING
    )
    reason = models.CharField(max_length=200, blank=True, help_text="shown to clients and staff")
    changed_by = models.CharField(max_length=150, blank=True)
    changed_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.state
