"""How it is served: uvicorn, one process or several, and an end that lets runs finish."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from claudeapi.conf import Options
from claudeapi.core.http_protocol import BoundedHttpProtocol
from claudeapi.core.metrics import MULTIPROCESS_DIR
from claudeapi.core.websocket_protocol import EnvelopeWebSocketProtocol
from claudeapi.supervisor import Supervisor
from claudeapi.worker import DrainingServer

APPLICATION = "claudeapi.asgi:application"

# Above what proxies in front keep open, so that it is they who close an idle connection.
KEEP_ALIVE_SECONDS = 75
# What open connections get to close by themselves after the drain.
CLOSE_SECONDS = 5


def listen(host: str, port: int) -> socket.socket:
    """The socket to serve on.

    Raises:
        OSError: the address is in use, or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def run(listener: socket.socket, configured: Options, announce: Callable[[], None]) -> None:
    """Serve until told to stop; `announce` is called once that has begun.

    Raises:
        SystemExit: it could not start.
    """
    config = configuration(configured)
    with suppress(KeyboardInterrupt):
        if configured.workers == 1:
            server = DrainingServer(config)
            server.announce = announce
            server.run(sockets=[listener])
        else:
            announce()
            _share_metrics(configured)
            supervisor = Supervisor(config, [listener])
            supervisor.run()
            if supervisor.failed:
                raise SystemExit(STARTUP_FAILURE)


def configuration(configured: Options) -> uvicorn.Config:
    """uvicorn's settings."""
    return uvicorn.Config(
        APPLICATION,
        host=configured.host,
        port=configured.port,
        workers=configured.workers,
        loop="uvloop",
        http=BoundedHttpProtocol,
        ws=EnvelopeWebSocketProtocol,
        ws_max_size=configured.max_body_bytes,
        # Deflate costs memory per socket and CPU per event, and the events are small.
        ws_per_message_deflate=False,
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )


def _share_metrics(configured: Options) -> None:
    """Give the workers a common place for their counts, empty at every start."""
    folder = configured.data_dir / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[MULTIPROCESS_DIR] = str(folder)
