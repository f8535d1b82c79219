"""Resampling by a rational factor: a polyphase windowed sinc as one strided product."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.functional.programs import stretch

ZEROS = 64
"""Zero crossings of the sinc on each side."""
ROLLOFF = 0.945
"""Cut-off as a share of the lower Nyquist frequency."""
BETA = 11.0
"""Of the Kaiser window: about 110 dB of attenuation."""
STEP = 128
"""Samples that one product moves on by, at least, where the factor permits."""

Plan = tuple[int, int, int]
"""Samples in and out of one step, and samples before the step that its filters reach back to."""


def plan(old: int, new: int) -> Plan:
    """Returns the step of a resampler from ``old`` to ``new`` steps per second."""
    common = math.gcd(old, new)
    repeat = max(STEP // max(old // common, new // common), 1)
    reach = math.ceil(ZEROS / (ROLLOFF * min(1.0, new / old)))
    return old // common * repeat, new // common * repeat, reach


def kernel(old: int, new: int) -> Tensor:
    """Returns filters, float64 ``[step_out, step_in + 2 * reach]``: row j makes sample j of each step."""
    step_in, step_out, reach = plan(old, new)
    cutoff = ROLLOFF * min(1.0, new / old)
    position = torch.arange(-reach, step_in + reach, dtype=torch.float64)
    centre = torch.arange(step_out, dtype=torch.float64).unsqueeze(-1) * (old / new)
    t = (position - centre) * cutoff
    shape = (1 - (t / ZEROS).square()).clamp(min=0.0).sqrt()
    window = torch.special.i0(BETA * shape) / torch.special.i0(position.new_tensor(BETA))
    return torch.where(t.abs() < ZEROS, cutoff * torch.sinc(t) * window, 0)


def resampled_length(lengths: int | Tensor, old: int, new: int) -> int | Tensor:
    """Returns ``ceil(n * new / old)``."""
    return -(-lengths * new // old)


def resample(x: Tensor, kernels: Tensor, *, old: int, new: int) -> Tensor:
    """Returns signals ``[..., T]`` at the new rate, ``[..., ceil(T * new / old)]``, with zeros beyond their ends."""
    step_in, step_out, reach = plan(old, new)
    size = int(resampled_length(x.shape[-1], old, new))
    steps = -(-size // step_out)
    flat = x.reshape(-1, 1, x.shape[-1])
    right = (steps - 1) * step_in + kernels.shape[1] - reach - x.shape[-1]
    out = torch.nn.functional.conv1d(
        torch.nn.functional.pad(flat, (reach, right)), kernels.unsqueeze(1), stride=step_in
    )
    return out.transpose(1, 2).reshape(*x.shape[:-1], steps * step_out)[..., :size]


def resample_rows(x: Tensor, sizes: list[int], kernels: Tensor, *, old: int, new: int, block: int = 1024) -> Tensor:
    """Returns the same for rows ``[R, T]`` of which ``sizes`` samples are valid, 0 past each new end.

    Products run over each row's own steps in fixed blocks, so that a row comes out bitwise the same in any batch.
    """
    step_in, step_out, reach = plan(old, new)
    width = kernels.shape[1]
    silence = kernels.new_zeros(width)
    out = kernels.new_zeros(x.shape[0], int(resampled_length(x.shape[-1], old, new)))

    def job(number: int) -> None:
        row, target, n = x[number], out[number], sizes[number]
        size = int(resampled_length(n, old, new))
        steps = -(-size // step_out)
        for first in range(0, steps, block):
            m = min(block, steps - first)
            start = first * step_in - reach
            piece = stretch(row[:n], start, start + (m - 1) * step_in + width, silence, silence)
            values = (piece.unfold(0, width, step_in).contiguous() @ kernels.t()).reshape(-1)
            place = first * step_out
            target[place : min(place + m * step_out, size)] = values[: size - place]

    threads.each(job, len(sizes), sum(sizes) * width // step_in)
    return out
