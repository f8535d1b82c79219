"""The phase vocoder's recursion over frames on CUDA, in one launch: an item's bins stay on one multiprocessor."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.functional.phase_vocoder import accumulated
from ontheflyspec.kernels.cuda import launches
from ontheflyspec.kernels.cuda.launches import Cost, on_cuda


@on_cuda(accumulated)
def turns_in_one_launch(real: Tensor, imag: Tensor, state: Tensor) -> Tensor:
    """Returns the accumulated phases of float32 steps."""
    if real.dtype != torch.float32 or not real.numel():
        return accumulated.reference(real, imag, state)
    count, items, bins = real.shape
    out = real.new_empty(count + 1, 2, items, bins)
    launches.launch(
        "phase_vocoder", "turns", (items,), Cost(1, real.nbytes + imag.nbytes + out.nbytes),
        real.contiguous(), imag.contiguous(), state.contiguous(), out, count, items, bins,
        BLOCK=max(1 << bins.bit_length(), 16),
    )  # fmt: skip
    return out
