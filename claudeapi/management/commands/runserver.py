"""`manage.py runserver`: daphne's, for development, with an upstream of its own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand
from django.utils.autoreload import DJANGO_AUTORELOAD_ENV

from claudeapi import simulator_process
from claudeapi.conf import options


class Command(DaphneCommand):
    """Starts the simulator where it is needed, once for all reloads."""

    default_port = str(options().port)
    default_addr = options().host

    def run(self, **arguments: Any) -> None:
        """Serve; the process that reloads keeps the simulator, those it starts inherit it."""
        with ExitStack() as stack:
            reloaded = os.environ.get(DJANGO_AUTORELOAD_ENV) == "true"
            if not reloaded and simulator_process.is_needed():
                simulator = stack.enter_context(simulator_process.SimulatorProcess())
                self.stdout.write(simulator_process.NOTICE.format(url=simulator.url))
            super().run(**arguments)
