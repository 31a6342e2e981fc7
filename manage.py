#!/usr/bin/env python3
"""The command line of the project: `python3 manage.py help`."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

INSTALLED = Path(__file__).resolve().parent / ".venv" / "bin" / "python"


def take_address(arguments: Sequence[str]) -> None:
    """Make `serve --host … --port …` the variables HOST and PORT.

    Settings load before any command runs, and what they hold depends on both: the host names
    that are answered to, and the checks.
    """
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--host", dest="HOST")
    parser.add_argument("--port", dest="PORT")
    given, _ = parser.parse_known_args(arguments)
    os.environ.update({name: value for name, value in vars(given).items() if value is not None})


def main() -> None:
    """Run one management command, with what `make run` has installed if need be."""
    if find_spec("django") is None and INSTALLED.exists():
        os.execv(INSTALLED, [str(INSTALLED), *sys.argv])
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "claudeapi.settings")
    if sys.argv[1:2] == ["serve"]:
        take_address(sys.argv[2:])
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
