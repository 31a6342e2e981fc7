"""`manage.py import_transcript`: take over a Claude Code transcript file as a session."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from claudeapi.core.errors import ApiError
from keys_app.models import ApiKey
from sessions_app.actions.imports import import_transcript


class Command(BaseCommand):
    """The new session belongs to a key, which can carry the conversation on."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, and whose session it becomes."""
        parser.add_argument("file", type=Path, help="a .jsonl file of Claude Code's")
        parser.add_argument("--key", required=True, help="the key's prefix (capi_…)")
        parser.add_argument("--title", default="", help="the session's title")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, and print the session's id."""
        key = self._key(options["key"])
        try:
            lines = options["file"].read_bytes().splitlines()
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}.") from error
        try:
            session = import_transcript(key, lines, title=options["title"])
        except ApiError as error:
            raise CommandError(error.message) from error
        self.stdout.write(str(session.id))
        self.stderr.write(f"{session.message_count} messages; owned by {key.prefix}.")

    def _key(self, prefix: str) -> ApiKey:
        found = next((key for key in ApiKey.objects.standing() if key.prefix == prefix), None)
        if found is None:
            raise CommandError(f"There is no valid key {prefix}.")
        return found
