"""How much memory one call needs, in a process of its own."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

MIB = 2**20


class Use(NamedTuple):
    """What one call took.

    Args:
        peak: MiB that it added at its highest, its output among them.
        output: MiB of its output.
        seconds: how long it took.
    """

    peak: float
    output: float
    seconds: float


def measure(make: Callable[..., Callable[[], Any]], *arguments: Any) -> Use | None:
    """Returns what one call of ``make(*arguments)`` takes, None if nobody can say.

    Args:
        make: a function of a module, which prepares all that is not to be counted and returns the call.
        arguments: what it is given.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, torch.get_num_threads(), make, arguments).result()
        except BrokenProcessPool:
            return None


def _measure(threads: int, make: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> Use | None:
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not clear.exists():
        return None
    torch.set_num_threads(threads)

    def kib(field: str) -> int:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field))

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call = make(*arguments)
        clear.write_text("5")
        before = kib("VmRSS")
        start = time.perf_counter()
        output = call()
        seconds = time.perf_counter() - start
        return Use((kib("VmHWM") - before) / 1024, size(output) / MIB, seconds)


def size(output: Any) -> int:
    """Returns the bytes of the tensors and arrays in an output."""
    if isinstance(output, Tensor | np.ndarray):
        return output.nbytes
    if isinstance(output, dict):
        output = output.values()
    elif not isinstance(output, list | tuple):
        return 0
    return sum(size(part) for part in output)
