"""Windows: long recordings cut into clips of one length."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ontheflyspec.data.table import Ints

_ROUNDING = 1e-6
"""Share of a hop that rounding may take or add."""


class Windows(NamedTuple):
    """What of which file each clip is.

    Args:
        files: places in the table, int64 ``[clips]``.
        starts: first sample of the file's, at the data set's rate.
        lengths: samples, those beyond the file's end among them.
        recordings: number of the recording that each is of, None where that is its file's place.
    """

    files: Ints
    starts: Ints
    lengths: Ints
    recordings: Ints | None = None


def framed(sizes: Ints, steps: Ints, window: int, hop: float, last: str) -> Windows:
    """Returns the windows of files, one file after the other.

    Args:
        sizes: samples of each file, at the rate of the data set.
        steps: samples that starts in each file are rounded down to a multiple of.
        window: samples of a window.
        hop: samples from one start to the next.
        last: ``"pad"``, ``"drop"`` or ``"keep"`` what reaches beyond the end.
    """
    if last == "drop":
        counts = np.where(sizes >= window, np.floor((sizes - window) / hop + _ROUNDING), -1).astype(np.int64) + 1
    else:
        counts = np.ceil(np.maximum(sizes - window, 0) / hop - _ROUNDING).astype(np.int64) + 1
        counts = np.minimum(counts, np.ceil(sizes / hop - _ROUNDING).astype(np.int64))  # each begins in the file
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    step = np.repeat(steps, counts)
    starts = (np.floor(number * hop / step + _ROUNDING) * step).astype(np.int64)
    lengths = np.full(len(starts), window)
    if last != "pad":
        lengths = np.minimum(lengths, np.repeat(sizes, counts) - starts)
    return Windows(np.repeat(np.arange(len(sizes)), counts), starts, lengths)
