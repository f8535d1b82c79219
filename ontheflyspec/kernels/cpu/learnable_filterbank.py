"""Learnable filter banks (Gabor, sinc) on a CPU: pooled energies of the blocks of frames that items fill."""

from __future__ import annotations

from torch import Tensor

from ontheflyspec.functional.learnable_filterbank import blocks, pooled_energies
from ontheflyspec.kernels import threads


@pooled_energies.kernel("cpu")
def pooled_in_blocks(
    x: Tensor, lengths: Tensor | None, *, filters: Tensor, pools: Tensor, hop_length: int, count: int
) -> Tensor:
    """Returns pooled energies ``[B, ..., F, count]``, 0 in blocks past each item's end."""
    if x.numel() * count == 0:
        return x.new_zeros(*x.shape[:-1], filters.shape[1], count)
    parts = blocks(x, lengths, filters, pools, hop_length, count)
    rows, each, bands, frames = parts.shape
    begun, made = parts.begun(), x.new_zeros(rows * each, bands, frames)
    chunks = parts.split(begun)

    def job(number: int) -> None:
        made[chunks[number]] = parts.compute(chunks[number])

    threads.each(job, len(chunks) if begun.shape[0] else 0, begun.shape[0] * parts.cost)
    return parts.joined(made, x, count)
