"""The engines there are, by the name a session asks for."""

from __future__ import annotations

from collections.abc import Callable

from claudeapi.core.errors import InvalidRequest
from sessions_app.engines.base import Engine

Factory = Callable[[], Engine]

_factories: dict[str, Factory] = {}
_instances: dict[str, Engine] = {}


def provide(name: str, factory: Factory) -> None:
    """Offer an engine. It is made at its first use, once for the process.

    A factory imports what it needs itself: whoever does not use an engine does not pay for
    its SDK.
    """
    _factories[name] = factory


def names() -> tuple[str, ...]:
    """Every name that `get` knows."""
    return tuple(_factories)


def get(name: str) -> Engine:
    """The engine of that name, one instance for the process.

    Raises:
        InvalidRequest: there is no such engine.
    """
    if name not in _instances:
        if name not in _factories:
            raise InvalidRequest.field("engine", f"must be one of {', '.join(_factories)}")
        _instances[name] = _factories[name]()
    return _instances[name]


def running(name: str) -> Engine | None:
    """The engine of that name if this process has used it."""
    return _instances.get(name)


def agent_pids() -> list[int]:
    """The process ids of live agents, of the engines that have any."""
    return [
        live["pid"]
        for engine in _instances.values()
        if (ask := getattr(engine, "live_sessions", None)) is not None
        for live in ask().values()
        if live["pid"]
    ]


async def aclose() -> None:
    """Free what the engines in use hold: the server stops."""
    while _instances:
        _, engine = _instances.popitem()
        await engine.aclose()
