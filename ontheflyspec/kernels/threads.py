"""Thread pool of the CPU kernels: threads share out items, compute alone, and meet once at the end.

torch by itself shares out every single operation: all threads meet hundreds of times a batch, and where loaders or
other processes keep the cores busy, every meeting waits for the slowest thread. Sharing out items also gives the same
bits for any number of threads.
"""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections.abc import Callable, Sequence

import torch

from ontheflyspec.torch_internals import THREAD_SETTERS, inference_mode

Task = Callable[[int], object]

_LOCK = threading.Lock()
_POOLS: dict[int, Pool] = {}


class _Inside(threading.local):
    pool = False
    """Whether the thread belongs to a pool."""


_INSIDE = _Inside()
_OPENMP = "OpenMP" in torch.__config__.parallel_info()
"""Whether torch computes with OpenMP, where each calling thread has a number of threads of its own; without it tasks
run one after the other, and torch shares out their operations."""

SHARE = 1 << 19
"""Work, in values copied, that is worth one more thread: handing it over costs 30 us."""

MOST = 8
"""Threads at most: more of them wait for the interpreter."""


class Pool:
    """Threads on which torch operations run on one thread; all other threads keep their number of threads."""

    def __init__(self, size: int) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        common, ready = torch.get_num_threads(), threading.Barrier(size + 1)

        def run() -> None:
            _INSIDE.pool = True
            torch.get_num_threads()  # a thread takes the common number at its first question, which must not come later
            torch.set_num_threads(1)
            ready.wait()
            while True:
                self.jobs.get()()

        for number in range(size):
            threading.Thread(target=run, name=f"ontheflyspec-compute_{number}", daemon=True).start()
        ready.wait()
        torch.set_num_threads(common)

    def run(self, work: Callable[[], None], count: int) -> None:
        """Calls ``work`` on ``count`` threads at once, and raises the first error."""
        errors: list[BaseException] = []
        done: queue.SimpleQueue[None] = queue.SimpleQueue()

        def job() -> None:
            try:
                work()
            except BaseException as error:  # whatever it is, the caller gets it
                errors.append(error)
            finally:
                done.put(None)

        for _ in range(count):
            self.jobs.put(job)
        for _ in range(count):
            done.get()
        if errors:
            raise errors[0]


def each(task: Task, count: int, work: float) -> None:
    """Calls ``task(0)`` to ``task(count - 1)``, on as many threads as torch may use here, in any order.

    Tasks must not need gradients. Their own torch operations run on one thread, without autocast, which other threads
    do not have either; the first error is raised.

    Args:
        task: takes the number of a task.
        count: number of tasks.
        work: of all tasks together, in values that could be copied in the same time; it decides on the threads.
    """
    threads = torch.get_num_threads()
    share = min(threads, MOST, count, 1 + int(work // SHARE))
    if threads == 1 or count == 0 or not _OPENMP or _INSIDE.pool:
        _in_order(task, count)
    elif share == 1 and can_be_single_threaded():
        with single_threaded():
            _in_order(task, count)
    else:
        numbers = itertools.count()

        def some() -> None:
            with inference_mode(True):
                while (number := next(numbers)) < count:
                    task(number)

        _pool(min(threads, MOST)).run(some, share)


def can_be_single_threaded() -> bool:
    """Returns whether `single_threaded` can keep the operations of the calling thread on it."""
    return THREAD_SETTERS is not None or torch.get_num_threads() == 1


class single_threaded:
    """Keeps the operations of the calling thread on it while inside; no other thread sees a difference."""

    def __enter__(self) -> None:
        self._threads = torch.get_num_threads()
        self._set = THREAD_SETTERS if self._threads > 1 else None
        if self._set is not None:
            self._set[0](1)
            self._before = self._set[1](1)

    def __exit__(self, *_: object) -> None:
        if self._set is not None:
            self._set[0](self._threads)
            self._set[1](self._before)


def grouped(costs: Sequence[int], most: Callable[[int], int], places: Sequence[int] | None = None) -> list[slice]:
    """Groups neighbours greedily: a group ends before its cost exceeds ``most`` of the cost that is left.

    Args:
        costs: of each neighbour.
        most: takes the sum of costs that are not in a group yet, returns the most cost of a group.
        places: positions of the neighbours; a gap between two begins a new group. None for ``0, 1, 2, ...``.
    """
    groups: list[slice] = []
    start, held, left = 0, 0, sum(costs)
    for place, cost in enumerate(costs):
        apart = places is not None and place > start and places[place] != places[place - 1] + 1
        if place > start and (apart or held + cost > most(left)):
            groups.append(slice(start, place))
            start, held, left = place, 0, left - held
        held += cost
    return [*groups, slice(start, len(costs))] if costs else []


def _in_order(task: Task, count: int) -> None:
    """Calls tasks one after the other, as the pool does: in inference mode and without autocast."""
    if torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            _in_order(task, count)
        return
    with inference_mode(True):
        for number in range(count):
            task(number)


def _pool(size: int) -> Pool:
    with _LOCK:
        if size not in _POOLS:
            _POOLS[size] = Pool(size)
        return _POOLS[size]


def _forget() -> None:
    """Drops pools in a forked process, where their threads do not exist."""
    _POOLS.clear()
    _LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_forget)
