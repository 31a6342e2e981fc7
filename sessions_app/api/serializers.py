"""The wire's requests, in camelCase, for REST, streams and the schema alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from claudeapi.core.drf import StrictSerializer
from keys_app.validators import PERMISSION_MODES
from sessions_app.api.wire_fields import (
    AnyObject,
    Metadata,
    ModelName,
    Money,
    Prompt,
    QueryBoolean,
    QueryInteger,
    StrictBoolean,
    StrictInteger,
    StrictText,
    StrictUuid,
    TextList,
)

ENGINES = ("claude-code", "messages")
EARLIEST_YEAR, LATEST_YEAR = 2000, 9000
USAGE_SPAN = timedelta(days=30)
MAX_MS = 10 * 365 * 86_400_000


class CreateSession(StrictSerializer):
    """The body of `POST /sessions`; every field is optional."""

    engine = serializers.ChoiceField(ENGINES, required=False)
    model = ModelName(required=False)
    cwd = StrictText(max_length=4096, required=False)
    permissionMode = serializers.ChoiceField(PERMISSION_MODES, required=False)
    systemPrompt = StrictText(max_length=1_000_000, required=False, allow_blank=True)
    appendSystemPrompt = StrictText(max_length=1_000_000, required=False, allow_blank=True)
    maxTurns = StrictInteger(min_value=1, max_value=100, required=False)
    allowedTools = TextList(required=False)
    disallowedTools = TextList(required=False)
    maxBudgetUsd = Money(required=False, min_value=Decimal("0.00000001"))
    timeout = StrictInteger(
        min_value=1000, max_value=MAX_MS, required=False, help_text="Idle lifetime in ms."
    )
    metadata = Metadata(required=False)
    title = StrictText(max_length=200, required=False, allow_blank=True)
    resume = StrictText(max_length=64, required=False)
    fork = StrictBoolean(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """`fork` says how to resume, so it needs `resume`."""
        if attrs.get("fork") and not attrs.get("resume"):
            raise serializers.ValidationError({"fork": ["Needs resume."]})
        return attrs


class UpdateSession(StrictSerializer):
    """The body of `PATCH /sessions/{id}`."""

    title = StrictText(max_length=200, required=False, allow_blank=True)
    metadata = Metadata(required=False)
    model = ModelName(required=False)
    permissionMode = serializers.ChoiceField(PERMISSION_MODES, required=False)
    timeout = StrictInteger(min_value=1000, max_value=MAX_MS, required=False)


class ForkSession(StrictSerializer):
    """The body of `POST /sessions/{id}/fork`."""

    atMessage = StrictUuid(required=False)


class SendMessage(StrictSerializer):
    """The body of `POST /sessions/{id}/messages` and `…/stream`."""

    prompt = Prompt()
    stream = StrictBoolean(default=False)
    background = StrictBoolean(default=False)
    timeout = StrictInteger(min_value=0, max_value=MAX_MS, default=0, help_text="ms; 0 for none.")
    onBusy = serializers.ChoiceField(("reject", "enqueue", "interrupt"), default="reject")
    onDisconnect = serializers.ChoiceField(("continue", "cancel"), default="continue")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A stream and a background run exclude each other."""
        if attrs["stream"] and attrs["background"]:
            raise serializers.ValidationError({"background": ["Excludes stream."]})
        return attrs


class Nothing(StrictSerializer):
    """A query, a body or a frame that has no fields."""


class SendQuery(StrictSerializer):
    """The query of a POST whose answer may be a stream."""

    partial = QueryBoolean(default=True)  # type: ignore[assignment]


