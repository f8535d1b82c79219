"""Least-squares resynthesis on a CPU, each item alone."""

from __future__ import annotations

from torch import Tensor

from ontheflyspec.functional.cqt_octaves import FilterBank
from ontheflyspec.functional.inverse_cqt import least_squares, resynthesise
from ontheflyspec.kernels import threads

COST = 512.0
"""A value of a spectrum, there and back, in values copied."""


@resynthesise.kernel("cpu")
def resynthesise_items(
    spectra: Tensor,
    lengths: Tensor | None,
    *,
    sizes: Tensor | None,
    size: int,
    bank: FilterBank,
    gains: Tensor,
    n_iter: int,
) -> Tensor:
    """Returns signals, each of its own frames."""
    out = spectra.real.new_zeros(*spectra.shape[:-2], size)
    ends = [spectra.shape[-1]] * len(out) if lengths is None else lengths.tolist()
    counts = [size] * len(out) if sizes is None else sizes.tolist()

    def job(row: int) -> None:
        if ends[row] and counts[row]:
            own = spectra[row, ..., : ends[row]].reshape(-1, spectra.shape[-2], ends[row])
            made = least_squares(own / gains.unsqueeze(-1), counts[row], bank, n_iter)
            out[row, ..., : counts[row]] = made.view(*out.shape[1:-1], counts[row])

    threads.each(job, len(out), COST * spectra.numel() * n_iter)
    return out
