"""What is measured of sessions, runs and streams. Shown by `GET /metrics`."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, Histogram

from sessions_app.models import Run, RunStatus

RUNS = Counter("claudeapi_runs", "Runs ended.", ["engine", "status", "code"])
TOKENS = Counter("claudeapi_tokens", "Tokens, by kind.", ["engine", "kind"])
COST = Counter("claudeapi_cost_usd", "Cost of runs in US dollars.", ["engine"])
RUN_SECONDS = Histogram(
    "claudeapi_run_seconds",
    "From start to end of a run.",
    ["engine"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600),
)
FIRST_DELTA_SECONDS = Histogram(
    "claudeapi_first_delta_seconds",
    "From a message's arrival to the first delta of its reply.",
    ["engine"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
)
FAULTS_OF_OURS = ("INTERNAL_ERROR", "RUN_LOST")
STREAMS = Gauge("claudeapi_streams_open", "Streams open.", ["kind"], multiprocess_mode="livesum")


def streams_open() -> int:
    """How many streams of clients this process holds."""
    return sum(int(sample.value) for metric in STREAMS.collect() for sample in metric.samples)


def begin(engines: Iterable[str]) -> None:
    """Show at 0 what should never be counted: its first time is then an increase."""
    for engine in engines:
        for code in FAULTS_OF_OURS:
            RUNS.labels(engine, RunStatus.FAILED.value, code)


def count_run(run: Run, engine: str) -> None:
    """Count a run that has ended."""
    RUNS.labels(engine, run.status, run.error["code"] if run.error else "").inc()
    TOKENS.labels(engine, "input").inc(run.input_tokens)
    TOKENS.labels(engine, "output").inc(run.output_tokens)
    TOKENS.labels(engine, "cache_read").inc(run.cache_read_tokens)
    TOKENS.labels(engine, "cache_creation").inc(run.cache_creation_tokens)
    COST.labels(engine).inc(float(run.cost_usd))
    RUN_SECONDS.labels(engine).observe(run.duration_ms / 1000)
    if run.first_delta_at:
        waited = (run.first_delta_at - run.created_at).total_seconds()
        FIRST_DELTA_SECONDS.labels(engine).observe(max(0.0, waited))
