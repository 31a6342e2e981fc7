"""The benchmarks still start, count right, and write what they found."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bench, parts, soak
from benchmarks.processes import Load, cpu_seconds, measured, started
from benchmarks.report import quantile, ratio
from benchmarks.wire import Connection, Reading, stream

pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_a_small_bench_writes_its_figures_beside_the_upstreams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "REPEATS", 1)
    monkeypatch.setattr(parts, "PARALLEL", 2)
    output = tmp_path / "results.md"
    bench.main(["--only", "requests", "--output", str(output)])
    text = output.read_text()
    assert "load average" in text
    assert "| message, not streamed |" in text


@pytest.mark.slow
def test_every_stream_of_a_load_is_whole_and_the_servers_time_is_told() -> None:
    with started(LOG_LEVEL="WARNING") as running:
        prompt = "[[sim burst n=50]]"
        with Load(running.ours, "streams", count=2, prompt=prompt) as load:
            result, cpu = measured(running.pid, load)
        assert (result["broken"], result["deltas"]) == (0, 100)
        assert 0 <= cpu <= cpu_seconds(running.pid)


@pytest.mark.slow
def test_a_short_soak_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--minutes", "0.1", "--clients", "2"]) == 0
    assert capsys.readouterr().out.endswith("PASSED\n")


async def test_events_and_numbers_are_counted_over_reads_that_split_them() -> None:
    text = (
        b"HTTP/1.1 200 OK\r\n\r\n\r\nevent: connected\ndata: {}\n\n"
        b'id: 7\nevent: message\ndata: "text_delta"\n\nid: 8\nevent: complete\ndata: {}\n\n'
        b"\r\n0\r\n\r\n"
    )
    for cut in range(12, len(text)):
        reading = await _read(text[:cut], text[cut:])
        assert (reading.events, len(reading.deltas), reading.ids) == (3, 1, 2), cut
        assert (reading.first_id, reading.last_id, reading.complete) == (7, 8, True), cut


async def _read(*pieces: bytes) -> Reading:
    class Played(Connection):
        async def run(self, request, consume) -> None:  # type: ignore[no-untyped-def]
            for piece in pieces:
                consume(piece)

    return await stream(Played(), b"")


def test_figures_of_nothing_are_nothing() -> None:
    assert (quantile([], 0.5), quantile([1.0, 2.0, 3.0], 0.5), ratio(1, 0)) == (0.0, 2.0, "-")
