"""Resampling by a rational factor: a polyphase windowed sinc as one strided product."""

from __future__ import annotations

import functools
import math
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import as_float, expand_mask
from ontheflyspec.functional.signal_frames import cut
from ontheflyspec.functional.stft import full_precision
from ontheflyspec.op import Op

Lengths = TypeVar("Lengths", int, Tensor)

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
Fraction = tuple[int, int]
"""Old and new steps per second."""


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


def resampled_length(lengths: Lengths, old: int, new: int) -> Lengths:
    """Returns ``ceil(n * new / old)``."""
    return -(-lengths * new // old)


@Op
def resample(data: Tensor, lengths: Tensor | None, *, kernels: Tensor, old: int, new: int) -> Tensor:
    """Returns signals at the new rate, with zeros beyond their ends, exactly 0 past each new length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``, floats or int16, at least one sample.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        kernels: filters of `kernel`.
        old: steps per second.
        new: steps per second of the result.

    Shape: ``[..., ceil(T * new / old)]``.
    """
    wave = cut(as_float(data), lengths)
    with full_precision(data.device):
        out = _strided(wave, kernels, old, new)
    return out if lengths is None else cut(out, resampled_length(lengths, old, new))


def _strided(x: Tensor, kernels: Tensor, old: int, new: int) -> Tensor:
    """Returns signals ``[..., T]`` at the new rate, by a strided convolution."""
    step_in, step_out, reach = plan(old, new)
    size = resampled_length(x.shape[-1], old, new)
    steps = -(-size // step_out)
    right = (steps - 1) * step_in + kernels.shape[1] - reach - x.shape[-1]
    padded = pad(x.reshape(-1, 1, x.shape[-1]), (reach, right))
    out = torch.nn.functional.conv1d(padded, kernels.unsqueeze(1), stride=step_in)
    return out.transpose(1, 2).reshape(*x.shape[:-1], steps * step_out)[..., :size]


SNAP = 1e-3
"""Largest relative error of a factor that is snapped to a fraction."""


@functools.lru_cache(4096)
def fraction(factor: float) -> Fraction:
    """Returns the fraction ``old, new`` of the smallest numbers whose value lies within `SNAP` of a factor above 0."""
    new = 1
    while abs(round(factor * new) / new / factor - 1) > SNAP:
        new += 1
    return round(factor * new), new


@functools.lru_cache(64)
def kept_kernel(old: int, new: int, dtype: torch.dtype) -> Tensor:
    """Returns `kernel`, made once."""
    return kernel(old, new).to(dtype)


@Op
def change_speeds(
    data: Tensor, lengths: Tensor, *, active: Tensor, sizes: Tensor, size: int, fractions: list[Fraction]
) -> Tensor:
    """Returns each item resampled by its own fraction, with zeros beyond its ends, exactly 0 past its new length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]`` floats.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        sizes: samples of the results, int64 ``[B]`` on any device.
        size: samples of the longest.
        fractions: old and new rate of each item, 1 to 1 if it is not active.
    """
    if data.shape[-1] == 0 or size == 0:
        return data[..., :0]
    wave = cut(data, lengths)
    with full_precision(data.device):
        made = _by_own_kernels(wave, sizes.to(data.device, non_blocking=True), size, fractions)
    kept = pad(wave, (0, max(size - wave.shape[-1], 0)))[..., :size]
    return torch.where(expand_mask(active.to(data.device, non_blocking=True).unsqueeze(-1), data), made, kept)


def _by_own_kernels(x: Tensor, sizes: Tensor, size: int, fractions: list[Fraction]) -> Tensor:
    """Returns each item ``[B, ..., T]``, 0 past its end, at its own new rate: ``[B, ..., size]``, 0 past its new size.

    Args:
        x: floats.
        sizes: samples of the results, int64 ``[B]`` on the device of ``x``.
        size: samples of the longest.
        fractions: old and new rate of each item.
    """
    plans = [plan(*one) for one in fractions]
    step_in, step_out, reach = torch.tensor(plans, device="cpu").T.to(x.device, non_blocking=True)
    table = [kept_kernel(*one, x.dtype) for one in fractions]
    rows, width = max(one.shape[0] for one in table), max(one.shape[1] for one in table)
    padded = [pad(one, (0, width - one.shape[1], 0, rows - one.shape[0])) for one in table]
    kernels = torch.stack(padded).to(x.device, non_blocking=True)
    steps = max(-(-size // one) for _, one, _ in plans)
    before, after = max(one for _, _, one in plans), max(steps * one for one, _, _ in plans) + width
    signal = pad(x.flatten(1, -2) if x.dim() > 2 else x.unsqueeze(1), (before, after))
    first = torch.arange(steps, device=x.device) * step_in.unsqueeze(-1) + (before - reach).unsqueeze(-1)
    last = signal.shape[-1] - width
    places = (first.clamp(max=last).unsqueeze(-1) + torch.arange(width, device=x.device)).flatten(1).unsqueeze(1)
    pieces = signal.gather(-1, places.expand(-1, signal.shape[1], -1)).reshape(*signal.shape[:2], steps, width)
    made = torch.matmul(pieces, kernels.transpose(1, 2).unsqueeze(1)).flatten(-2)
    number = torch.arange(size, device=x.device)
    source = number // step_out.unsqueeze(-1) * rows + number % step_out.unsqueeze(-1)
    inside = (number < sizes.unsqueeze(-1)).unsqueeze(1)
    source = torch.where(inside, source.unsqueeze(1), 0).expand(-1, made.shape[1], -1)
    return torch.where(inside, made.gather(-1, source), 0).reshape(*x.shape[:-1], size)
