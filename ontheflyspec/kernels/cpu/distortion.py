"""Clipping, saturation, bit crushing and mu-law on a CPU, item by item; quantiles are found by partial sorting."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ontheflyspec.functional.distortion import MU_LAW, Bend, bend_items, bent, filter_and_compand
from ontheflyspec.kernels.cpu.filtering import filter_items_rows
from ontheflyspec.kernels.rows import Layout, Rows, by_item, in_turn


@bend_items.kernel("rows")
def bend_items_rows(like: Layout, lengths: Tensor, *, numbers: Tensor, bend: Bend) -> Rows:
    """Writes distorted items."""
    shares, columns = numbers.tolist(), numbers.to(like.dtype)

    def write_one(new: Tensor, old: Tensor, row: int) -> None:
        part, own = old.contiguous(), columns[row]
        if bend.levels is not None:
            own = item_quantiles(part, shares[row], magnitude=bend.levels == "magnitudes")
        new.copy_(bent(part, own.unsqueeze(0), bend))

    return by_item(write_one, lengths, cost=4 if bend.levels is None else 12)


def item_quantiles(part: Tensor, shares: list[float], *, magnitude: bool) -> Tensor:
    """Returns quantiles ``[k]`` of all values of one item, at least one, interpolated as ``numpy.quantile`` does."""
    part = part.detach().reshape(-1)
    values = (part.abs() if magnitude else part).numpy()
    return torch.tensor([_quantile(values, share) for share in shares], dtype=part.dtype, device="cpu")


def _quantile(values: Any, share: float) -> float:
    """Returns one quantile; NumPy finds one place in the order at a time 7 times as fast as two."""
    last: int = values.shape[0] - 1
    below = int(share * last)
    ordered = np.partition(values, below)
    low = float(ordered[below])
    if below == last:
        return low
    high = float(ordered[below + 1 :].min())
    return low + (high - low) * (share * last - below)


@filter_and_compand.kernel("rows")
def filter_and_compand_rows(like: Layout, lengths: Tensor, *, sections: Tensor, tail: int | None, mu: Tensor) -> Rows:
    """Writes filtered items, then compands them in place."""
    filtered = filter_items_rows(like, lengths, sections=sections, zero_phase=True, tail=tail)
    return in_turn(filtered, bend_items_rows(like, lengths, numbers=mu, bend=MU_LAW))
