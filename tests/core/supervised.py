"""A supervised server of two workers that fail to start while a file is there.

`python -m tests.core.supervised FILE PORT_FILE`
"""

from __future__ import annotations

import os
import sys

import uvicorn

from claudeapi.core.asgi_types import Receive, Scope, Send
from claudeapi.server import listen
from claudeapi.supervisor import Supervisor

BROKEN = "SUPERVISED_BROKEN"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell the process id."""
    if scope["type"] == "lifespan":
        await receive()
        broken = os.path.exists(os.environ[BROKEN])  # noqa: ASYNC240
        await send({"type": f"lifespan.startup.{'failed' if broken else 'complete'}"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


def main() -> None:
    """Serve on a free port, told on the first line."""
    os.environ[BROKEN] = sys.argv[1]
    listener = listen("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        "tests.core.supervised:application", workers=2, lifespan="on", interface="asgi3"
    )
    supervisor = Supervisor(config, [listener])
    supervisor.run()
    sys.exit(3 if supervisor.failed else 0)


if __name__ == "__main__":
    main()
