"""Rows of a padded batch, filled by threads, in memory that is used again."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, as_tensor
from ontheflyspec.data.faults import BadFile
from ontheflyspec.data.reading import ClipReader

_ALIGNED = 64
"""Bytes that the start of a batch is a multiple of."""
Lease = Callable[[tuple[int, ...], type[Any]], NDArray[Any]]
"""Gives an array of a shape and type for the rows of a batch."""


class BatchReader:
    """The rows of one batch and the threads that fill them.

    Args:
        dataset: the clips.
        indices: of the batch.
        always_float: float32 rows even if int16 would do.
        lease: gives the rows.
        stop: set when nobody wants the batch any more.
    """

    def __init__(
        self, dataset: ClipReader, indices: Sequence[int], *, always_float: bool, lease: Lease, stop: threading.Event
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
        whole = not self.always_float and source.all_integer([part.clip for part in self.parts])
        channels = () if source.mono else (source.channels(self.parts[0].clip),)
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
        return batch if self.dataset.targets is None else (batch, self.dataset.targets_at(self.places, self.parts))

    def _settle(self) -> None:
        """Raises the first problem, or notes all files that may be left out and fills the batch without them."""
        for row in sorted(self.problems):
            problem = self.problems[row]
            if not isinstance(problem, BadFile):
                raise problem
            self.dataset.source.fail(self.parts[row].clip, problem)
        self._prepare()
        self._work()


class Buffers:
    """Lends arrays and takes their memory back when the last view of them is gone.

    New memory costs more than reading a file into it: the system hands it out page by page.

    Args:
        keep: most buffers that wait for their next use.
    """

    def __init__(self, keep: int) -> None:
        self._free: deque[NDArray[np.uint8]] = deque(maxlen=keep)

    def lease(self, shape: tuple[int, ...], dtype: type[Any]) -> NDArray[Any]:
        """Returns an array that holds anything.

        The memory comes back when this very object dies. Views that numpy makes of it do not keep it alive, so give
        it away by ``torch.from_numpy`` alone: the tensor's storage, and with it every view of it, holds this object.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        buffer = self._take(size)
        start = -buffer.ctypes.data % _ALIGNED
        rows: NDArray[Any] = buffer[start : start + size].view(dtype).reshape(shape)
        weakref.finalize(rows, self._free.append, buffer).atexit = False
        return rows

    def _take(self, size: int) -> NDArray[np.uint8]:
        """Returns a free buffer that is large enough, or a new one; smaller ones are let go."""
        while True:
            try:
                buffer = self._free.popleft()
            except IndexError:
                return np.empty(size + size // 8 + _ALIGNED, np.uint8)
            if len(buffer) >= size + _ALIGNED:
                return buffer
