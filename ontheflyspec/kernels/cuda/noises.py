"""Coloured noise on CUDA in five launches: random spectra, their signals, powers, and the sum."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional.noises import NEW, NOISE_BLOCK, NOISE_FADE, add_colored_noise
from ontheflyspec.kernels.cuda import launches
from ontheflyspec.kernels.cuda.launches import MOST_SIGNALS, Cost, on_cuda, parts_of

BINS = NOISE_BLOCK // 2 + 1
CALLS = 512
"""Calls of the counter in a program, 16 bytes each, at least as many as a block's spectrum takes."""
BLOCK = 1024


@on_cuda(add_colored_noise)
def add_noise_in_five_launches(
    data: Tensor, lengths: Tensor, *, active: Tensor, f_decay: Tensor, keys: Tensor, snr_db: Tensor
) -> Tensor:
    """Adds the noise of the reference to float32 waves."""
    signals, size = math.prod(data.shape[:-1]), data.shape[-1]
    if data.dtype != torch.float32 or size == 0 or signals > MOST_SIGNALS:
        return add_colored_noise.reference(data, lengths, active=active, f_decay=f_decay, keys=keys, snr_db=snr_db)
    items, channels, blocks = data.shape[0], signals // data.shape[0], -(-size // NEW)
    streams = blocks * channels
    spectra = data.new_empty(items * streams, BINS, dtype=torch.complex64)
    launches.launch(
        "noises", "noise_spectra", (streams, items), Cost(1, spectra.nbytes),
        keys, f_decay, torch.view_as_real(spectra), streams, BINS=BINS, BLOCK=CALLS,
    )  # fmt: skip
    noise = torch.fft.irfft(spectra, NOISE_BLOCK, norm="forward")
    waves, out = data.contiguous(), torch.empty_like(data, memory_format=torch.contiguous_format)
    span, parts = parts_of(size, BLOCK)
    sums = data.new_empty(signals, parts, 2)
    launches.launch(
        "noises", "noise_powers", (parts, signals), Cost(1, data.nbytes + noise.nbytes + sums.nbytes),
        waves, lengths, noise, sums, size, channels, blocks, span,
        FADE=NOISE_FADE, POINTS=NOISE_BLOCK, BLOCK=BLOCK,
    )  # fmt: skip
    launches.launch(
        "noises", "add_noise", (parts, signals), Cost(1, 2 * data.nbytes + noise.nbytes + parts * sums.nbytes),
        waves, lengths, active.view(torch.uint8), snr_db, noise, sums, out, size, channels, blocks, span,
        channels * parts, FADE=NOISE_FADE, POINTS=NOISE_BLOCK, PARTS=1 << (channels * parts - 1).bit_length(),
        BLOCK=BLOCK,
    )  # fmt: skip
    return out
