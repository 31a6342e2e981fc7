"""Runs the simulator as a process: its socket, its announcement, its end."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading

import uvicorn

from simulator.app import Simulator

_BACKLOG = 2048
_GRACE_SECONDS = 1
"""Time that open streams have to end after SIGTERM."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line, for ``python -m simulator`` and ``manage.py simulator`` alike."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--port", type=int, default=4010, help="port to listen on; 0 takes a free one"
    )
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="end when standard input is closed, so when the process that holds its pipe ends",
    )
    parser.add_argument(
        "--built-in",
        action="store_true",
        help="the Messages API alone, without what is for tests, under local names only",
    )


def run(*, host: str, port: int, exit_with_parent: bool, built_in: bool) -> None:
    """Listen, say so on the first line of standard output, and serve until told to stop."""
    try:
        listener = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise SystemExit(f"simulator: cannot listen on {host}:{port}: {error}") from error
    if exit_with_parent:
        threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    sys.stdout.write(f"simulator listening on http://{host}:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(
        Simulator(built_in=built_in),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        server_header=False,
        # Answers that a fault leaves incomplete are what was asked for, not errors to report.
        log_level="critical",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _exit_at_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    # There is nothing to save, and nothing that a busy event loop could delay.
    os._exit(0)
