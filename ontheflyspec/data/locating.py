"""From ids back to files, and a warning of what loses ids."""

from __future__ import annotations

from types import FrameType
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import ConcatDataset, Subset

from ontheflyspec import checks
from ontheflyspec.data.source import Source
from ontheflyspec.data.table import Ints
from ontheflyspec.identity import Identity

_WARNED: set[str] = set()
"""Names of those that a warning was given of."""


class Location(NamedTuple):
    """Where an item of a batch comes from.

    Args:
        index: place in the data set that was asked, None where the clip is no member of it.
        root_index: place in the data set as it was first built.
        path: the file.
        epoch: in which it was drawn.
        occurrence: how often the clip came before in that epoch.
        start_s: where the part that was read begins in the file, in seconds.
        seconds: how long that part is.
    """

    index: int | None  # type: ignore[assignment]
    root_index: int
    path: str
    epoch: int
    occurrence: int
    start_s: float
    seconds: float


def located(where: str, source: Source, clips: Ints, ids: Any) -> list[Location]:
    """Returns where items come from, see `AudioDataset.locate`.

    Args:
        where: name for errors.
        source: of the clips.
        clips: of the data set that is asked, in its order.
        ids: of the items.
    """
    remedy = "Pass batch.ids of a loader of this data set."
    if ids is None:
        raise ValueError(checks.message(where, "ids", "None", f"{remedy} Plain DataLoaders give none."))
    values = np.atleast_1d(np.asarray(ids)).tolist()
    known = [Identity.of(value) if isinstance(value, int) and value >= 0 else None for value in values]
    roots = [-1 if one is None else one.clip for one in known]
    for value, root in zip(values, roots, strict=True):
        if not 0 <= root < len(source):
            raise ValueError(checks.message(where, f"ids of one of {len(source)} clips", value, remedy))
    order = np.argsort(clips, kind="stable")
    first, end = (np.searchsorted(clips[order], roots, side).tolist() for side in ("left", "right"))
    found = []
    for row, part in enumerate(source.parts(roots, values)):
        clip, epoch, occurrence = Identity.of(values[row])
        count = end[row] - first[row]
        index = int(order[first[row] + occurrence % count]) if count else None
        file = int(source.files(clip))
        start_s = source.begin(file) / int(source.table.headers["rate"][file]) + part.start / source.sample_rate
        seconds = part.length / source.sample_rate
        found.append(Location(index, clip, source.table.paths[file], epoch, occurrence, start_s, seconds))
    return found


def warn_of_wrappers(index: Any, caller: FrameType) -> None:
    """Warns once of torch's data sets of data sets, which keep the epoch of an index to themselves.

    Args:
        index: that a data set is asked for.
        caller: that asks.
    """
    if isinstance(index, int) and not hasattr(index, "epoch"):
        asking = caller.f_locals.get("self")
        if isinstance(asking, Subset | ConcatDataset) and type(asking).__name__ not in _WARNED:
            _WARNED.add(type(asking).__name__)
            kind = f"torch's {type(asking).__name__} (random_split makes some, too)"
            rule, remedy = "a data set that keeps clips' ids", "Use .subset, .split or AudioDataset.concat([a, b])."
            checks.warn(checks.message("AudioDataset", rule, kind, remedy))
