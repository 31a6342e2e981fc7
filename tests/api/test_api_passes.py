"""Tickets and open streams go by their key as it is now."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from keys_app.models import ApiKey
from tests.api.caller import Caller, ServerDatabase, created, refused
from tests.api.conftest import Issue
from tests.conftest import StartServer
from tests.server_process import ALICE


def change(database: ServerDatabase, caller: Caller, **fields: Any) -> None:
    assert caller.key is not None
    with database.open() as alias:
        ApiKey.objects.using(alias).filter(pk=caller.key.pk).update(**fields)


def test_who_may_read_gets_a_ticket_and_may_only_read_by_it(
    alice: Caller, session: str, database: ServerDatabase, nobody: Caller
) -> None:
    change(database, alice, scopes=["sessions:read"])
    reader = Caller(alice.url, alice.text)
    for status, query in ((403, {"prompt": "hello"}), (200, {})):
        ticket = created(reader.post(f"{session}/tickets"))["ticket"]
        answer = nobody.get(f"{session}/stream", ticket=ticket, stream=True, **query)
        assert answer.status_code == status
        answer.close()


def test_a_ticket_is_good_only_from_the_keys_addresses(
    alice: Caller, session: str, database: ServerDatabase, nobody: Caller
) -> None:
    ticket = created(alice.post(f"{session}/tickets"))["ticket"]
    change(database, alice, allowed_ips=["10.0.0.0/8"])
    refused(nobody.get(f"{session}/stream", ticket=ticket), 403, "IP_NOT_ALLOWED")


def test_wrong_tickets_count_as_wrong_keys(start_server: StartServer) -> None:
    server = start_server()
    session, mallory = Caller(server.url, ALICE).session(), Caller(server.url, None)
    told = [mallory.get(f"{session}/stream", ticket="guess").status_code for _ in range(31)]
    assert told == [401] * 30 + [429]


def test_an_open_socket_goes_by_the_scopes_the_key_has_now(
    alice: Caller, session: str, database: ServerDatabase
) -> None:
    url = f"{alice.url.replace('http', 'ws')}/ws/v1{session}"
    with connect(url, additional_headers={"x-api-key": alice.text or ""}) as socket:
        assert json.loads(socket.recv(10))["event"] == "connected"
        change(database, alice, scopes=["sessions:read"])
        socket.send(json.dumps({"type": "message", "prompt": "hello"}))
        assert json.loads(socket.recv(10))["data"]["error"]["code"] == "INSUFFICIENT_SCOPE"
        change(database, alice, scopes=["usage:read"])
        with pytest.raises(ConnectionClosed):
            socket.recv(10)
        assert (socket.close_code, socket.close_reason) == (4403, "INSUFFICIENT_SCOPE")


def test_a_stream_ends_when_its_key_may_no_longer_read(
    issue: Issue, session: str, alice: Caller, database: ServerDatabase
) -> None:
    operator = issue("Olga", scopes=["admin"])
    with operator.get(f"{session}/stream", stream=True, timeout=10) as answer:
        change(database, operator, scopes=["sessions:read"])
        assert b"event: connected" in answer.content
