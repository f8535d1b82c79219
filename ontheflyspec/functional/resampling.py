"""Resampling by a rational factor, and speed change: polyphase filters, a Kaiser-windowed sinc, as strided products."""

from __future__ import annotations

import functools
import math
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import as_float, items_mask
from ontheflyspec.functional.signal_frames import take, zero_padding
from ontheflyspec.kept import count_up, kept, where
from ontheflyspec.op import Op
from ontheflyspec.precision import conv1d, matmul, without_autocast
from ontheflyspec.torch_internals import tiles

Lengths = TypeVar("Lengths", int, Tensor)

ZEROS = 64
"""Zero crossings of the sinc on each side."""
ROLLOFF = 0.945
"""Cut-off as a share of the lower Nyquist frequency."""
BETA = 11.0
"""Shape parameter of the Kaiser window: about 110 dB of attenuation."""
STEP = 128
"""Samples by which a product moves on, at least, where the factor permits."""
LARGEST = 2**24
"""Most taps of filters in one piece."""
ROWS = 128
"""Samples out that one part of larger filters makes."""

Plan = tuple[int, int, int]
"""Samples in and samples out of one step, and samples before the step that its filters need."""
Fraction = tuple[int, int]
"""Old and new rate in lowest terms."""


def plan(old: int, new: int) -> Plan:
    """Returns the step size of a resampler from the rate ``old`` to ``new``."""
    common = math.gcd(old, new)
    repeat = max(STEP // max(old // common, new // common), 1)
    reach = math.ceil(ZEROS / (ROLLOFF * min(1.0, new / old)))
    return old // common * repeat, new // common * repeat, reach


def kernel(old: int, new: int) -> Tensor:
    """Returns the polyphase filters, float64 ``[step_out, step_in + 2 * reach]``: row j for sample j of each step."""
    step_in, step_out, reach = plan(old, new)
    return _taps(old, new, torch.arange(step_out, dtype=torch.float64), -reach, step_in + 2 * reach)


def parts(old: int, new: int) -> list[int]:
    """Returns the first sample in for every `ROWS` samples out of a step, where its filters fit only in parts.

    Rates of large terms have filters that are 0 but for a narrow band: each part holds `ROWS` rows of it. Empty for
    filters in one piece.
    """
    step_in, step_out, reach = plan(old, new)
    if step_out * (step_in + 2 * reach) <= LARGEST:
        return []
    return [place * step_in // step_out for place in range(0, step_out, ROWS)]


def kernel_parts(old: int, new: int) -> Tensor:
    """Returns the polyphase filters in `parts`, float64 ``[parts, ROWS, width]``."""
    step_in, step_out, reach = plan(old, new)
    width, rows = -(-ROWS * step_in // step_out) + 2 * reach + 1, torch.arange(ROWS, dtype=torch.float64)
    starts = enumerate(parts(old, new))
    return torch.stack([_taps(old, new, rows + place * ROWS, start - reach, width) for place, start in starts])


def _taps(old: int, new: int, rows: Tensor, first: int, width: int) -> Tensor:
    """Returns the filters of some samples out of a step, ``[rows, width]``, from sample ``first`` in on."""
    cutoff = ROLLOFF * min(1.0, new / old)
    position = torch.arange(first, first + width, dtype=torch.float64)
    t = (position - rows.unsqueeze(-1) * (old / new)) * cutoff
    shape = (1 - (t / ZEROS).square()).clamp(min=0.0).sqrt()
    window = torch.special.i0(BETA * shape) / torch.special.i0(position.new_tensor(BETA))
    return where(t.abs() < ZEROS, cutoff * torch.sinc(t) * window, 0)


def resampled_length(lengths: Lengths, old: int, new: int) -> Lengths:
    """Returns samples after resampling, ``ceil(n * new / old)``."""
    return -(-lengths * new // old)


@Op
def resample(data: Tensor, lengths: Tensor | None, *, kernels: Tensor, old: int, new: int) -> Tensor:
    """Returns signals at the new rate, with zeros beyond their ends, exactly 0 past each new length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``, floats or int16, at least one sample.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        kernels: filters of `kernel`, or of `kernel_parts` where there are `parts`.
        old: rate of the data.
        new: rate of the result.

    Shape: ``[..., ceil(T * new / old)]``.
    """
    n, (step_in, step_out, reach) = data.shape[-1], plan(old, new)
    size, starts = resampled_length(n, old, new), parts(old, new)
    steps = tiles(-(-size // step_out))
    right = (steps - 1) * step_in + (starts or [0])[-1] + kernels.shape[-1] - reach - n
    padded = pad(zero_padding(as_float(data), lengths).reshape(-1, 1, n), (reach, right))
    with without_autocast(data.device):
        if starts:
            reached = (steps - 1) * step_in + kernels.shape[-1]
            made = [
                conv1d(padded[..., start : start + reached], part.unsqueeze(1), step_in)
                for start, part in zip(starts, kernels, strict=True)
            ]
            out = torch.cat(made, 1)[:, :step_out]
        else:
            out = conv1d(padded, kernels.unsqueeze(1), step_in)
    out = out.transpose(1, 2).reshape(*data.shape[:-1], steps * step_out)[..., :size]
    return out if lengths is None else zero_padding(out, resampled_length(lengths, old, new))


SNAP = 1e-3
"""Largest relative error of a speed factor that is rounded to a fraction."""


@functools.lru_cache(4096)
def fraction(factor: float) -> Fraction:
    """Returns the fraction ``old, new`` of the smallest terms that lies within `SNAP` of a factor above 0."""
    new = 1
    while abs(round(factor * new) / new / factor - 1) > SNAP:
        new += 1
    return round(factor * new), new


@kept(128)
def kept_kernel(device: torch.device, old: int, new: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Returns `kernel` on a device."""
    return (kernel(old, new).to(dtype).to(device, non_blocking=True),)


def step_table(fractions: list[Fraction]) -> Tensor:
    """Returns the plan of each item, int64 ``[B, 5]`` on the host.

    Beside those of `plan` it has the samples of each filter, and where the filters begin among those of all different
    fractions in a row.
    """
    starts, rows, end = dict[Fraction, int](), [], 0
    for one in fractions:
        step_in, step_out, reach = plan(*one)
        width = step_in + 2 * reach
        if one not in starts:
            starts[one], end = end, end + step_out * width
        rows.append((step_in, step_out, reach, width, starts[one]))
    return torch.tensor(rows, dtype=torch.int64, device="cpu").reshape(-1, 5)


@Op
def change_speeds(
    data: Tensor,
    lengths: Tensor,
    *,
    active: Tensor,
    sizes: Tensor,
    size: int,
    fractions: list[Fraction],
    plans: Tensor,
) -> Tensor:
    """Returns each item resampled by its own fraction, with zeros beyond its ends, exactly 0 past its new length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]`` floats.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        sizes: samples of the results, int64 ``[B]`` on any device.
        size: samples of the longest.
        fractions: old and new rate of each item, 1 to 1 if it is not active.
        plans: of `step_table`.
    """
    if data.shape[-1] == 0 or size == 0:
        return data[..., :0]
    wave, device = zero_padding(data if data.dim() == 3 else data.unsqueeze(1), lengths), data.device
    known = [plan(*one) for one in fractions]
    rows, width = max(one for _, one, _ in known), max(step_in + 2 * reach for step_in, _, reach in known)
    columns = plans.to(device, non_blocking=True).unsqueeze(-1)
    step_in, step_out, reach, own, start = columns.unbind(1)
    # Filters of all items in one tensor, with zeros around the smaller ones.
    filters = torch.cat([kept_kernel(device, *one, data.dtype)[0].flatten() for one in dict.fromkeys(fractions)])
    row, column = count_up(rows, device).unsqueeze(-1), count_up(width, device)
    inner = (row < step_out.unsqueeze(-1)) & (column < own.unsqueeze(-1))
    kernels = where(inner, filters[where(inner, row * own.unsqueeze(-1) + column + start.unsqueeze(-1), 0)], 0)
    # The samples that each step of each item needs.
    steps = max(-(-size // one) for _, one, _ in known)
    before, after = max(one for _, _, one in known), max(steps * one for one, _, _ in known) + width
    signal = pad(wave, (before, after))
    first = count_up(steps, device) * step_in + (before - reach)
    places = first.clamp(max=signal.shape[-1] - width).unsqueeze(-1) + count_up(width, device)
    pieces = take(signal, places.flatten(1)).reshape(*signal.shape[:2], steps, width)
    with without_autocast(device):
        made = matmul(pieces, kernels.transpose(1, 2).unsqueeze(1)).flatten(-2)
    # Each step gave `rows` samples, of which the first `step_out` count.
    number = count_up(size, device)
    inside = number < sizes.to(device, non_blocking=True).unsqueeze(-1)
    source = where(inside, number // step_out * rows + number % step_out, 0)
    made = where(inside.unsqueeze(1), take(made, source), 0)
    dry = pad(wave, (0, max(size - wave.shape[-1], 0)))[..., :size]
    return where(items_mask(active, wave), made, dry).reshape(*data.shape[:-1], size)
