"""What the training example measures: where the time went, and whether anything was written to disk."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from torch import nn


class Clock:
    """Where the time of training goes: waiting for data, of that the front end, and all in all.

    Args:
        front_end: the transform that the loader calls; its time is taken by hooks, which change nothing else.
    """

    def __init__(self, front_end: nn.Module) -> None:
        self.waited_s = self.front_end_s = self.total_s = 0.0
        self._entered = 0.0
        front_end.register_forward_pre_hook(self._enter)
        front_end.register_forward_hook(self._leave)

    def batches(self, loader: Iterable[Any]) -> Iterator[Any]:
        """Yields the batches of one epoch and counts the time until each is there, and until the epoch is over."""
        began = time.perf_counter()
        batches = iter(loader)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.waited_s += time.perf_counter() - asked
            if batch is None:
                break
            yield batch
        self.total_s += time.perf_counter() - began

    def _enter(self, *_: Any) -> None:
        self._entered = time.perf_counter()

    def _leave(self, *_: Any) -> None:
        self.front_end_s += time.perf_counter() - self._entered


class DiskMeter:
    """Bytes that this process and its workers write anywhere but to the console, from `begin` on.

    Linux counts in ``/proc/<pid>/io``, as ``wchar``, every byte that a process hands to a write call: to a disk, but
    also to a file system in memory, where a cache could hide from ``write_bytes``. What `console` passes on is counted
    and taken off again: print, or show a progress bar, through it while measuring.
    """

    def __init__(self) -> None:
        self.console = _Counted(sys.stderr)
        self._before: int | None = None

    def begin(self) -> None:
        """Starts at 0."""
        self._before = self._counter()

    def written(self) -> int | None:
        """Returns the bytes written since `begin`, None where the system does not count them."""
        now = self._counter()
        return None if now is None or self._before is None else max(0, now - self._before)

    def _counter(self) -> int | None:
        self.console.flush()
        try:
            return sum(map(_write_calls, ["self", *_workers()])) - self.console.n_bytes
        except OSError:
            return None


class _Counted:
    """A text stream that counts the bytes that go through it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.n_bytes = 0

    def write(self, text: str) -> int:
        self.n_bytes += len(text.encode(self._stream.encoding or "utf-8", self._stream.errors or "strict"))
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _workers() -> list[str]:
    """Returns the ids of the processes that this one started."""
    return [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def _write_calls(pid: str) -> int:
    """Returns the bytes that a process has handed to write calls so far, 0 if it has ended."""
    try:
        lines = Path("/proc", pid, "io").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        if pid == "self":
            raise
        return 0
    return int(dict(line.split(": ") for line in lines)["wchar"])


def shown(n_bytes: int | None) -> str:
    """Returns a number of bytes as the report prints it."""
    return "n/a" if n_bytes is None else f"{n_bytes:,}"
