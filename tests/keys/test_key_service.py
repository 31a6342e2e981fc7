"""What happens to keys when a server starts and stops."""

from __future__ import annotations

from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer, channel_layers

from keys_app import announce, service
from keys_app.models import ApiKey, Source
from keys_app.resolved import RESOLVED
from tests.keys.conftest import Until

pytestmark = pytest.mark.django_db(transaction=True)


class SharedLayer(InMemoryChannelLayer):
    """Stands in for Redis: only the in-process class itself counts as not shared."""


async def test_the_environments_keys_have_rows_before_anybody_asks(configure: Any) -> None:
    configure(auth={"api_keys": ("a-key-of-alice-16", "ein-schluessel-von-bob")})
    await service.start()
    await service.stop()
    assert await ApiKey.objects.filter(source=Source.ENVIRONMENT).acount() == 2


async def test_a_server_listens_from_its_start_to_its_end(until: Until) -> None:
    layer = SharedLayer()
    channel_layers.set("default", layer)
    before = RESOLVED.generation
    try:
        await service.start()
        await until(lambda: RESOLVED.generation > before)
        await service.stop()
        assert announce.GROUP not in layer.groups
    finally:
        channel_layers.backends = {}
