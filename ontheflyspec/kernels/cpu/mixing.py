"""MixUp and CutMix of items with their partners, on a CPU, item by item."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.functional.mixing import mix_pairs, swap_segments
from ontheflyspec.kernels.rows import Layout, Rows


@mix_pairs.kernel("rows")
def mix_pairs_rows(_: Layout, lengths: Tensor, *, partner: Tensor, weight: Tensor) -> Rows:
    """Writes weighted sums of items and their partners."""
    sizes, mates, shares = lengths.tolist(), partner.tolist(), weight.tolist()

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        for row in rows:
            size, mate, share = sizes[row], mates[row], shares[row]
            new, old = out[row, ..., :size], data[row, ..., :size]
            if share == 1:
                new.copy_(old)
            else:
                torch.mul(old, share, out=new)
                new.add_(_repeated(data[mate, ..., : sizes[mate]], 0, size), alpha=1 - share)

    return Rows(write, cost=2)


@swap_segments.kernel("rows")
def swap_segments_rows(
    _: Layout, lengths: Tensor, *, partner: Tensor, start: Tensor, end: Tensor, source: Tensor
) -> Rows:
    """Writes items up to their segments, the partners' segments, and the rest."""
    sizes, mates, firsts, lasts, begins = (x.tolist() for x in (lengths, partner, start, end, source))

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        for row in rows:
            size, mate, first, last = sizes[row], mates[row], firsts[row], lasts[row]
            new, old = out[row], data[row]
            new[..., :first] = old[..., :first]
            new[..., first:last] = _repeated(data[mate, ..., : sizes[mate]], begins[row], last - first)
            new[..., last:size] = old[..., last:size]

    return Rows(write)


def _repeated(part: Tensor, begin: int, count: int) -> Tensor:
    """Returns ``count`` steps from step ``begin`` on, looped at the end of the part; zeros for an empty part."""
    size = part.shape[-1]
    if size == 0:
        return part.new_zeros(*part.shape[:-1], count)
    if begin + count > size:
        part = part.repeat(*[1] * (part.dim() - 1), -(-(begin + count) // size))
    return part[..., begin : begin + count]
