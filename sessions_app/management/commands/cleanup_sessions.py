"""`manage.py cleanup_sessions`: expire idle sessions and apply retention."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sessions_app.cleanup import clean_up


class Command(BaseCommand):
    """Expires idle sessions, and removes those that ended longer ago than RETENTION_DAYS."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--dry-run`."""
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        """Clean up and print the counts."""
        if options["dry_run"]:
            self.stdout.write("Dry run: this is due, and nothing is changed.")
        for line in clean_up(dry_run=options["dry_run"]).lines():
            self.stdout.write(line)
