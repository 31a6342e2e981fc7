"""`GET /models`: no stream, but it may wait for the upstream, and no thread should."""

from __future__ import annotations

from claudeapi.conf import options
from keys_app import asgi as keys
from keys_app import policy, scopes
from sessions_app.api import serializers as wire
from sessions_app.engines import catalog
from sessions_app.engines.base import Upstream
from sessions_app.streaming.exchange import HttpExchange


class ListModels(HttpExchange):
    """The upstream's models, within what the key allows."""

    async def respond(self) -> None:
        """Answer from memory, or ask."""
        key, self.rate = await keys.admit(self.scope, needs=scopes.SESSIONS_READ)
        wire.checked(wire.Nothing, self.query())
        upstream = options().upstream
        found = await catalog.list_models(
            Upstream(upstream.base_url, upstream.api_key, upstream.idle_timeout)
        )
        allowed = [model for model in found if policy.allows_model(key, model["id"])]
        await self.answer(200, {"models": allowed})
