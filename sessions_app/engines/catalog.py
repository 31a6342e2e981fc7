"""Which models the upstream has."""

from __future__ import annotations

import asyncio
import time
from contextvars import Context

from claudeapi.core.errors import UpstreamTimeout
from sessions_app.engines.aliases import resolve
from sessions_app.engines.base import Upstream
from sessions_app.engines.messages.client import UpstreamClient
from sessions_app.engines.messages.failures import VENDOR_ERRORS, from_exception

CACHE_SECONDS = 300.0
LONGEST_WAIT_SECONDS = 30.0
PAGE_SIZE = 100

Listing = list[dict[str, str]]

_listings: dict[tuple[str, str], tuple[float, Listing]] = {}
_asking: dict[tuple[str, str], asyncio.Task[Listing]] = {}


async def list_models(upstream: Upstream) -> Listing:
    """The upstream's models as `{id, name}`, newest first, at most five minutes old.

    Whoever wants to know while somebody asks gets the same answer.

    Raises:
        ApiError: what went wrong upstream, as for a message.
    """
    key = (upstream.base_url, upstream.api_key)
    made_at, models = _listings.get(key, (0.0, []))
    if not models or time.monotonic() - made_at > CACHE_SECONDS:
        models = await asyncio.shield(_asked(key, upstream))
    return [dict(model) for model in models]


async def ping(upstream: Upstream, model: str) -> str:
    """Have the upstream say one short thing, for a fraction of a cent; the model that served.

    Raises:
        ApiError: what went wrong, as for a message.
    """
    try:
        async with (
            asyncio.timeout(min(upstream.idle_timeout, LONGEST_WAIT_SECONDS)),
            UpstreamClient(upstream) as client,
        ):
            reply = await client.messages.create(
                model=resolve(model),
                max_tokens=8,
                messages=[{"role": "user", "content": "Say hi."}],
            )
    except TimeoutError:
        raise UpstreamTimeout() from None
    except VENDOR_ERRORS as error:
        raise from_exception(error, upstream) from error
    return reply.model


def _asked(key: tuple[str, str], upstream: Upstream) -> asyncio.Task[Listing]:
    """The question that is on its way, asked now if there is none."""
    loop = asyncio.get_running_loop()
    asking = _asking.get(key)
    if asking is None or asking.done() or asking.get_loop() is not loop:
        asking = loop.create_task(_ask_and_keep(key, upstream), context=Context())
        # All who wait may have left by then.
        asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        _asking[key] = asking
    return asking


async def _ask_and_keep(key: tuple[str, str], upstream: Upstream) -> Listing:
    models = await _ask(upstream)
    _listings[key] = (time.monotonic(), models)
    return models


async def _ask(upstream: Upstream) -> Listing:
    try:
        async with (
            asyncio.timeout(min(upstream.idle_timeout, LONGEST_WAIT_SECONDS)),
            UpstreamClient(upstream) as client,
        ):
            return [
                {"id": model.id, "name": model.display_name or model.id}
                async for model in client.models.list(limit=PAGE_SIZE)
                if getattr(model, "lifecycle", "active") != "retired"
            ]
    except TimeoutError:
        raise UpstreamTimeout() from None
    except VENDOR_ERRORS as error:
        raise from_exception(error, upstream) from error