class StreamQuery(StrictSerializer):
    """The query of `GET /sessions/{id}/stream`."""

    prompt = Prompt(required=False)
    stream = QueryBoolean(default=True, help_text="It is one, whatever this says.")
    background = serializers.ChoiceField(("false", "0"), required=False)
    timeout = QueryInteger(min_value=0, max_value=MAX_MS, default=0)
    onBusy = serializers.ChoiceField(("reject", "enqueue", "interrupt"), default="reject")
    onDisconnect = serializers.ChoiceField(("continue", "cancel"), default="continue")
    after = QueryInteger(min_value=0, max_value=2**62, required=False)
    partial = QueryBoolean(default=True)  # type: ignore[assignment]
    ticket = StrictText(max_length=128, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What is sent is followed from its beginning."""
        if "prompt" in attrs and "after" in attrs:
            raise serializers.ValidationError({"after": ["Excludes prompt."]})
        return attrs


class Decide(StrictSerializer):
    """The body of `POST /sessions/{id}/approvals/{approvalId}`."""

    decision = serializers.ChoiceField(("allow", "deny"))
    scope = serializers.ChoiceField(("once", "session"), default="once")
    updatedInput = AnyObject(required=False)
    message = StrictText(max_length=10_000, required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A call that is denied has no input."""
        if attrs["decision"] == "deny" and "updatedInput" in attrs:
            raise serializers.ValidationError({"updatedInput": ["Only for allow."]})
        return attrs


class ListSessions(StrictSerializer):
    """The query of `GET /sessions`, but for `metadata.KEY=VALUE`."""

    status = serializers.ChoiceField(("active", "ended", "expired", "all"), default="active")
    limit = QueryInteger(min_value=1, max_value=1000, default=50)
    cursor = StrictText(max_length=200, required=False)


class ListMessages(StrictSerializer):
    """The query of `GET /sessions/{id}/messages`."""

    limit = QueryInteger(min_value=1, max_value=1000, default=100)
    offset = QueryInteger(min_value=0, max_value=2**31, default=0)


class ListRuns(StrictSerializer):
    """The query of `GET /sessions/{id}/runs`."""

    limit = QueryInteger(min_value=1, max_value=1000, default=50)
    cursor = StrictText(max_length=200, required=False)


class ListEvents(StrictSerializer):
    """The query of `GET /sessions/{id}/events`."""

    after = QueryInteger(min_value=0, max_value=2**62, default=0)
    limit = QueryInteger(min_value=1, max_value=1000, default=500)


class ListApprovals(StrictSerializer):
    """The query of `GET /sessions/{id}/approvals`."""

    status = serializers.ChoiceField(("pending", "all"), default="pending")
    cursor = StrictText(max_length=200, required=False)


class UsageQuery(StrictSerializer):
    """The query of `GET /usage`."""

    to = serializers.DateTimeField(required=False)
    groupBy = serializers.ChoiceField(("day", "model", "session", "key"), default="day")

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        """With `from`, which Python does not let us write as an attribute."""
        return {"from": serializers.DateTimeField(required=False), **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The whole hours meant: by default the 30 days up to the end of this hour."""
        for name in ("from", "to"):
            if name in attrs and not EARLIEST_YEAR <= attrs[name].year < LATEST_YEAR:
                said = f"Must be from {EARLIEST_YEAR} to {LATEST_YEAR}."
                raise serializers.ValidationError({name: [said]})
        given = attrs.get("to", timezone.now())
        until = _hour(given + timedelta(hours=1) - timedelta.resolution)
        since = _hour(attrs.get("from", until - USAGE_SPAN))
        if since > until:
            raise serializers.ValidationError({"from": ["Must not be after to."]})
        return {**attrs, "from": since, "to": until}


def _hour(moment: datetime) -> datetime:
    """The beginning of its hour, in UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


class SocketQuery(StrictSerializer):
    """The query of a WebSocket."""

    after = QueryInteger(min_value=0, max_value=2**62, required=False)


class SocketMessage(StrictSerializer):
    """A `message` frame."""

    prompt = Prompt()
    timeout = StrictInteger(min_value=0, max_value=MAX_MS, default=0)
    onBusy = serializers.ChoiceField(("reject", "enqueue", "interrupt"), default="reject")
    onDisconnect = serializers.ChoiceField(("continue", "cancel"), default="continue")


class SocketDecide(Decide):
    """An `approval` frame."""

    approvalId = StrictText(max_length=64)


def checked(kind: type[StrictSerializer], data: Any) -> dict[str, Any]:
    """The validated values of a body or a query.

    Raises:
        rest_framework.exceptions.ValidationError: naming every wrong field.
    """
    serializer = kind(data=data)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values
