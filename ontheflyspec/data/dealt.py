"""Ranks agree on the batches that are dealt to them: one list for all of them, and nobody deals them twice."""

from __future__ import annotations

import os
import sys
from collections import Counter
from types import FrameType
from typing import Any

from ontheflyspec import checks, torch_internals

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_FRAMES = 4
"""Callers that tell one place of a script from another."""
_MADE: Counter[str] = Counter()
"""How many samplers each place of a script has made."""


def birthplace() -> str:
    """Returns where a sampler is made in the script, and how many were made there before: alike on all ranks."""
    frame: FrameType | None = sys._getframe(1)
    callers = list[str]()
    while frame is not None and len(callers) < _FRAMES:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            callers.append(f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}")
        frame = frame.f_back
    place = " ".join(callers)
    _MADE[place] += 1
    return f"{place} {_MADE[place]}"


def check_ranks(where: str, name: str, rank: int, known: str) -> None:
    """Raises where another rank has other batches; asks the store of the process group, and waits for nobody.

    Args:
        where: name for errors.
        name: of the sampler, the same on all ranks.
        rank: of this process.
        known: what is dealt out, in a few words that differ wherever it does.
    """
    first = torch_internals.first_in_store(f"ontheflyspec {name}", f"{rank} {known}")
    other, _, theirs = first.partition(" ")
    if theirs and theirs != known:
        rule, got = "the same clips and options on all ranks", f"{known} on rank {rank}, {theirs} on rank {other}"
        remedy = "Sort the list of files, and build the data set alike everywhere; else pass rank and world_size."
        raise ValueError(checks.message(where, rule, got, remedy))


def check_caller(where: str, caller: FrameType) -> None:
    """Raises where accelerate's `prepare` would deal the batches of a rank out once more.

    Args:
        where: name for errors.
        caller: that asks for batches or their number.
    """
    asking: Any = caller.f_locals.get("self")
    if type(asking).__name__ == "BatchSamplerShard" and asking.num_processes > 1:
        rule = "batches that are dealt to ranks once, by this sampler"
        got = f"accelerate's prepare(), which deals them to {asking.num_processes} processes again"
        remedy = "Leave the DataLoader out of prepare(), or pass ofs.DeviceLoader(loader) or an AudioLoader to it."
        raise ValueError(checks.message(where, rule, got, remedy))


def prefetched(caller: FrameType) -> int:
    """Returns how many batches a DataLoader with workers takes ahead, 0 for others.

    Args:
        caller: that asks for batches.
    """
    asking: Any = caller.f_locals.get("self")
    workers = getattr(asking, "_num_workers", 0)
    loader = caller.f_locals.get("loader")
    return workers * (getattr(loader, "prefetch_factor", None) or 2) if isinstance(workers, int) else 0
