"""Griffin-Lim phase reconstruction on a CPU, each item alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ontheflyspec.functional.griffin_lim import RoundTrip, griffin_lim
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.cpu.pipeline import COST


@griffin_lim.kernel("cpu")
def griffin_lim_items(
    magnitude: Tensor,
    lengths: Tensor | None,
    *,
    sizes: Tensor | None = None,
    size: int,
    first: Tensor,
    trip: RoundTrip,
    n_iter: int,
    momentum: float,
) -> Tensor:
    """Returns waves, each from its own frames."""
    counts = [magnitude.shape[-1]] * magnitude.shape[0] if lengths is None else lengths.tolist()
    ends = [size] * magnitude.shape[0] if sizes is None else sizes.tolist()
    out = magnitude.new_zeros(*magnitude.shape[:-2], size)

    def job(row: int) -> None:
        n, own = counts[row], magnitude[row : row + 1, ..., : counts[row]]
        options: dict[str, Any] = {"sizes": None, "size": ends[row], "n_iter": n_iter, "momentum": momentum}
        wave = griffin_lim.reference(own, None, first=first[:, :n], trip=trip, **options)
        out[row, ..., : wave.shape[-1]] = wave[0]

    # A frame has two samples a bin: twice the transform there, twice back, and the phases take as long again.
    threads.each(job, len(counts), 8 * COST * n_iter * magnitude.numel())
    return out
