"""Excerpts of recordings that noises are made of: where they begin, and others where a recording is silent."""

from __future__ import annotations

from weakref import WeakSet

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.ranges import Params, Range, fraction, place
from ontheflyspec.plans import Info
from ontheflyspec.recordings import Bank, DiskBank, Waves, look_up

TRIES = 8
"""Places of a recording that are tried until one is heard."""
_SAID: WeakSet[Bank] = WeakSet()
"""Banks of whose silence a warning was given."""


def excerpt_ranges(bank: Bank, count: int | None = None) -> dict[str, Range]:
    """Returns ranges of ``file``, positions in a bank, of ``offset``, fractions of them, and of offsets to try then.

    Args:
        bank: of the recordings.
        count: of excerpts of each item, None for one.
    """
    return {"file": place(len(bank), count), "offset": fraction(count)}


def further_ranges(bank: Bank, count: int = 1) -> dict[str, Range]:
    """Returns the range of ``other_offset``, to try where a recording is silent; none for banks without silence."""
    return {"other_offset": fraction((TRIES - 1) * count)} if _may_be_silent(bank) else {}


def chosen(
    info: Info, bank: Bank, params: Params, file: Tensor, offset: Tensor, spans: Tensor, wanted: Tensor
) -> tuple[Waves, Tensor]:
    """Returns the recordings of each item, and where among the possible starts each excerpt begins.

    An excerpt of zeros alone is replaced by another place of its recording; a warning says once if none was heard.

    Args:
        info: of the batch.
        bank: of the recordings.
        params: the table, perhaps with ``other_offset``.
        file: int64 ``[B, K]``, positions in the bank, counting round.
        offset: float64 ``[B, K]`` in (0, 1).
        spans: int64 ``[B, K]``, samples of each excerpt.
        wanted: bool ``[B, K]``, which excerpts are used.
    """
    info.check_bank(bank)
    offsets = offset.unsqueeze(-1)
    if "other_offset" in params:
        offsets = torch.cat([offsets, params["other_offset"].reshape(*offset.shape, TRIES - 1)], -1)
    if isinstance(bank, DiskBank):
        waves, heard = bank.excerpts(file, offsets, spans, wanted)
        _say(info.where, bank, wanted & ~heard)
        return waves, offset  # of a recording that is looped; all others begin where their excerpts do
    if offsets.shape[-1] > 1 and _may_be_silent(bank) and spans.device == file.device:
        offset, heard = _heard(bank, file, offsets, spans)
        _say(info.where, bank, wanted & ~heard)
    return look_up(bank, file), offset


def _may_be_silent(bank: Bank) -> bool:
    """Returns whether a bank has stretches of zeros, or may have them."""
    silences = getattr(bank, "silences", None)
    return isinstance(bank, DiskBank) or (silences is not None and silences.numel() > 0)


def _heard(bank: Bank, file: Tensor, offsets: Tensor, spans: Tensor) -> tuple[Tensor, Tensor]:
    """Returns of each excerpt the first offset at which it is heard, else the first of all, and whether it is."""
    first, last = bank.silences.to(file.device)  # type: ignore[attr-defined]
    at = file.remainder(len(bank))
    begins, sizes = ((one.to(file.device)[at]).unsqueeze(-1) for one in (bank.begins // bank.channels, bank.sizes))
    room = (sizes - spans.unsqueeze(-1) + 1).clamp(min=1)
    starts = begins + (offsets * room).long()
    run = torch.searchsorted(first, starts, right=True) - 1
    inside = (run >= 0) & (last[run.clamp(min=0)] >= starts + spans.unsqueeze(-1)) & (room > 1)
    best = inside.to(torch.uint8).argmin(-1, keepdim=True)
    return offsets.gather(-1, best).squeeze(-1), ~inside.gather(-1, best).squeeze(-1)


def _say(where: str, bank: Bank, silent: Tensor) -> None:
    """Warns once of each bank whose recordings stayed silent at all places that were tried."""
    if torch.compiler.is_compiling() or bank in _SAID or silent.device.type != "cpu" or not bool(silent.any()):
        return
    _SAID.add(bank)
    got = f"{TRIES} silent places of a recording in a row: no noise is added there"
    checks.warn(checks.message(where, "recordings that are heard", got, "Cut silence from them, or leave them out."))
