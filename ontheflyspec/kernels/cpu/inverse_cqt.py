"""Inverse constant-Q transform by least squares on a CPU, each item alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ontheflyspec.functional.inverse_cqt import resynthesise
from ontheflyspec.kernels import threads

COST = 512.0
"""A value of a spectrum, there and back, in values copied."""


@resynthesise.kernel("cpu")
def resynthesise_items(
    spectra: Tensor, lengths: Tensor | None, *, sizes: Tensor | None, size: int, n_iter: int, **options: Any
) -> Tensor:
    """Returns signals, each item's from its own frames."""
    out = spectra.real.new_zeros(*spectra.shape[:-2], size)
    ends = [spectra.shape[-1]] * len(out) if lengths is None else lengths.tolist()
    counts = [size] * len(out) if sizes is None else sizes.tolist()

    def job(row: int) -> None:
        own, count = spectra[row : row + 1, ..., : ends[row]], counts[row]
        made = resynthesise.reference(own, None, sizes=None, size=count, n_iter=n_iter, **options)
        out[row, ..., :count] = made[0]

    threads.each(job, len(out), COST * spectra.numel() * n_iter)
    return out
