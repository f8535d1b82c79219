"""One padded batch while threads read its clips."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, as_tensor
from ontheflyspec.data import targets as labels
from ontheflyspec.data.collate import gather
from ontheflyspec.data.dataset import AudioDataset
from ontheflyspec.data.faults import BadFile

Lease = Callable[[tuple[int, ...], type[Any]], NDArray[Any]]
"""Gives an array of a shape and type for the rows of a batch."""


class Filling:
    """The rows of one batch and the threads that fill them.

    Args:
        dataset: the clips.
        indices: of the batch.
        always_float: float32 rows even if int16 would do.
        lease: gives the rows.
        stop: set when nobody wants the batch any more.
    """

    def __init__(
        self, dataset: AudioDataset, indices: Sequence[int], *, always_float: bool, lease: Lease, stop: threading.Event
    ) -> None:
        self.dataset, self.indices, self.always_float = dataset, indices, always_float
        self.lease, self.stop = lease, stop
        if not len(indices):
            raise ValueError(checks.message("AudioLoader", "a clip in every batch", "none", "Drop empty batches."))
        self._prepare()

    def _prepare(self) -> None:
        """Decides what to read, leaves out what is known to be bad, and gets rows of the right size."""
        self.places, self.parts = self.dataset.parts(self.indices)
        source = self.dataset.source
        whole = not self.always_float and all(source.is_integer(part.clip) for part in self.parts)
        channels = () if source.mono else (int(source.table.headers["channels"][self.parts[0].clip]),)
        longest = max(part.length for part in self.parts)
        self.rows = self.lease((len(self.parts), *channels, longest), np.int16 if whole else np.float32)
        self.problems: dict[int, Exception] = {}
        self._next = itertools.count()

    def begin(self, pool: ThreadPoolExecutor, threads: int) -> None:
        """Lets the threads of a pool fill the rows."""
        self.running: list[Future[None]] = [pool.submit(self._work) for _ in range(min(threads, len(self.parts)))]

    def _work(self) -> None:
        """Fills the next row that no thread has begun, until there is none."""
        while (row := next(self._next)) < len(self.parts) and not self.stop.is_set():
            length = self.parts[row].length
            try:
                self.dataset.source.read(self.parts[row], self.rows[row, ..., :length])
                self.rows[row, ..., length:] = 0
            except Exception as problem:
                self.problems[row] = problem

    def result(self) -> Any:
        """Returns the batch, with targets if there are any, once all rows are filled; raises what a file raised."""
        wait(self.running)
        while self.problems:
            self._settle()
        ids = [part.id for part in self.parts]
        batch = PaddedBatch(
            torch.from_numpy(self.rows),
            as_tensor([part.length for part in self.parts]),
            float(self.dataset.sample_rate),
            None if None in ids else as_tensor(ids),
        )
        if self.dataset.targets is None:
            return batch
        return batch, gather([labels.value(self.dataset.targets, place) for place in self.places])

    def _settle(self) -> None:
        """Raises the first problem, or notes all files that may be left out and fills the batch without them."""
        for row in sorted(self.problems):
            problem = self.problems[row]
            if not isinstance(problem, BadFile):
                raise problem
            self.dataset.source.fail(self.parts[row].clip, problem)
        self._prepare()
        self._work()
