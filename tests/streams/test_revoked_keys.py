"""What becomes of a key's runs when it is revoked."""

from __future__ import annotations

import asyncio

import pytest

from simulator.testing import Probe
from tests.server_process import ServerProcess
from tests.streams.client import Api
from tests.streams.keys import issued, revoke

LONG = "[[sim slow n=6000 delay=20ms]]"


@pytest.mark.slow
async def test_a_revoked_keys_runs_end_and_its_waiting_client_is_refused(
    api: Api, server: ServerProcess, probe: Probe
) -> None:
    key, admin = await issued(server), await issued(server, "--scope", "admin")
    async with Api(api.url, key["key"]) as client, Api(api.url, admin["key"]) as operator:
        session, other = await client.session(), await client.session()
        live = await client.start(session, LONG)
        queued = await client.start(session, "hello", onBusy="enqueue")
        waiting = asyncio.create_task(client.send(other, LONG))
        await probe.until(lambda stats: stats["in_flight"] == 2)
        await revoke(server, key)
        status, body = await waiting
        assert (status, body["error"]["code"]) == (401, "INVALID_API_KEY")
        for run in (live, queued):
            ended = await operator.ended(session, run)
            assert ended["error"]["details"]["reason"] == "key_revoked"
        await probe.until(lambda stats: stats["cancelled"] == 2)
