"""Lists of numbers of unlike length, one a clip: kept packed, batched as padded values and lengths."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ontheflyspec.batch import as_tensor
from ontheflyspec.data.table import Ints


class Ragged(Sequence[Any]):
    """Lists of numbers in one array; items are lists.

    Args:
        lists: of whole numbers, or of any.
    """

    def __init__(self, lists: Sequence[Any]) -> None:
        rows = [np.asarray(row.numpy() if isinstance(row, Tensor) else row) for row in lists]
        whole = all(row.dtype.kind in "iub" for row in rows if row.size)
        self._values: NDArray[Any] = np.concatenate([row.astype(np.int64 if whole else np.float64) for row in rows])
        self._ends = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        self._chosen: Ints = np.arange(len(rows))

    def take(self, indices: Ints) -> Ragged:
        """Returns the lists at these places; the numbers are shared."""
        view = copy.copy(self)
        view._chosen = self._chosen[indices]
        return view

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        place = int(self._chosen[index])
        numbers = Numbers(self._values[self._ends[place] : self._ends[place + 1]].tolist())
        numbers.whole = self._values.dtype == np.int64
        return numbers


class Numbers(list[Any]):
    """A list of numbers that knows whether all lists beside it hold whole ones."""

    whole: bool


def are_lists(values: Sequence[Any]) -> bool:
    """Returns whether all values are lists, tuples, arrays or tensors of numbers, 1-D."""
    return all(_count(value) is not None for value in values)


def _count(value: Any) -> int | None:
    """Returns how many numbers a value holds, None if it is no list of them."""
    if isinstance(value, np.ndarray | Tensor):
        kinds = value.dtype.kind in "iubf" if isinstance(value, np.ndarray) else not value.is_complex()
        return len(value) if value.ndim == 1 and kinds else None
    if not isinstance(value, list | tuple):
        return None
    return len(value) if all(isinstance(one, Real | np.generic) for one in value) else None


def pair(lists: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Returns lists of numbers as padded values, int64 or float32 ``[B, most]``, 0 past the lengths, int64 ``[B]``."""
    whole = all(getattr(row, "whole", all(isinstance(one, Integral) for one in row)) for row in lists)
    kind, lengths = torch.int64 if whole else torch.float32, [len(row) for row in lists]
    values = torch.zeros(len(lists), max(lengths, default=0), dtype=kind, device="cpu")
    for row, numbers in zip(values, lists, strict=True):
        row[: len(numbers)] = torch.tensor(numbers, dtype=values.dtype, device="cpu")
    return values, as_tensor(lengths)
