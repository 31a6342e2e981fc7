"""``python -m simulator --port 4010``: the simulator without Django."""

from __future__ import annotations

import argparse
import contextlib

from simulator.server import add_arguments, run


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="simulator", description="A simulated Messages API.")
    add_arguments(parser)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        run(
            host=options.host,
            port=options.port,
            exit_with_parent=options.exit_with_parent,
            built_in=options.built_in,
        )


if __name__ == "__main__":
    main()
