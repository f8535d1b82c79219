"""Scan of many files: threads that read their headers."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

import numpy as np

from ontheflyspec.data import audio
from ontheflyspec.data.faults import BadFile
from ontheflyspec.data.stored import content
from ontheflyspec.data.table import Table

_CHUNK = 32
_PATIENCE_S = 2.0


def scan(paths: Sequence[str], *, stop_at_fault: bool, progress: bool) -> tuple[Table, dict[int, BadFile]]:
    """Returns the headers of all files and what was found wrong; files at fault are marked in the table.

    Args:
        paths: the files.
        stop_at_fault: end soon after a file at fault.
        progress: show a bar on stderr once the scan has taken 2 s.
    """
    table = Table(paths)
    found: dict[int, BadFile] = {}
    stop, starts = threading.Event(), itertools.count(0, _CHUNK)

    def work() -> None:
        while (start := next(starts)) < len(paths):
            for index in range(start, min(start + _CHUNK, len(paths))):
                if stop.is_set():
                    return
                try:
                    table.put(index, audio.probe(content(paths[index])))
                except BadFile as bad:
                    table.marks[index], found[index] = bad.code, bad
                    if stop_at_fault:
                        stop.set()

    threads = min(16, 2 * (os.cpu_count() or 1), -(-len(paths) // _CHUNK))
    with ThreadPoolExecutor(threads, thread_name_prefix="ontheflyspec-scan") as pool:
        try:
            _watch({pool.submit(work) for _ in range(threads)}, table, progress)
        finally:
            stop.set()
    return table, found


def _watch(running: set[Future[None]], table: Table, progress: bool) -> None:
    """Waits for the threads and shows how far they are; raises what one of them raised."""
    began, bar = time.monotonic(), None
    with contextlib.ExitStack() as stack:
        while running:
            done, running = wait(running, timeout=0.2, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            if bar is None and running and progress and time.monotonic() - began > _PATIENCE_S:
                from tqdm import tqdm

                bar = stack.enter_context(tqdm(total=len(table), desc="headers", unit=" files", file=sys.stderr))
            if bar is not None:
                bar.update(int(np.count_nonzero(table.headers["frames"])) - bar.n)
