"""``python -m benchmarks transforms|loader|musicnet|augment|laws|gpu [options]``; ``--help`` behind lists them."""

from __future__ import annotations

import importlib
import sys

NAMES = ("transforms", "loader", "musicnet", "augment", "laws", "gpu")


def main(arguments: list[str]) -> int:
    """Runs the benchmark that the first argument names and returns the exit status."""
    if not arguments or arguments[0] not in NAMES:
        print(f"usage: python -m benchmarks {'|'.join(NAMES)} [options]", file=sys.stderr)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    importlib.import_module(f"benchmarks.{arguments[0]}").main(arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
