"""`manage.py error_reference`: `docs/errors.md`, from the table of codes."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from claudeapi.core.errors import CODES, OUTCOME_STATUS, ApiError

HEAD = """# Errors

<!-- Made by `python manage.py error_reference` from claudeapi/core/errors.py. -->

Every error has one shape: in answers, in the `error` event of a stream, and in the last frame of
a refused WebSocket.

```json
{"error": {"code": "SESSION_NOT_FOUND", "message": "…", "details": {"sessionId": "550e…"}},
 "timestamp": "2026-11-22T10:00:00.000Z", "requestId": "4f1c…"}
```

Programs read `code` and `details`; `message` is for people and may change. `requestId` is the
`X-Request-ID` of the answer, and is in every log line of that request. Every 429 and 503 has a
`Retry-After` in seconds.

| status | code | meaning |
|---|---|---|
"""


class Command(BaseCommand):
    """Writes the page, or says that it is out of date."""

    help = "Write docs/errors.md; with --check only compare."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """`--check` compares."""
        parser.add_argument("--check", action="store_true", help="fail if the page is not current")

    def handle(self, *args: Any, **arguments: Any) -> None:
        """Write or compare."""
        path = settings.BASE_DIR / "docs" / "errors.md"
        if not arguments["check"]:
            path.write_text(page())
        elif not path.exists() or path.read_text() != page():
            raise CommandError(f"{path.name} is out of date: run manage.py error_reference.")


def page() -> str:
    """The whole page, as Markdown."""
    kinds = sorted(CODES.values(), key=lambda kind: (kind.status or 999, kind.code))
    return HEAD + "".join(map(_row, kinds))


def _row(kind: type[ApiError]) -> str:
    status = str(kind.status) if kind.status else f"outcome of a run ({OUTCOME_STATUS[kind.code]})"
    meaning = " ".join((kind.__doc__ or "").split())
    return f"| {status} | `{kind.code}` | {meaning} |\n"
