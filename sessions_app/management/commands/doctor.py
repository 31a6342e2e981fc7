"""`manage.py doctor`: what this server needs, what is missing, and what to do about it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError

from sessions_app import doctor

MARKS = {"ok": "ok     ", "warning": "WARNING", "failure": "FAILURE"}


class Command(BaseCommand):
    """Exits with 1 where something must be mended."""

    help = __doc__ or ""
    requires_system_checks = ()  # what they would refuse to start with is to be told

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--online`."""
        parser.add_argument(
            "--online", action="store_true", help="also ask the upstream for one short reply"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, and print each finding."""
        failures = async_to_sync(self._examine)(options["online"])
        if failures:
            raise CommandError(f"{failures} of these must be mended.")

    async def _examine(self, online: bool) -> int:
        failures = 0
        async for finding in doctor.examine(online=online):
            self.stdout.write(f"{MARKS[finding.verdict]}  {finding.what}: {finding.fact}")
            if finding.remedy:
                self.stdout.write(f"         → {finding.remedy}")
            failures += finding.verdict == "failure"
        return failures
