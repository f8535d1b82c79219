"""Memory for batches that is used again once no view of it lives."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIGNED = 64


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
