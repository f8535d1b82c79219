"""Harmonic-percussive source separation (HPSS) by median filtering, with running medians and soft masks."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from ontheflyspec.functional.signal_frames import ends, take, zero_padding
from ontheflyspec.functional.stft import safe_power, without_faint_slopes
from ontheflyspec.kept import count_up, where
from ontheflyspec.op import Op
from ontheflyspec.torch_internals import differentiated, parts_of, without_derivatives

CHUNK = 1 << 15
"""Values that are compared at once on a CPU: with the sorted windows around them they fit into the cache."""
CHUNK_ON_DEVICE = 1 << 21
"""Values that are compared at once elsewhere, where every comparison is a kernel launch."""


def running_median(x: Tensor, size: int) -> Tensor:
    """Returns running medians: the element of rank ``size // 2`` of each window along the last axis.

    Every step is a comparison of whole tensors, and neighbouring windows share the parts that are sorted already:
    windows of 2, 4, 8, ... steps are merged from two that are half as long. A gradient goes to one element of that
    rank.

    Shape: ``[..., n]`` for ``[..., n + size - 1]``.
    """
    if size == 1:
        return x
    rows = x.reshape(-1, x.shape[-1])
    each = max((CHUNK if x.device.type == "cpu" else CHUNK_ON_DEVICE) // max(rows.shape[-1], 1), 1)
    n = x.shape[-1] - size + 1
    return torch.cat([_medians(part, size, n) for part in parts_of(rows, each)]).reshape(*x.shape[:-1], n)


def _medians(rows: Tensor, size: int, n: int) -> Tensor:
    """Returns running medians ``[R, n]`` of rows ``[R, n + size - 1]``, with their gradient."""
    with torch.no_grad():
        # One long row: windows across two rows are dropped below.
        known = without_derivatives(rows)
        flat = known.reshape(-1)
        found = torch.nn.functional.pad(_selected(flat, size), (0, size - 1)).reshape(rows.shape)[:, :n]
    if not differentiated(rows):
        return found
    with torch.no_grad():
        places = count_up(n, rows.device).repeat(rows.shape[0], 1)
        offset = torch.zeros_like(places)
        for step in range(size):
            offset = where(known[:, step : step + n] == found, step, offset)
    return rows.gather(-1, places + offset)


def _selected(flat: Tensor, size: int) -> Tensor:
    """Returns the element of rank ``size // 2`` of each window of ``size`` in ``[n]``, ``[n - size + 1]``."""
    n = flat.shape[0] - size + 1
    doubled, width, begin = [flat], 1, 0
    sorted_parts: list[list[Tensor]] = []
    while True:
        if size & width:
            sorted_parts.append([plane[begin : begin + n] for plane in doubled])
            begin += width
        if 2 * width > size:
            break
        doubled = merged([plane[:-width] for plane in doubled], [plane[width:] for plane in doubled])
        width *= 2
    longest = sorted_parts.pop()
    rest: list[Tensor] = functools.reduce(merged, sorted_parts, [])
    return _of_two(longest, rest, size // 2)


def merged(one: list[Tensor], other: list[Tensor]) -> list[Tensor]:
    """Merges two sorted lists by Batcher's odd-even merge (Knuth, volume 3, 5.3.4)."""
    if not one or not other:
        return one or other
    if len(one) == len(other) == 1:
        return [torch.minimum(one[0], other[0]), torch.maximum(one[0], other[0])]
    evens, odds = merged(one[::2], other[::2]), merged(one[1::2], other[1::2])
    out = [evens[0]]
    for low, high in zip(odds[: len(evens) - 1], evens[1 : len(odds) + 1], strict=True):
        out += [torch.minimum(low, high), torch.maximum(low, high)]
    return out + evens[len(odds) + 1 :] + odds[len(evens) - 1 :]


def _of_two(one: list[Tensor], other: list[Tensor], rank: int) -> Tensor:
    """Returns the element of a rank, from 0, of the union of two sorted lists.

    Each split takes ``rank + 1`` elements from the fronts of both lists: the element is the least, over all splits, of
    the largest that a split takes.
    """
    splits = []
    for taken in range(max(0, rank + 1 - len(other)), min(len(one), rank + 1) + 1):
        largest = [part[count - 1] for part, count in ((one, taken), (other, rank + 1 - taken)) if count]
        splits.append(functools.reduce(torch.maximum, largest))
    return functools.reduce(torch.minimum, splits)


def median_over_time(x: Tensor, lengths: Tensor | None, size: int) -> Tensor:
    """Returns running medians of ``size`` steps around each step of the last axis, mirrored at each item's own ends.

    Args:
        x: ``[B, ..., N]``, 0 past each length.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        size: steps of a window; one more before than after if it is even.
    """
    n = ends(x, lengths).clamp(min=1)
    places = torch.arange(-(size // 2), x.shape[-1] + (size - 1) // 2, device=x.device).remainder(2 * n)
    return running_median(take(x, torch.minimum(places, 2 * n - 1 - places)), size)


def median_over_bands(x: Tensor, size: int) -> Tensor:
    """Returns running medians of ``size`` bands around each band of axis -2, mirrored at both ends."""
    return median_over_time(x.transpose(-1, -2), None, size).transpose(-1, -2)


def soft_mask(x: Tensor, other: Tensor, power: float, split_zeros: bool) -> Tensor:
    """Returns the soft mask ``x^power / (x^power + other^power)`` of non-negative values, ``librosa.util.softmask``.

    Args:
        x: part to keep.
        other: part to remove.
        power: above 0; infinite for 1 where ``x > other``, else 0.
        split_zeros: whether the mask is 0.5 instead of 0 where both are 0.
    """
    if math.isinf(power):
        return (x > other).to(x.dtype)
    top = torch.maximum(x, other)
    silent = top < torch.finfo(top.dtype).tiny
    top = top.masked_fill(silent, 1)
    shares = (without_faint_slopes(part / top, top) for part in (x, other))
    one, two = (share.pow(power) if power >= 1 else safe_power(share, power) for share in shares)
    total = (one + two).masked_fill(silent, 1)
    return (one / total).masked_fill(silent, 0.5 if split_zeros else 0.0)


@Op
def hpss(
    x: Tensor,
    lengths: Tensor | None,
    *,
    kernel_size: tuple[int, int],
    power: float,
    margin: tuple[float, float],
    output: str,
    mask: bool,
) -> Tensor:
    """Returns the harmonic part of a spectrogram, the percussive part, both, or their masks.

    Args:
        x: ``[B, ..., F, N]``, non-negative or complex.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        kernel_size: steps of the medians over time, bands of those over frequency.
        power: of `soft_mask`.
        margin: factors of the other part in the masks of the harmonic and the percussive one.
        output: ``"harmonic"``, ``"percussive"`` or ``"both"``, one above the other.
        mask: whether the masks are returned.

    Shape: as ``x``, or ``[B, ..., 2 F, N]``; exactly 0 past each length.
    """
    x = zero_padding(x, lengths)
    size = x.abs() if x.is_complex() else x
    if x.shape[-1] == 0:
        return (size if mask else x).repeat_interleave(2 if output == "both" else 1, -2)
    steady, sudden = median_over_time(size, lengths, kernel_size[0]), median_over_bands(size, kernel_size[1])
    split = margin[0] == margin[1] == 1
    masks = []
    if output != "percussive":
        masks.append(soft_mask(steady, sudden * margin[0], power, split))
    if output != "harmonic":
        masks.append(soft_mask(sudden, steady * margin[1], power, split))
    return zero_padding(torch.cat([one if mask else x * one for one in masks], -2), lengths)
