"""``manage.py simulator``: the simulated Messages API, without a database."""

from __future__ import annotations

import contextlib
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from simulator.server import add_arguments, run


class Command(BaseCommand):
    """Serve until interrupted."""

    help = "Run a simulated Messages API, for development and tests."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the same arguments as ``python -m simulator``."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until interrupted."""
        with contextlib.suppress(KeyboardInterrupt):
            run(
                host=options["host"],
                port=options["port"],
                exit_with_parent=options["exit_with_parent"],
                built_in=options["built_in"],
            )
