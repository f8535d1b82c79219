"""Base of data sets: reading of clips and their targets by index."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ontheflyspec import checks
from ontheflyspec.batch import Clip
from ontheflyspec.data import targets as labels
from ontheflyspec.data.collate import gather
from ontheflyspec.data.draws import Draw
from ontheflyspec.data.faults import BadFile, Failure
from ontheflyspec.data.locating import warn_of_wrappers
from ontheflyspec.data.source import Part, Source
from ontheflyspec.data.table import Ints, PackedStrings, turn, twins
from ontheflyspec.identity import Identity
from ontheflyspec.labels import FrameLabels, Segments


class ClipReader(Dataset[Any]):
    """Clips of a `Source`, chosen and in any order, with their targets."""

    source: Source
    targets: Any
    """A target a clip: an int64 or float64 array, texts, or a list; None if there are none."""
    classes: list[str] | None
    """Names of the classes in the order of their numbers, None if targets are no names."""
    weights: NDArray[np.float64] | None
    """How often each clip is wanted, relative to others, float64 ``[clips]``; None unless `concat` got weights."""
    _whole: bool

    @property
    def sample_rate(self) -> int:
        """Hz of all clips."""
        return self.source.sample_rate

    @property
    def mono(self) -> bool:
        """Whether channels are mixed down."""
        return self.source.mono

    @property
    def failures(self) -> list[Failure]:
        """What was found bad so far, by any process: in this set's files, and in all for the whole set.

        Good clips that filled a batch of which nothing was left are named after these, then files that were passed over
        when a folder was listed (their index is -1).
        """
        files = None if self._whole else self.source.files(self._clips)
        passed = self.source.passed if self._whole else []
        return self.source.table.failures(files) + self.source.table.fills(files) + passed

    @property
    def paths(self) -> PackedStrings:
        """The files, in the order of the clips; a sequence of strings that are made when asked for."""
        return self.source.table.paths.take(self.source.files(self._clips))

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of a manifest that nothing else uses, by name: a value for each clip, or None."""
        return {name: labels.choose(of, self.source.files(self._clips)) for name, of in self.source.columns.items()}

    def digest(self) -> str:
        """Returns a digest of this list of clips: of their files' names below the folder of them all."""
        return f" of {self.paths.digest()[:12]}"

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Any:
        warn_of_wrappers(index, sys._getframe(1))
        return self._items([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Returns the readable ones of these clips, or the next readable one if none is; for loaders.

        Of a derived class with a ``__getitem__`` of its own, it returns what that gives.
        """
        if type(self).__getitem__ is not ClipReader.__getitem__:
            return [self[index] for index in indices]
        if indices:
            warn_of_wrappers(indices[0], sys._getframe(1))
        return self._items(indices)

    def _items(self, indices: Sequence[int]) -> list[Any]:
        items: list[Any] = []
        while indices and not items:
            for place, part in zip(*self.parts(indices), strict=True):
                try:
                    wave = self.source.clip(part)
                except BadFile as bad:
                    self.source.fail(part.clip, bad)
                    continue
                clip = Clip(wave, float(self.sample_rate), part.id)
                items.append(clip if self.targets is None else (clip, self._target(place, part)))
        return items

    def parts(self, indices: Sequence[int]) -> tuple[list[int], list[Part]]:
        """Returns places and parts of the clips not known to be bad, or of the next one that is not; for loaders."""
        draws = [(self.place(index), index) for index in indices]
        if self.source.skip:
            self.source.check_failures()
            good = [draw for draw in draws if not self.source.is_bad(int(self._clips[draw[0]]))]
            draws = good or [self._stand_in(*draws[0])]
        places = [place for place, _ in draws]
        return places, self.source.parts(self._clips[places].tolist(), [self._id(*draw) for draw in draws])

    def _stand_in(self, place: int, index: Any) -> tuple[int, Any]:
        """Returns place and draw of the clip that a batch holds instead of its own, whose first one is given."""
        known, clip = getattr(index, "stand_in", None), None
        if known is not None:
            clip = next((one for one in known.indices if not self.source.is_bad(int(self._clips[one]))), None)
            index = Draw(index, index.epoch, known.occurrence)
        place = self.source.next_good(self._clips, place) if clip is None else clip
        self.source.table.fill(int(self.source.files(self._clips[place])))
        return place, index

    def _id(self, place: int, index: Any) -> int | None:
        """Returns the id of the clip at a place for an index that knows its epoch, None for another."""
        if not hasattr(index, "epoch"):
            return None
        occurrence = turn(self._twins, place, getattr(index, "occurrence", 0))
        return Identity(int(self._clips[place]), index.epoch, occurrence).id()

    def _target(self, place: int, part: Part) -> Any:
        """Returns the target of a clip, labels in time cut to its part."""
        value = labels.value(self.targets, place)
        if not isinstance(value, FrameLabels | Segments):
            return value
        whole = int(self.source.file_lengths(self.source.files(part.clip)))
        return labels.cut(value, part.start, part.length, whole, self.sample_rate)

    def targets_at(self, places: list[int], parts: list[Part]) -> Any:
        """Returns the targets of clips as a batch has them, see `gather`; for loaders."""
        if isinstance(self.targets, np.ndarray):
            column = torch.from_numpy(self.targets[places])
            return column.float() if column.is_floating_point() else column
        return gather([self._target(place, part) for place, part in zip(places, parts, strict=True)])

    def place(self, index: int) -> int:
        """Returns the place of an index, which may count from the end, or raises."""
        place = operator.index(index)
        if not -len(self) <= place < len(self):
            rule = f"an index from {-len(self)} to {len(self) - 1}"
            raise IndexError(checks.message("AudioDataset", rule, place, "Look at len(dataset)."))
        return place % len(self)

    def _choose(self, clips: Ints, places: Ints) -> None:
        """Makes those of some clips that stand at some places the members of this set."""
        self._clips = clips[places]
        self._twins = twins(self._clips)
        self.targets = labels.choose(self.targets, places)
        self.weights = None if self.weights is None else self.weights[places]
        self.lengths = self.source.lengths(self._clips)
        """Samples of each clip as the set gives it, int64."""
