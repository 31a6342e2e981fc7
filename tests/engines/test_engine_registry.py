"""Engines by name, and the upstream's models."""

from __future__ import annotations

import subprocess
import sys

import pytest

from claudeapi.core.errors import InvalidRequest, UpstreamError, UpstreamRejected
from sessions_app.engines import catalog, registry
from sessions_app.engines.base import Upstream
from sessions_app.engines.catalog import list_models
from simulator.testing import Probe


async def test_an_engine_is_made_once() -> None:
    assert "messages" in registry.names()
    assert registry.get("messages") is registry.get("messages")
    await registry.aclose()


def test_an_unknown_engine_is_a_bad_request() -> None:
    with pytest.raises(InvalidRequest, match="messages"):
        registry.get("abacus")


def test_a_vendor_sdk_is_imported_only_when_its_engine_is_used() -> None:
    code = "import sys, sessions_app.engines.registry; sys.exit('anthropic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_models_come_from_the_upstream_and_are_kept(upstream: Upstream, probe: Probe) -> None:
    models = await list_models(upstream)
    again = await list_models(upstream)

    assert models == again
    assert {"id", "name"} == set(models[0])
    assert any("sonnet" in model["id"] for model in models)
    assert len([seen for seen in await probe.requests() if seen["path"] == "/v1/models"]) == 1


async def test_every_page_of_models_is_read(
    upstream: Upstream, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = await list_models(upstream)
    monkeypatch.setattr(catalog, "CACHE_SECONDS", 0.0)
    monkeypatch.setattr(catalog, "PAGE_SIZE", 3)

    assert await list_models(upstream) == at_once
    assert len(await probe.requests()) > 2


async def test_a_refused_key_is_told(upstream: Upstream) -> None:
    with pytest.raises(UpstreamRejected):
        await list_models(Upstream(upstream.base_url, "invalid"))


async def test_nobody_listening_is_told() -> None:
    with pytest.raises(UpstreamError):
        await list_models(Upstream("http://127.0.0.1:9", "any"))
