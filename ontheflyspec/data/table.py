"""Tables of headers, faults and texts: a million clips are a few arrays, which workers share or copy at once."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from ontheflyspec.data import faults
from ontheflyspec.data.faults import Failure
from ontheflyspec.data.header import Header
from ontheflyspec.data.stored import Held

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_FIELDS = dict(zip(Header._fields, ("i8", "i4", "i2", "u1", "u4", "i8", "i8"), strict=True))
"""The types that the fields of a `Header` are kept in."""


def twins(values: Ints) -> tuple[Ints, Ints] | tuple[None, None]:
    """Returns of each value how often it stands before, and how often in all; None for each if all are different."""
    order = np.argsort(values, kind="stable")
    first = np.flatnonzero(np.diff(values[order], prepend=-1))
    if len(first) == len(values):
        return None, None
    sizes = np.diff(first, append=len(values))
    number, count = np.empty(len(values), np.int64), np.empty(len(values), np.int64)
    number[order] = np.arange(len(values)) - np.repeat(first, sizes)
    count[order] = np.repeat(sizes, sizes)
    return number, count


def turn(known: tuple[Ints, Ints] | tuple[None, None], place: int, occurrence: int) -> int:
    """Returns the occurrence of a value that stands at several places, each of which has its turn.

    Args:
        known: of `twins`.
        place: of the value.
        occurrence: of that place.
    """
    number, count = known
    return occurrence if number is None or count is None else occurrence * int(count[place]) + int(number[place])


class PackedStrings(Sequence[str]):
    """A sequence of strings in one array of bytes; `take` gives a view of some of them.

    Args:
        strings: file names or any other text.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._start = os.path.commonprefix([min(strings), max(strings)]) if strings else ""  # noqa: RUF071
        encoded = [string[len(self._start) :].encode("utf-8", "surrogatepass") for string in strings]
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self._chosen: Ints | None = None

    def take(self, indices: Ints) -> PackedStrings:
        """Returns the strings at these places; the bytes are shared."""
        view = copy.copy(self)
        view._chosen = indices if self._chosen is None else self._chosen[indices]
        return view

    def digest(self) -> str:
        """Returns a hash of these strings in their order, but for what all that were packed begin with."""
        chosen = b"" if self._chosen is None else self._chosen.tobytes()
        return hashlib.sha256(self._bytes.tobytes() + self._ends.tobytes() + chosen).hexdigest()

    def __len__(self) -> int:
        return len(self._ends) - 1 if self._chosen is None else len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> PackedStrings: ...
    def __getitem__(self, index: int | slice) -> str | PackedStrings:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        place = range(len(self))[index]
        if self._chosen is not None:
            place = int(self._chosen[place])
        packed = self._bytes[self._ends[place] : self._ends[place + 1]].tobytes()
        return self._start + packed.decode("utf-8", "surrogatepass")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(a == b for a, b in zip(self, other))  # noqa: B905

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self)) if len(self) <= 6 else f"[{self[0]!r}, {self[1]!r}, ... {len(self)} in all]"


class Table:
    """Headers and faults of files. The faults lie in shared memory, so that all processes know what one has seen.

    Args:
        paths: the files.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = PackedStrings(paths)
        self.held = {place: path for place, path in enumerate(paths) if isinstance(path, Held)}
        """Files in memory, by their places."""
        self.headers = {name: np.zeros(len(paths), kind) for name, kind in _FIELDS.items()}
        """Each field of all headers, by its name."""
        self.faults = torch.zeros(len(paths), dtype=torch.uint8, device="cpu")
        self.filled = torch.zeros_like(self.faults)
        """How often each file filled a batch of which nothing was left, 255 for more."""
        self._share()

    @classmethod
    def joined(cls, parts: Sequence[tuple[Table, Ints]]) -> Table:
        """Returns the rows of several tables as one of its own; faults that are found later stay apart."""
        whole = cls([table.path(row) for table, rows in parts for row in rows.tolist()])
        for name, field in whole.headers.items():
            field[:] = np.concatenate([table.headers[name][rows] for table, rows in parts])
        whole.marks[:] = np.concatenate([table.marks[rows] for table, rows in parts])
        return whole

    def __len__(self) -> int:
        return len(self.faults)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "marks"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._share()

    def _share(self) -> None:
        self.faults.share_memory_()  # type: ignore[no-untyped-call]
        self.filled.share_memory_()  # type: ignore[no-untyped-call]
        self.marks: NDArray[np.uint8] = self.faults.numpy()

    def path(self, index: int) -> str:
        """Returns the path of a file, or the name that holds its bytes."""
        return self.held.get(index) or self.paths[index]

    def put(self, index: int, header: Header) -> None:
        """Keeps a header."""
        for field, value in zip(self.headers.values(), header, strict=True):
            field[index] = value

    def header(self, index: int) -> Header:
        """Returns a header as `put` got it."""
        return Header(*[field.item(index) for field in self.headers.values()])

    def failures(self, indices: Iterable[int] | None = None) -> list[Failure]:
        """Returns the faults of the files at these places (None: of all files), in order."""
        places = _among(np.flatnonzero(self.marks), indices)
        return [Failure(place, self.paths[place], faults.reason(int(self.marks[place]))) for place in places]

    def fill(self, index: int) -> None:
        """Notes that a good file fills a batch of which nothing was left."""
        self.filled[index] = min(int(self.filled[index]) + 1, 255)

    def fills(self, indices: Iterable[int] | None = None) -> list[Failure]:
        """Returns the good files that filled batches, as `failures` does the bad ones."""
        places = _among(np.flatnonzero((self.filled.numpy() > 0) & (self.marks == 0)), indices)
        return [
            Failure(place, self.paths[place], f"filled {int(self.filled[place])} batches of which nothing was left")
            for place in places
        ]


def _among(places: Ints, indices: Iterable[int] | None) -> list[int]:
    """Returns those of some places that are among others, in order; all of them for None."""
    found: list[int] = (places if indices is None else np.intersect1d(places, np.asarray(indices))).tolist()
    return found
