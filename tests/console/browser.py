"""A browser's screens and accessibility, and a wire to the server that a test can cut."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.console.chromium import Chromium

PATIENCE = 60
DESKTOP, PHONE = (1280, 900), (390, 844)
SERIOUS = ("serious", "critical")


class Screen(Chromium):
    """Chromium with a screen of some size, in light or dark, that axe can look at."""

    def show(self, size: tuple[int, int], scheme: str = "light") -> None:
        """As on a screen of this size, in this scheme of colours."""
        width, height = size
        self._command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._command("Emulation.setEmulatedMedia", features=[feature])

    def _command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)

    def is_wider_than_the_screen(self) -> bool:
        """Whether a page has to be scrolled sideways."""
        return bool(
            self.run(
                "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        )

    def accessibility(self) -> list[str]:
        """Serious findings of axe, each with the places it names."""
        self.run(axe_script().read_text())
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations));"
        )
        return [
            f"{violation['id']}: " + "; ".join(str(node["target"]) for node in violation["nodes"])
            for violation in found
            if violation["impact"] in SERIOUS
        ]


def axe_script() -> Path:
    """axe-core, as a package of the development tools brings it along."""
    spec = find_spec("axe_core_python")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return next(Path(spec.submodule_search_locations[0]).rglob("axe.min.js"))


class Wire:
    """A port of its own in front of a server, that can be cut and mended."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there_writer}
        await asyncio.gather(_pipe(reader, there_writer), _pipe(there_reader, writer))
        self._writers -= {writer, there_writer}

    def cut(self) -> None:
        """Break every connection, and take no new ones."""
        self._cut = True
        for writer in list(self._writers):
            self._loop.call_soon_threadsafe(writer.transport.abort)

    def mend(self) -> None:
        """Take connections again."""
        self._cut = False

    def close(self) -> None:
        """End it."""
        self.cut()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)

    async def _end(self) -> None:
        self._server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
