"""What is measured of the `messages` engine, each beside the upstream asked directly."""

from __future__ import annotations

from typing import Any

from benchmarks.processes import Bench, Load, cpu_seconds, measured, memory
from benchmarks.report import Table, median, quantile, ratio
from benchmarks.wire import Target

SIZES = (1, 10, 100)
REPEATS = 3
DELAY = 0.02
PACED_DELTAS = 50
BURST_DELTAS = {1: 5000, 10: 1000, 100: 100}
PARALLEL = 4
FOLLOWERS = 1000
FAN_OUT = 100
FAN_OUT_DELTAS = 100


class Sample:
    """The repeats of one kind of streams."""

    def __init__(self, bench: Bench, *, direct: bool) -> None:
        self._target: Target = bench.upstream if direct else bench.ours
        self._pid = bench.upstream_pid if direct else bench.pid
        self._direct = direct
        self.results: list[dict[str, Any]] = []

    def add(self, count: int, prompt: str, delay: float = 0.0) -> None:
        """One more repeat."""
        load = Load(
            self._target, "streams", direct=self._direct, count=count, prompt=prompt, delay=delay
        )
        with load:
            result, cpu = measured(self._pid, load)
        if result["broken"]:
            raise RuntimeError(f"{result['broken']} of {count} streams were not whole")
        self.results.append({**result, "cpu": cpu})

    def rate(self) -> float:
        """Events a second."""
        return median([r["events"] / r["seconds"] for r in self.results])

    def cpu(self) -> float:
        """CPU seconds of the server for one repeat."""
        return median([r["cpu"] for r in self.results])

    def events(self) -> int:
        """Events of one repeat."""
        return int(self.results[-1]["events"])

    def milliseconds(self, what: str, share: float = 0.5) -> float:
        """The median of the repeats' quantiles of `first_event`, `first_delta` or `late`."""
        return 1000 * median([quantile(r[what], share) for r in self.results])


def streams(bench: Bench) -> list[Table]:
    """One, ten and a hundred streams at once: opened and ended, paced, as fast as they can."""
    rows: dict[str, list[list[str]]] = {"short": [], "paced": [], "burst": []}
    for size in SIZES:
        kinds = {
            "short": ('[[sim text "ok"]]', 0.0),
            "paced": (f"[[sim slow n={PACED_DELTAS} delay=20ms]]", DELAY),
            "burst": (f"[[sim burst n={BURST_DELTAS[size]}]]", 0.0),
        }
        pairs = {kind: (Sample(bench, direct=True), Sample(bench, direct=False)) for kind in kinds}
        for kind, (prompt, delay) in kinds.items():
            for number in range(REPEATS):
                for sample in pairs[kind]:
                    if kind != "paced" or number < REPEATS - 1:
                        sample.add(size, prompt, delay)
        opening = tuple(sample.cpu() for sample in pairs["short"])
        rows["short"].append(_short_row(size, *pairs["short"]))
        for kind in ("paced", "burst"):
            rows[kind].append(_event_row(size, *pairs[kind], opening, kind == "paced"))
    return _stream_tables(rows)


def _short_row(size: int, direct: Sample, ours: Sample) -> list[str]:
    each = ours.cpu() / size * 1000
    return [
        str(size),
        f"{ours.milliseconds('first_event'):.1f}",
        f"{ours.milliseconds('first_delta'):.1f}",
        f"{direct.milliseconds('first_delta'):.1f}",
        f"{ours.milliseconds('first_delta') - direct.milliseconds('first_delta'):.1f}",
        f"{each:.1f}",
        f"{direct.cpu() / size * 1000:.1f}",
    ]


def _event_row(
    size: int, direct: Sample, ours: Sample, opening: tuple[float, ...], paced: bool
) -> list[str]:
    after = [
        max(0.0, sample.cpu() - cpu) / sample.events() * 1e6
        for sample, cpu in zip((direct, ours), opening, strict=True)
    ]
    row = [
        str(size),
        f"{ours.rate():,.0f}",
        f"{direct.rate():,.0f}",
        ratio(ours.rate(), direct.rate()),
        f"{ours.cpu() / ours.events() * 1e6:.0f}",
        f"{after[1]:.0f}",
        f"{after[0]:.0f}",
    ]
    if paced:
        for share in (0.5, 0.99):
            row.append(
                f"{ours.milliseconds('late', share) - direct.milliseconds('late', share):.1f}"
            )
    return row


