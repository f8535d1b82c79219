"""Waveforms bent sample by sample: clipped, saturated, quantised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.batch import expand_mask, length_mask, per_item
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.framing import cut
from ontheflyspec.functional.masking import zero_past

Bend = Callable[..., Tensor]
"""Takes samples and the numbers of their item."""
_LEAST = 1e-6
"""Added to the threshold of saturation, so that silence is not divided by."""


def bend_items(data: Tensor, lengths: Tensor, active: Tensor, numbers: Tensor, bend: Bend) -> Tensor:
    """Returns each active item bent by its own numbers, exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        numbers: ``[B, k]``.
        bend: takes samples and k numbers: 0-d tensors of one item, or tensors that broadcast over all.
    """
    if not applicable(data, lengths, active, numbers):
        clean = cut(data, lengths)
        bent = bend(clean, *(per_item(column, data) for column in numbers.unbind(-1)))
        return zero_past(torch.where(per_item(active, data) != 0, bent, clean), lengths)
    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    sizes, chosen, columns = lengths.tolist(), active.tolist(), numbers.to(data.dtype)

    def job(row: int) -> None:
        source, n = data[row, ..., : sizes[row]], sizes[row]
        if chosen[row] and n:
            source = bend(source.contiguous(), *columns[row].unbind(-1))
        out[row, ..., :n] = source
        out[row, ..., n:].zero_()

    threads.each(job, len(sizes), data.numel() * 4)
    return out


def quantiles(data: Tensor, lengths: Tensor, shares: Tensor, *, magnitude: bool) -> Tensor:
    """Returns what shares of each item's valid samples lie below, ``[B, k]``, interpolated as ``numpy.quantile`` does.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        shares: float64 ``[B, k]`` in 0..1.
        magnitude: whether magnitudes of samples are meant; 0 for items without samples.
    """
    channels = data.shape[1] if data.dim() == 3 else 1
    if applicable(data, lengths, shares):
        return _quantiles_one_by_one(data, lengths, shares, magnitude)
    values = data.abs() if magnitude else data
    if data.shape[-1] == 0:
        return values.new_zeros(shares.shape)
    mask = expand_mask(length_mask(lengths, data.shape[-1], data.device), data)
    ordered = torch.where(mask, values, torch.inf).flatten(1).sort(-1).values
    last = (lengths.to(data.device, non_blocking=True) * channels - 1).clamp(min=0).unsqueeze(-1)
    place = shares.to(data.device, non_blocking=True) * last
    below = place.long()
    low, high = ordered.gather(1, below), ordered.gather(1, torch.minimum(below + 1, last))
    some = (lengths > 0).to(data.device, non_blocking=True).unsqueeze(-1)
    low, high = torch.where(some, low, 0), torch.where(some, high, 0)
    return low + (high - low) * (place - below).to(data.dtype)


def _quantiles_one_by_one(data: Tensor, lengths: Tensor, shares: Tensor, magnitude: bool) -> Tensor:
    """Returns the same by partial sorting."""
    data = data.detach()
    found = data.new_zeros(shares.shape)
    sizes, wanted = lengths.tolist(), shares.tolist()

    def job(row: int) -> None:
        part = data[row, ..., : sizes[row]].reshape(-1)
        if part.shape[0]:
            values = (part.abs() if magnitude else part).numpy()
            found[row] = torch.tensor(
                [_quantile(values, share) for share in wanted[row]], dtype=data.dtype, device="cpu"
            )

    threads.each(job, len(sizes), data.numel() * 8)
    return found


def _quantile(values: Any, share: float) -> float:
    """Returns one; to look for one place in the order at a time is 7 times as fast in numpy as for two."""
    last: int = values.shape[0] - 1
    below = int(share * last)
    ordered = np.partition(values, below)
    low = float(ordered[below])
    if below == last:
        return low
    high = float(ordered[below + 1 :].min())
    return low + (high - low) * (share * last - below)


def clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Returns samples kept between two numbers."""
    return torch.minimum(torch.maximum(x, low), high)


def saturation(threshold: Tensor) -> Tensor:
    """Returns what samples are multiplied by before the hyperbolic tangent: one at the threshold becomes 0.5."""
    return 0.5 / (threshold + _LEAST)


def saturate(x: Tensor, gain: Tensor) -> Tensor:
    """Returns ``tanh(gain * x)`` at the power of ``x``, of one item or of items with silence past their ends."""
    bent = torch.tanh(x * gain)
    before, after = (part.square().sum() if gain.dim() == 0 else _energies(part) for part in (x, bent))
    heard = (before > 0) & (after > 0)
    ratio = torch.where(heard, before, 1) / torch.where(heard, after, 1)
    return bent * torch.where(heard, ratio, 1).sqrt()


def _energies(x: Tensor) -> Tensor:
    return x.square().flatten(1).sum(1).reshape(-1, *[1] * (x.dim() - 1))


def crush(x: Tensor, steps: Tensor) -> Tensor:
    """Returns samples rounded to the nearest of ``steps`` levels between 0 and 1; the gradient is that of ``x``."""
    return straight(torch.round(x * steps) / steps, x)


def mu_law(x: Tensor, mu: Tensor) -> Tensor:
    """Returns samples in -1..1 compressed, rounded to ``mu // 2`` levels above and below 0, and expanded.

    The gradient is that of the samples, 0 beyond -1..1.
    """
    x = x.clamp(-1, 1)
    levels, scale = torch.floor(mu / 2), torch.log1p(mu)
    code = torch.round(torch.log1p(mu * x.abs()) * (levels / scale))
    size = torch.expm1(code * (scale / levels)) / mu
    return straight(torch.copysign(size, x), x)


def straight(value: Tensor, x: Tensor) -> Tensor:
    """Returns the value with the gradient of ``x``."""
    return value.detach() + (x - x.detach()) if x.requires_grad else value
