"""Slopes of features over time by local polynomials."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional.signal_frames import cut, ends, take
from ontheflyspec.op import Op


def slope_weights(width: int, order: int) -> Tensor:
    """Returns weights, float64 ``[width]``, that give the derivative of a polynomial fitted to that many steps.

    The filter of Savitzky and Golay with a polynomial of degree ``order``, for its derivative of that order.
    """
    steps = torch.arange(width, dtype=torch.float64) - width // 2
    powers = steps.unsqueeze(-1) ** torch.arange(order + 1, dtype=torch.float64)
    fits: Tensor = torch.linalg.pinv(powers)
    return math.factorial(order) * fits[order]


@Op
def slopes(x: Tensor, lengths: Tensor | None, *, weights: Tensor) -> Tensor:
    """Returns weighted sums over the steps around each step, of the item's own valid steps only.

    Near an item's ends the sum around the nearest step with a full surrounding is held; in an item shorter than the
    weights, its first and last step stand for what lies beyond them.

    Args:
        x: ``[B, ..., N]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        weights: ``[width]``, an odd number.

    Shape: as ``x``, 0 past each length.
    """
    width, size = weights.shape[0], x.shape[-1]
    if size == 0:
        return x.clone()
    half, n, steps = width // 2, ends(x, lengths), torch.arange(size, device=x.device)
    centres = torch.where(n < width, steps, torch.minimum(steps.clamp(min=half), n - 1 - half))
    last = (n - 1).clamp(min=0)

    def beside(offset: int) -> Tensor:
        return take(x, torch.minimum((centres + offset).clamp(min=0), last))

    middle, out = beside(0), torch.zeros_like(x)
    for place, weight in enumerate(weights.unbind()):
        # The weights add up to 0, so the middle may be taken off: what stays the same has a slope of exactly 0.
        out = out + weight * (beside(place - half) - middle)
    return cut(out, lengths)
