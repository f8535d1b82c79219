"""What steps share that move time or change lengths."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, column, known_rate
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.targets import Pieces


def table_for(step: Augment, params: Params | None, *, fixed: bool) -> Params | None:
    """Returns the table that lengths follow: the one given, that of all items if it is ``fixed``; None to keep them.

    Raises ValueError if lengths are drawn and there is no table.
    """
    if params is not None:
        return params
    if not step.is_random() or step.p == 0:
        return None
    if fixed and step.p == 1:
        return step.draw(torch.zeros(1, dtype=torch.int64, device="cpu"))
    where = type(step).__name__
    raise ValueError(checks.message(where, "the table of a draw", "none", "Pass params=step.draw(ids)."))


def as_given(made: Tensor, lengths: Any, params: Params | None) -> Any:
    """Returns lengths as an int if they were asked for as one, without a table."""
    return made if isinstance(lengths, Tensor) or params is not None else int(made)


def row(params: Params, name: str, other: float, like: Tensor) -> Tensor:
    """Returns one row of a table, float64, beside ``like``; ``other`` for items that are not active."""
    values = torch.where(column(params["active"], torch.bool), column(params[name], torch.float64), other)
    return values.to(like.device, non_blocking=True)


def last_axis(sizes: Tensor, bounds: Tensor) -> int:
    """Returns the longest of the sizes if they are on the host, else of their bounds, which are."""
    known = sizes if sizes.device.type == "cpu" else bounds
    return int(known.max()) if known.numel() else 0


def pieces(batch: PaddedBatch, start: Tensor, end: Tensor, place: Tensor, slope: Tensor) -> Pieces:
    """Returns stretches that are given in samples, ``[B]`` or ``[B, P]`` each, in seconds."""
    rate = known_rate("pieces", batch, "seconds")
    parts = [one.double() if one.dim() == 2 else one.double().unsqueeze(-1) for one in (start, end, place, slope)]
    start, end, place, slope = (sum(parts) * 0 + one for one in parts)
    return Pieces(start / rate, end / rate, place / rate, slope)
