"""Telling every process that a key has changed, and hearing it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import UUID

import structlog
from asgiref.sync import async_to_sync
from channels.layers import BaseChannelLayer, InMemoryChannelLayer, get_channel_layer
from redis.exceptions import RedisError

from keys_app.resolved import RESOLVED

GROUP = "keys"
REJOIN_SECONDS = 3600.0  # well under the day after which a layer forgets a group's members
RETRY_SECONDS = 1.0
SEND_SECONDS = 2.0

log = structlog.get_logger(__name__)


def changed(key_id: UUID) -> None:
    """Forget a key here at once, and in every other process by the channel layer.

    To be called after the transaction. A layer that fails is logged and survived: the other
    processes' caches forget by themselves within two seconds.
    """
    RESOLVED.forget(key_id)
    layer = _shared_layer()
    if layer is None:
        return
    try:
        async_to_sync(_tell)(layer, key_id)
    except (OSError, RedisError) as error:
        log.warning("key_change_not_announced", key_id=str(key_id), error=type(error).__name__)


async def _tell(layer: BaseChannelLayer, key_id: UUID) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await layer.group_send(GROUP, {"type": "keys.changed", "key_id": str(key_id)})


async def listen() -> None:
    """Hear of changes made in other processes, until cancelled.

    Returns at once when no channel layer is shared with other processes.
    """
    layer = _shared_layer()
    if layer is None:
        return
    while True:
        try:
            await _hear(layer)
        except (OSError, RedisError) as error:
            log.warning("key_changes_not_heard", error=type(error).__name__)
            RESOLVED.clear()
            await asyncio.sleep(RETRY_SECONDS)


async def _hear(layer: BaseChannelLayer) -> None:
    channel = await layer.new_channel("keys")
    try:
        await layer.group_add(GROUP, channel)
        # Whatever changed while nobody listened is read anew.
        RESOLVED.clear()
        async with asyncio.timeout(REJOIN_SECONDS):
            while True:
                message = await layer.receive(channel)
                if message.get("type") == "keys.changed":
                    RESOLVED.forget(UUID(message["key_id"]))
    except TimeoutError:
        return
    finally:
        # A failure here must not take the place of a cancellation.
        with suppress(OSError, RedisError):
            await layer.group_discard(GROUP, channel)


def _shared_layer() -> BaseChannelLayer | None:
    layer = get_channel_layer()
    return None if layer is None or type(layer) is InMemoryChannelLayer else layer
