"""The `messages` engine and streams that no decent server would send."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct

import pytest

from claudeapi.core.errors import UpstreamError, UpstreamOverloaded, UpstreamRejected
from sessions_app.engines.base import Upstream
from sessions_app.engines.events import Delta, EngineEvent, Spent
from sessions_app.engines.fold import Fold
from sessions_app.engines.messages import MessagesEngine
from simulator.testing import Probe
from tests.engines.conformance import MakeTurn, error_of, streamed_text
from tests.engines.conftest import API_KEY
from tests.engines.driving import Outcome, RecordingHost, drive
from tests.engines.raw_upstream import HEAD, RawUpstream, Script, frame, frames, says
from tests.engines.turns import turn_maker


async def answered(engine: MessagesEngine, script: Script, idle_timeout: float = 2.0) -> Outcome:
    """One turn against a server that runs `script`."""
    async with RawUpstream(script) as server:
        return await drive(engine, turn_maker(Upstream(server.url, API_KEY, idle_timeout))("hi"))


async def test_a_reply_in_single_bytes_is_read(engine: MessagesEngine) -> None:
    reply = frames("Hel", "lo")
    outcome = await answered(engine, says(HEAD, *(bytes([byte]) for byte in reply)))

    assert outcome.finished.text == streamed_text(outcome) == "Hello"
    assert outcome.finished.usage.input_tokens == 12


async def test_a_reply_in_crlf_lines_is_read(engine: MessagesEngine) -> None:
    outcome = await answered(engine, says(HEAD, frames("Hel", "lo", newline=b"\r\n")))
    assert outcome.finished.text == "Hello"


@pytest.mark.parametrize("whole_frames", range(7))
async def test_a_reply_that_is_cut_anywhere_is_never_completed(
    engine: MessagesEngine, whole_frames: int
) -> None:
    half_a_frame = frames("Hel", "lo")[len(frames("Hel", "lo", until=whole_frames)) :][:20]
    outcome = await answered(
        engine, says(HEAD, frames("Hel", "lo", until=whole_frames), half_a_frame)
    )

    assert isinstance(outcome.error, UpstreamError)
    assert not outcome.ended_well
    assert bool(outcome.spent) is (whole_frames > 0)


async def test_a_reset_connection_is_an_upstream_error(engine: MessagesEngine) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + frames("Hel", "lo", until=3))
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert isinstance((await answered(engine, reset)).error, UpstreamError)


async def test_nobody_listening_is_an_upstream_error(engine: MessagesEngine) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        outcome = await drive(engine, turn_maker(Upstream(url, API_KEY))("hi"))

    assert isinstance(outcome.error, UpstreamError)
    assert outcome.events == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>Sign in",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n",
        b"not even HTTP\r\n\r\n",
        HEAD + b"data: {not json\n\n",
        HEAD + b"data: [1, 2]\n\n",
        HEAD + b'data: "text"\n\n',
        HEAD + b'data: {"type":"message_stop"}\n\n',
        HEAD + frames("x", until=3) + b"data: " + b"[" * 100_000 + b"\n\n",
        HEAD + frames("x", until=3) + frames("x"),
        HEAD,
    ],
    ids=lambda answer: repr(answer[-30:]),
)
async def test_an_answer_that_is_no_stream_is_an_upstream_error(
    engine: MessagesEngine, answer: bytes
) -> None:
    outcome = await answered(engine, says(answer))

    assert type(outcome.error) is UpstreamError
    assert not outcome.ended_well


async def test_events_before_the_one_that_fails_are_passed_on(engine: MessagesEngine) -> None:
    outcome = await answered(engine, says(HEAD + frames("Hel", "lo", until=4) + b"data: {\n\n"))

    assert streamed_text(outcome) == "Hello"
    assert outcome.assistant["content"] == [{"type": "text", "text": "Hello"}]


async def test_what_a_reply_has_cost_is_told_where_a_bug_of_ours_ends_it(
    engine: MessagesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Fold, "_grow", stumble)
    told: list[EngineEvent] = []
    async with RawUpstream(says(HEAD, frames("Hello"))) as server:
        turn = turn_maker(Upstream(server.url, API_KEY, 2.0))("hi")
        with pytest.raises(ZeroDivisionError):
            await drive(engine, turn, on_event=told.append)

    assert [event.usage.input_tokens for event in told if isinstance(event, Spent)] == [12]


async def test_what_a_reply_has_cost_is_told_before_what_cannot_be_read(
    engine: MessagesEngine,
) -> None:
    nameless = frames("x").replace(b'"type":"text","text":""', b'"type":"text","text":7')
    told: list[EngineEvent] = []
    async with RawUpstream(says(HEAD, nameless)) as server:
        turn = turn_maker(Upstream(server.url, API_KEY, 2.0))("hi")
        with pytest.raises(TypeError):
            await drive(engine, turn, on_event=told.append)

    assert [event.usage.output_tokens for event in told if isinstance(event, Spent)] == [7]


async def test_pings_are_not_passed_on_and_unknown_events_are(engine: MessagesEngine) -> None:
    middle = frame({"type": "ping"}) + b": comment\n\ndata:\n\n" + frame({"type": "novelty"})
    whole = frames("Hello")
    first = frames("Hello", until=1)

    outcome = await answered(engine, says(HEAD + first + middle + whole[len(first) :]))

    assert [event["type"] for event in outcome.deltas][:2] == ["message_start", "novelty"]
    assert outcome.finished.text == "Hello"


async def test_every_delta_is_one_line_of_proper_json(engine: MessagesEngine) -> None:
    lone = frames("MARK").replace(b"MARK", b"a \\ud83d b \\ud83d\\ude00")
    several_lines = lone.replace(
        b'{"type":"content_block_stop"', b'{\ndata: "type":"content_block_stop"'
    )

    outcome = await answered(engine, says(HEAD + several_lines))

    raws = [event.raw for event in outcome.events if isinstance(event, Delta)]
    assert not any(b"\n" in raw for raw in raws)
    assert streamed_text(outcome) == outcome.finished.text == "a \ufffd b \U0001f600"


async def test_a_compressed_stream_is_read_too(engine: MessagesEngine) -> None:
    head = HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    outcome = await answered(engine, says(head + gzip.compress(frames("Hello"))))
    assert outcome.finished.text == "Hello"


async def test_a_key_that_the_upstream_quotes_is_not_told_to_anybody(
    engine: MessagesEngine,
) -> None:
    problem = (
        f'{{"error":{{"type":"authentication_error","message":"bad key {API_KEY}"}}}}'.encode()
    )
    head = b"HTTP/1.1 401 No\r\ncontent-type: application/json\r\nrequest-id: req_1\r\n"
    length = b"content-length: %d\r\n\r\n" % len(problem)

    error = error_of(await answered(engine, says(head + length + problem)))

    assert type(error) is UpstreamRejected
    assert error.details == {
        "type": "authentication_error",
        "message": "bad key [key]",
        "status": 401,
        "requestId": "req_1",
    }


async def test_the_connection_is_used_again(engine: MessagesEngine) -> None:
    async def keep_alive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            reply = frames("Hello")
            head = HEAD.replace(b"connection: close", b"transfer-encoding: chunked")
            writer.write(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(reply), reply))
            await reader.readuntil(b"\r\n\r\n")

    async with RawUpstream(keep_alive) as server:
        make = turn_maker(Upstream(server.url, API_KEY, 2.0))
        for _ in range(3):
            assert (await drive(engine, make("hi"))).finished.text == "Hello"

    assert server.connections == 1


async def test_a_whole_reply_does_not_wait_for_a_body_that_does_not_end(
    engine: MessagesEngine,
) -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + frames("Hello"))
        await reader.read()

    outcome = await answered(engine, hold, idle_timeout=60.0)

    assert outcome.finished.status == "completed"
    assert outcome.seconds < 30


async def test_an_early_refusal_of_a_big_prompt_ends_the_turn(engine: MessagesEngine) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Big\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()
        await writer.wait_closed()

    async with RawUpstream(refuse) as server:
        turn = turn_maker(Upstream(server.url, API_KEY, 60.0))("x" * 20_000_000)
        outcome = await drive(engine, turn)

    assert isinstance(outcome.error, UpstreamRejected | UpstreamError)
    assert outcome.seconds < 30


async def test_a_failure_is_tried_three_times_at_most(
    engine: MessagesEngine, make_turn: MakeTurn, probe: Probe
) -> None:
    outcome = await drive(engine, make_turn("[[sim status 529]]"))

    assert isinstance(outcome.error, UpstreamOverloaded)
    assert len(await probe.requests()) == 3


async def test_a_passing_failure_is_not_noticed(
    engine: MessagesEngine, make_turn: MakeTurn
) -> None:
    outcome = await drive(engine, make_turn('[[sim status 529 times=2]] [[sim text "third"]]'))
    assert outcome.finished.text == "third"


async def test_a_long_wait_is_handed_on_instead_of_slept_through(
    engine: MessagesEngine, make_turn: MakeTurn, probe: Probe
) -> None:
    outcome = await drive(engine, make_turn("[[sim status 429 retry-after=60]]"))

    assert error_of(outcome).retry_after == 60
    assert len(await probe.requests()) == 1


async def test_a_slow_reader_is_no_stall(engine: MessagesEngine, make_turn: MakeTurn) -> None:
    events: list[object] = []
    async for event in engine.run(make_turn("hello", idle_timeout=0.2), RecordingHost()):
        if len(events) == 2:
            await asyncio.sleep(0.5)  # the reader's slowness is what is tested
        events.append(event)
    assert type(events[-1]).__name__ == "Finished"


async def test_a_reader_that_waits_holds_the_upstream_back(
    engine: MessagesEngine, make_turn: MakeTurn, probe: Probe
) -> None:
    turn = make_turn("[[sim big size=64MB chunk=4096]]")
    events = engine.run(turn, RecordingHost())
    await anext(events)

    sent = [0]
    while len(sent) < 20 or sent[-1] > sent[-20]:  # until it has stopped sending
        sent.append((await probe.requests())[-1]["deltas_sent"])
    await events.aclose()  # type: ignore[attr-defined]

    assert sent[-1] * 4096 < 16 * 2**20


async def test_cancelling_the_task_closes_the_upstream_request(
    engine: MessagesEngine, make_turn: MakeTurn, probe: Probe
) -> None:
    running = asyncio.create_task(drive(engine, make_turn("[[sim slow n=1000]]")))
    await probe.until(lambda stats: stats["in_flight"] == 1)

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await probe.until(lambda stats: stats["in_flight"] == 0))["cancelled"] == 1
