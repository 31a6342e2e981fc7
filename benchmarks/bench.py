"""Figures of a running server, beside its upstream asked directly in the same run.

    python -m benchmarks.bench [--only streams,requests] [--output benchmarks/results.md]

Starts a simulator and a server (`manage.py serve`) as real processes; the load comes from
processes of its own. Takes less than two minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from benchmarks import agents, parts
from benchmarks.processes import ROOT, Bench, end_cleanly_on_sigterm, started
from benchmarks.report import Table, head, say

PARTS: dict[str, Callable[[Bench], list[Table]]] = {
    "streams": parts.streams,
    "requests": parts.requests,
    "followers": parts.followers,
    "agents": agents.agents,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results.md")
    given = parser.parse_args(arguments)
    names = given.only.split(",")
    if unknown := set(names) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    chapters = [head(f"python -m benchmarks.bench {' '.join(arguments or sys.argv[1:])}".strip())]
    for name in names:
        began = monotonic()
        # A fresh server for each: what one part leaves behind is not the next one's burden.
        with started(LOG_LEVEL="WARNING", **agents.ENVIRONMENT) as bench:
            chapters += [table.markdown() for table in PARTS[name](bench)]
        say(f"{name}: {monotonic() - began:.0f} s")
    text = "\n".join(chapters)
    print(text)
    given.output.write_text(text)


if __name__ == "__main__":
    end_cleanly_on_sigterm()
    main()
