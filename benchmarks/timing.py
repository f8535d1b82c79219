"""What every benchmark shares: rotation, medians with spread, the machine, markdown tables."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ontheflyspec.kernels import compiled

SETTLE = 0.15
"""Seconds of untimed calls that short functions have before each timed one, see `rotate`."""


def rotate(
    functions: dict[str, Callable[[], Any]], *, rounds: int, warmup: int = 1, settle: float = 0.0
) -> dict[str, list[float]]:
    """Times functions in turn (A B C A B C ...), so that a slow spell of the machine meets all of them.

    Args:
        functions: what to time, by name.
        rounds: timed calls of each.
        warmup: calls of each before the first timed one.
        settle: seconds of untimed calls right before each timed one, so that short functions do not pay for what the
            one before left behind: threads that spin on for up to 0.1 s, cold caches, a sleeping core. Functions that
            take five times as long do without.

    Returns:
        Seconds of each timed call, by name, in the order in which they ran.
    """
    for _ in range(warmup):
        for function in functions.values():
            function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            begin = time.perf_counter()
            short = not times[name] or min(times[name]) < 5 * settle
            while short and time.perf_counter() - begin < settle:
                function()
            synchronise()
            start = time.perf_counter()
            function()
            synchronise()
            times[name].append(time.perf_counter() - start)
    return times


def synchronise() -> None:
    """Waits for the accelerator, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def median(times: Sequence[float]) -> float:
    """Returns the median of some timings."""
    return statistics.median(times)


def spread(times: Sequence[float]) -> str:
    """Returns the fastest and the slowest as percentages around the median, such as ``-3% +12%``."""
    middle = median(times)
    return f"{100 * (min(times) / middle - 1):+.0f}% {100 * (max(times) / middle - 1):+.0f}%"


def share_of_peak(found: Tensor, wanted: Tensor) -> str:
    """Returns the largest difference as a share of the peak wanted, over the frames that both have."""
    count = min(found.shape[-1], wanted.shape[-1])
    return f"{float((found[..., :count] - wanted[..., :count]).abs().max() / wanted.max()):.1e}"


def version(package: str) -> str | None:
    """Returns the version of an installed package, None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def header(title: str, packages: Iterable[str]) -> str:
    """Returns a heading, the machine, the threads and the versions of packages, those not installed named."""
    known = {package: version(package) for package in packages}
    here = ", ".join(f"{package} {number}" for package, number in known.items() if number)
    absent = ", ".join(package for package, number in known.items() if not number)
    lines = [
        f"## {title}",
        "",
        f"- machine: {_processor()}, {os.cpu_count()} logical CPUs, {platform.system()} {platform.machine()}",
        f"- accelerator: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}",
        f"- torch threads: {torch.get_num_threads()}; programs of the CPU kernels: {compiled.summary()}",
        f"- versions: Python {platform.python_version()}, {here}",
    ]
    if absent:
        lines.append(f"- not installed, skipped: {absent}")
    return "\n".join([*lines, ""])


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a markdown table; the first column is text, the others are numbers and align right."""
    lines = [_row(columns), _row(["---", *["---:"] * (len(columns) - 1)])]
    return "\n".join([*lines, *(_row(row) for row in rows), ""])


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _processor() -> str:
    """Returns the processor's name, as far as the system tells."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
