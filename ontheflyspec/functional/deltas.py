"""Deltas of features (derivatives over time) by Savitzky-Golay filters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional.signal_frames import ends, take, zero_padding
from ontheflyspec.kept import count_up
from ontheflyspec.op import Op


def slope_weights(width: int, order: int) -> Tensor:
    """Returns the Savitzky-Golay filter of a derivative, float64 ``[width]``.

    The weighted sum of ``width`` steps is the derivative (of order ``order``) of a polynomial of that degree, fitted
    to them.
    """
    steps = torch.arange(width, dtype=torch.float64) - width // 2
    powers = steps.unsqueeze(-1) ** torch.arange(order + 1, dtype=torch.float64)
    fits: Tensor = torch.linalg.pinv(powers)
    return math.factorial(order) * fits[order]


@Op
def slopes(x: Tensor, lengths: Tensor | None, *, weights: Tensor) -> Tensor:
    """Returns deltas: weighted sums over the steps around each step, of the item's own valid steps only.

    Near an item's ends the delta of the nearest step with a full window is held; an item shorter than the window is
    continued by its first and last step.

    Args:
        x: ``[B, ..., N]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        weights: ``[width]``, an odd number.

    Shape: as ``x``, 0 past each length.
    """
    width, size = weights.shape[0], x.shape[-1]
    half, n, steps = width // 2, ends(x, lengths), count_up(size, x.device)
    centres = torch.where(n < width, steps, torch.minimum(steps.clamp(min=half), n - 1 - half))
    last = (n - 1).clamp(min=0)

    def beside(offset: int) -> Tensor:
        return take(x, torch.minimum((centres + offset).clamp(min=0), last))

    middle, out = beside(0), torch.zeros_like(x)
    for place, weight in enumerate(weights.unbind()):
        # The weights add up to 0, so the middle may be subtracted: constant features have a slope of exactly 0.
        out = out + weight * (beside(place - half) - middle)
    return zero_padding(out, lengths)