def _stream_tables(rows: dict[str, list[list[str]]]) -> list[Table]:
    events = (
        *("streams", "events/s", "directly", "ratio"),
        *("CPU µs/event, all", "CPU µs/event, once open", "upstream's own"),
    )
    return [
        Table(
            "Opening and ending a stream",
            (
                *("streams at once", "first event ms", "first delta ms", "directly ms"),
                *("added ms", "CPU ms each", "upstream's own"),
            ),
            rows["short"],
            "`POST …/messages` with `stream: true`, a reply of one word, each in a new session.",
        ),
        Table(
            f"Paced streams: {PACED_DELTAS} deltas, one every 20 ms",
            (*events, "added delay ms, p50", "p99"),
            rows["paced"],
            "CPU of the server process alone. *Once open*: less what opening and ending cost. "
            "*Added delay*: of every delta, against its schedule from the request's sending, less "
            "the same asked directly.",
        ),
        Table("Bursts: as fast as the upstream sends", events, rows["burst"]),
    ]


def requests(bench: Bench) -> list[Table]:
    """Requests that answer once."""
    kinds = (
        ("create a session", "create", 200, None),
        ("message, not streamed", "message", 60, "message"),
        ("read a session", "get", 200, "list"),
    )
    rows = []
    for name, kind, count, counterpart in kinds:
        ours = _requests(bench, kind, count, direct=False)
        row = [name, f"{ours[0]:,.0f}", f"{ours[1]:.2f}", f"{ours[2]:.1f}"]
        if counterpart is None:
            rows.append([*row, "-", "-"])
            continue
        theirs = _requests(bench, counterpart, count, direct=True)
        rows.append([*row, f"{theirs[0]:,.0f}", ratio(ours[0], theirs[0])])
    note = (
        f"{PARALLEL} connections, kept open. Beside reading a session: the simulator's list of "
        "models. A message is written durably, answered by the upstream, and accounted for."
    )
    columns = ("request", "a second", "CPU ms each", "p50 ms", "directly, a second", "ratio")
    return [Table("Requests", columns, rows, note)]


def _requests(bench: Bench, kind: str, count: int, *, direct: bool) -> tuple[float, float, float]:
    target, pid = (bench.upstream, bench.upstream_pid) if direct else (bench.ours, bench.pid)
    rates, costs, times = [], [], []
    for _ in range(REPEATS):
        load = Load(target, "requests", direct=direct, kind=kind, count=count, parallel=PARALLEL)
        with load:
            result, cpu = measured(pid, load)
        rates.append(result["requests"] / result["seconds"])
        costs.append(cpu / result["requests"] * 1000)
        times.append(quantile(result["times"], 0.5) * 1000)
    return median(rates), median(costs), median(times)


def followers(bench: Bench) -> list[Table]:
    """Memory of streams that hear nothing, and one session that many follow."""
    rows = []
    for name, how, direct in (
        ("SSE", "sse", False),
        ("WebSocket", "websocket", False),
        ("upstream: stalled streams", "sse", True),
    ):
        target, pid = (bench.upstream, bench.upstream_pid) if direct else (bench.ours, bench.pid)
        with Load(target, "followers", direct=direct, count=FOLLOWERS, how=how) as load:
            before, cpu = memory(pid)["Rss"], cpu_seconds(pid)
            held = load.run()["open"]
            each = (memory(pid)["Rss"] - before) / held / 1024
            rows.append(
                [name, f"{held:,}", f"{each:.1f}", f"{(cpu_seconds(pid) - cpu) / held * 1000:.2f}"]
            )
    note = (
        "Growth of the server's resident memory, ten followers a session. Run one after the "
        "other: what the first has left free, the next takes without growth."
    )
    columns = ("idle followers", "open", "KiB each", "CPU ms to open each")
    return [Table("Idle streams", columns, rows, note), _fan_out(bench)]


def _fan_out(bench: Bench) -> Table:
    rows = []
    for name, directive in (
        ("paced, 20 ms", f"[[sim slow n={FAN_OUT_DELTAS} delay=20ms]]"),
        ("burst", f"[[sim burst n={FAN_OUT_DELTAS}]]"),
    ):
        load = Load(bench.ours, "fan_out", count=FAN_OUT, prompt=directive, deltas=FAN_OUT_DELTAS)
        with load:
            result, cpu = measured(bench.pid, load)
        if result["broken"]:
            raise RuntimeError(f"{result['broken']} followers missed an event")
        rows.append(
            [
                name,
                f"{result['events']:,}",
                f"{result['events'] / result['seconds']:,.0f}",
                f"{cpu / result['events'] * 1e6:.1f}",
            ]
        )
    columns = ("reply", "events delivered", "a second", "CPU µs each")
    return Table(f"One session, {FAN_OUT} followers, {FAN_OUT_DELTAS} deltas", columns, rows)
