"""A hundred thousand of everything, quickly: rows copied from one by the database itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Model
from django.utils import timezone

from keys_app.models import ApiKey, UsageSum
from sessions_app import runstats
from sessions_app.models import Approval, EventChunk, Message, Run, RunStat, Session

SESSIONS = 100_000
KEYS = 2_000
HOURS = 500_000
EVENTS_A_CHUNK = 100

SQLITE = connection.vendor == "sqlite"


def uuid_of(number: str, kind: int) -> str:
    """SQL: a UUID made of a number."""
    text = f"printf('{kind}%031x', {number})"
    if SQLITE:
        return text
    return f"('{kind}' || lpad(to_hex({number}), 31, '0'))::uuid"


def before(seconds: str) -> str:
    """SQL: a moment so many seconds ago."""
    if SQLITE:
        return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || ({seconds}) || ' seconds')"
    return f"now() - ({seconds}) * interval '1 second'"


def copy(row: Model, count: int, **changes: str) -> None:
    """Copy one row, with some columns made of the copy's number `n`."""
    meta = row._meta
    columns = [field.column for field in meta.concrete_fields]
    if meta.pk.column not in changes:
        columns.remove(meta.pk.column)
    values = ", ".join(changes.get(column, f"t.{column}") for column in columns)
    values = values.replace("%", "%%")  # for the drivers, a `%` begins a parameter
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "
            f"WHERE n < {count}) INSERT INTO {meta.db_table} ({', '.join(columns)}) "
            f"SELECT {values} FROM {meta.db_table} t, numbers WHERE t.{meta.pk.column} = %s",
            [meta.pk.get_db_prep_value(row.pk, connection)],
        )


def fill() -> Session:
    """100,000 sessions, each with a run, two messages and a chunk of 100 events."""
    now = timezone.now()
    key = ApiKey.objects.create(name="Alice", secret_hash="a" * 64)
    session = Session.objects.create(
        key=key,
        engine="messages",
        model="claude-sonnet-5-5",
        title="The first of many",
        timeout_ms=3_600_000,
        expires_at=now + timedelta(hours=1),
        last_event_id=EVENTS_A_CHUNK,
    )
    run = Run.objects.create(
        session=session,
        key=key,
        status="completed",
        prompt=[{"type": "text", "text": "Hello"}],
        model="claude-sonnet-5-5",
        started_at=now,
        finished_at=now - timedelta(seconds=5),
        response="Hello to you.",
        input_tokens=10,
        output_tokens=20,
    )
    _copy_all(session, run)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return session


def _fill_keys(key: ApiKey) -> None:
    """2,000 keys with half a million hours of usage, and one with 20,000 of its own."""
    digits = "printf('%012d', n)" if SQLITE else "lpad(n::text, 12, '0')"
    key.public_id = "A" * 12
    key.save()
    copy(
        key,
        KEYS,
        id=uuid_of("n", 5),
        name="'Key ' || n",
        public_id=digits,
        secret_hash=digits,
        created_at=before("n * 3600"),
    )
    used = UsageSum.objects.create(
        key=key, hour=timezone.now(), engine="messages", model="claude-sonnet-5-5", runs=1
    )
    copy(
        used,
        HOURS,
        key_id=uuid_of(f"(n % {KEYS} + 1)", 5),
        hour=before(f"(n / {KEYS}) * 3600 + 3600"),
        cost_usd="n % 7",
    )
    copy(used, 20_000, hour=before("(n / 10) * 3600 + 3600"), model="'model-' || (n % 10)")


def _copy_all(session: Session, run: Run) -> None:
    chunk = EventChunk.objects.create(
        session=session, first=1, last=EVENTS_A_CHUNK, payload=b"x" * 400
    )
    message = Message.objects.create(
        session=session,
        run=run,
        sequence=1,
        type="user",
        source="user",
        content={"type": "user", "message": {"role": "user", "content": "Hello"}},
    )
    approval = Approval.objects.create(
        session=session, run=run, tool_name="Bash", status="allowed", expires_at=timezone.now()
    )
    active = "CASE WHEN n % 10 THEN 'ended' ELSE 'active' END"
    owner: dict[str, Any] = {"session_id": uuid_of("n", 1)}
    copy(
        session,
        SESSIONS,
        id=uuid_of("n", 1),
        status=active if SQLITE else active.replace("n % 10", "n % 10 <> 0"),
        last_activity=before("n * 25"),
        created_at=before("n * 25 + 60"),
        title="'Session ' || n",
    )
    copy(run, SESSIONS, id=uuid_of("n", 2), finished_at=before("n * 25"), **owner)
    copy(chunk, SESSIONS, **owner)
    copy(message, SESSIONS, id=uuid_of("n", 3), run_id=uuid_of("n", 2), **owner)
    copy(approval, SESSIONS // 10, id=uuid_of("n", 4), run_id=uuid_of("n", 2), **owner)
    stat = RunStat.objects.create(
        key=run.key, engine="messages", model="claude-sonnet-5-5", at=timezone.now(), runs=1
    )
    _fill_keys(session.key)
    copy(stat, 20_000, at=before("n * 120"), model="'model-' || (n % 7)", haste="n % 12")
    runstats.compact()
