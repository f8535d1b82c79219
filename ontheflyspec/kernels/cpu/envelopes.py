"""Fades and gain transitions on a CPU, item by item: one factor wherever the gain is constant."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional.envelopes import fade, glide, ramp
from ontheflyspec.functional.snr import db_to_amplitude
from ontheflyspec.kernels.rows import Layout, Rows, by_item

FINE = 1024
"""Samples for which the exponentials of a moving gain are computed; the others are products of two."""


@fade.kernel("rows")
def fade_rows(like: Layout, lengths: Tensor, *, rise: Tensor, fall: Tensor, shape: str) -> Rows:
    """Writes copies of items, then fades their edges."""
    rises, falls = rise.tolist(), fall.tolist()

    def curve(edge: int) -> Tensor:
        steps = torch.arange(edge, dtype=torch.float64, device="cpu") / max(edge - 1, 1)
        return ramp(steps.to(like.dtype), shape)

    def write_one(new: Tensor, old: Tensor, row: int) -> None:
        n = old.shape[-1]
        new.copy_(old)
        start, end = min(rises[row], n), min(falls[row], n)
        new[..., :start] *= curve(start)
        new[..., n - end :] *= curve(end).flip(0)

    return by_item(write_one, lengths)


@glide.kernel("rows")
def glide_rows(like: Layout, lengths: Tensor, *, gains_db: Tensor, start: Tensor, width: Tensor) -> Rows:
    """Writes items before, in and after their gain transitions."""
    gains, starts, widths = (x.tolist() for x in (gains_db, start, width))

    def write_one(new: Tensor, old: Tensor, row: int) -> None:
        n, (first, last) = old.shape[-1], gains[row]
        wide = min(widths[row], n)
        begin, slope = starts[row] * (n - wide), (last - first) / max(wide, 1.0)
        left = min(math.ceil(begin), n)
        right = min(max(math.ceil(begin + max(wide, 1.0)), left), n)
        curve = geometric(first + (left - begin) * slope, slope, right - left).to(like.dtype)
        torch.mul(old[..., :left], 10 ** (first / 20), out=new[..., :left])
        torch.mul(old[..., left:right], curve, out=new[..., left:right])
        torch.mul(old[..., right:], 10 ** (last / 20), out=new[..., right:])

    return by_item(write_one, lengths)


def geometric(first_db: float, step_db: float, count: int) -> Tensor:
    """Returns gains ``[count]`` that rise by ``step_db`` each, as products of coarse and fine gains."""
    rows = -(-count // FINE)
    fine = torch.arange(FINE, dtype=torch.float64, device="cpu") * step_db
    coarse = torch.arange(rows, dtype=torch.float64, device="cpu") * (step_db * FINE) + first_db
    return (db_to_amplitude(coarse).unsqueeze(-1) * db_to_amplitude(fine)).view(-1)[:count]
