"""`manage.py serve`: the server, with an upstream of its own where none is configured."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from claudeapi import server, simulator_process
from claudeapi.conf import options
from claudeapi.core.process import PRIVATE


class Command(BaseCommand):
    """Checks, starts what is needed, serves."""

    help = "Serve the API with uvicorn (HOST, PORT, WORKERS); Ctrl-C drains and ends."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """The address, where it shall differ from the environment's: `manage.py` takes it."""
        parser.add_argument("--host", help="the address to listen on (default: HOST)")
        parser.add_argument("--port", help="the port; 0 takes a free one (default: PORT)")

    def handle(self, *args: Any, **arguments: Any) -> None:
        """Serve until told to stop."""
        os.umask(PRIVATE)
        self.check(include_deployment_checks=settings.PRODUCTION)
        self._refuse_unmigrated()
        configured = options()
        try:
            listener = server.listen(configured.host, configured.port)
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {configured.host}:{configured.port}: {error.strerror}."
            ) from error
        with ExitStack() as stack, listener:
            if simulator_process.is_needed():
                self._start_simulator(stack)
            port = listener.getsockname()[1]
            server.run(listener, configured, lambda: self._announce(configured.host, port))

    def _refuse_unmigrated(self) -> None:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        connection.close()
        if pending:
            raise CommandError(
                f"The database lacks {len(pending)} migrations: run `python3 manage.py migrate`."
            )

    def _start_simulator(self, stack: ExitStack) -> None:
        try:
            simulator = stack.enter_context(simulator_process.SimulatorProcess())
        except simulator_process.SimulatorFailed as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.WARNING(simulator_process.NOTICE.format(url=simulator.url)))

    def _announce(self, host: str, port: int) -> None:
        shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "::1") else host
        self.stdout.write(
            self.style.SUCCESS(
                f"Serving on http://{shown}:{port} (docs: http://{shown}:{port}/api/docs/)"
            )
        )
        self.stdout.flush()
