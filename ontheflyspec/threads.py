"""Work on a CPU that is shared out by items: each thread computes alone, and they meet once at the end.

torch would share out every single operation instead: all threads meet hundreds of times a batch, and where loaders or
other processes keep the cores busy, every meeting waits for the slowest. Results are also bitwise the same for any
number of threads.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_LOCK = threading.Lock()
_INSIDE = threading.local()
_POOLS: dict[int, ThreadPoolExecutor] = {}
_OPENMP = "OpenMP" in torch.__config__.parallel_info()
"""With it the number of threads belongs to the calling thread; elsewhere operations are left to torch."""


SHARE = 1 << 19
"""Values that are worth a thread of their own: with less to do, threads wait for the interpreter and each other."""

MOST = 8
"""Threads at most: more of them wait for the interpreter."""


def each(task: Callable[[int], None], count: int, values: int) -> None:
    """Calls ``task(0)`` to ``task(count - 1)``, on as many threads as torch may use here, in no certain order.

    Tasks must not need gradients. Their own torch operations run on one thread, without autocast, which other threads
    do not have either; the first error is raised.

    Args:
        task: takes a number.
        count: how many there are.
        values: numbers that all tasks together touch, to decide how many threads that is worth.
    """
    threads = torch.get_num_threads()
    if threads == 1 or count == 0 or not _OPENMP or getattr(_INSIDE, "pool", False):
        with torch.autocast("cpu", enabled=False):
            for number in range(count):
                task(number)
        return
    numbers = itertools.count()

    def work() -> None:
        with torch.inference_mode():
            while (number := next(numbers)) < count:
                task(number)

    pool = _pool(min(threads, MOST))
    for done in [pool.submit(work) for _ in range(min(threads, MOST, count, 1 + values // SHARE))]:
        done.result()


def _pool(size: int) -> ThreadPoolExecutor:
    with _LOCK:
        if size not in _POOLS:
            _POOLS[size] = _start(size)
        return _POOLS[size]


def _start(size: int) -> ThreadPoolExecutor:
    """Returns threads on which torch computes without help; the number for all others stays what it is."""
    common = torch.get_num_threads()
    ready = threading.Barrier(size + 1)

    def begin() -> None:
        _INSIDE.pool = True
        torch.get_num_threads()  # a thread takes the common number at its first question, which must not come later
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(size, "ontheflyspec-compute", begin)
    for _ in range(size):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(common)
    return pool


def _forget() -> None:
    """Drops pools in a forked process, where their threads do not exist."""
    _POOLS.clear()
    _LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_forget)
