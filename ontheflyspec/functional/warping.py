"""Time warping, vocal tract length perturbation (VTLP) and FilterAugment: positions, gains, linear interpolation."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.functional.masks import Fill, Spans, common_device, mask_spans, zero_past
from ontheflyspec.kept import count_up, where
from ontheflyspec.op import Op


def warp_knots(at: Tensor, by: Tensor, sizes: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Returns the control point of each item's time warp before and after its move, float64 ``[B]`` each, in steps.

    Args:
        at: float64 ``[B]`` in (0, 1): which of the points at least ``reach`` from both ends.
        by: float64 ``[B]``, move within ``-reach .. reach`` steps, above 0 to later steps.
        sizes: int64 ``[B]`` on any device; the point of items that are too short is their last step, which stays.
        reach: largest move in steps.
    """
    there = common_device(sizes, at)
    at, by, sizes = (values.to(there, non_blocking=True) for values in (at, by, sizes))
    last = (sizes - 1).clamp(min=0).double()
    moves = (last > 2 * reach) & (by != 0)
    before = reach + at * (last - 2 * reach)
    return where(moves, before, last), where(moves, before + by, last)


def warp_positions(before: Tensor, after: Tensor, sizes: Tensor, size: int) -> Tensor:
    """Returns source positions of warped steps, float64 ``[B, size]``, piecewise linear through a moved point.

    Args:
        before: step of each item's control point before the warp, float64 ``[B]``.
        after: step of the control point after the warp, float64 ``[B]``.
        sizes: int64 ``[B]``; the first and last step of each item stay in their places.
        size: steps of the result.
    """
    last = (sizes.to(before.device, non_blocking=True) - 1).clamp(min=0).double().unsqueeze(-1)
    before, after = before.unsqueeze(-1), after.unsqueeze(-1)
    steps = torch.arange(size, device=before.device, dtype=torch.float64)
    early = steps * (before / where(after > 0, after, 1))
    rest = last - after
    late = last - (last - steps) * ((last - before) / where(rest > 0, rest, 1))
    positions = where(steps <= after, early, late)
    positions = where(before == after, steps, positions)
    return torch.minimum(positions.clamp(min=0), last)


@Op
def read_between(data: Tensor, lengths: Tensor, *, positions: Tensor, axis: int) -> Tensor:
    """Interpolates an axis linearly at given positions, exactly 0 past each length.

    Args:
        data: ``[B, ..., N]``.
        lengths: int64 ``[B]`` on any device.
        positions: float64 ``[B, size]`` on any device, within each item's part of the axis; values at whole positions
            come bit for bit.
        axis: -1 for steps, -2 for bands.
    """
    shape = [data.shape[0], *[1] * (data.dim() - 1)]
    shape[axis] = data.shape[axis]
    parts = neighbours(positions, lengths, data.shape[axis], data.dtype, axis)
    first, second, share = (x.to(data.device, non_blocking=True).reshape(shape) for x in parts)
    low, high = data.gather(axis, first.expand(data.shape)), data.gather(axis, second.expand(data.shape))
    return zero_past(blend(low, high, share), lengths)


@Op
def mask_warped(data: Tensor, lengths: Tensor, *, positions: Tensor, frames: Spans, bands: Spans, fill: Fill) -> Tensor:
    """Warps spectrograms in time, then masks frames and bands (SpecAugment).

    Arguments as in `read_between` for steps and in `mask_spans`; a mean fill is that of the warped item.
    """
    warped = read_between(data, lengths, positions=positions, axis=-1)
    return mask_spans(warped, lengths, frames=frames, bands=bands, fill=fill)


def neighbours(
    positions: Tensor, lengths: Tensor, size: int, dtype: torch.dtype, axis: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the places right before and after positions ``[B, size]``, and the weight (0 to 1) of the place after."""
    if axis == -1:
        last = (lengths.to(positions.device, non_blocking=True) - 1).clamp(min=0).unsqueeze(-1)
    else:
        last = torch.full_like(positions[:, :1], size - 1, dtype=torch.int64)
    whole = positions.long()
    return whole, torch.minimum(whole + 1, last), (positions - whole).to(dtype=dtype)


def blend(low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    """Returns linear interpolations of two values, the first bit for bit for a share of 0."""
    return where(share == 0, low, low + (high - low) * share)


def tract_positions(alpha: Tensor, frequencies: Tensor, top: float, boundary: float) -> Tensor:
    """Returns source positions of bands for vocal tract length perturbation, float64 ``[B, F]``.

    Frequency f moves to ``alpha * f`` up to a knee; from there the map is linear to ``top``, which stays.

    Args:
        alpha: float64 ``[B]``, above 0.
        frequencies: float64 ``[F]``, of the bands, ascending.
        top: frequency that stays in its place.
        boundary: share of ``top`` up to which neither the frequencies before nor those after go beyond the knee.
    """
    frequencies = frequencies.to(alpha.device, non_blocking=True)
    after = boundary * top * alpha.clamp(max=1).unsqueeze(-1)
    before = after / alpha.unsqueeze(-1)
    above = top - (top - frequencies) * ((top - before) / (top - after))
    read = where(frequencies <= after, frequencies / alpha.unsqueeze(-1), above)
    count = frequencies.shape[0]
    right = torch.searchsorted(frequencies, read.contiguous()).clamp(1, max(count - 1, 1))
    low, high = frequencies[(right - 1).clamp(max=count - 1)], frequencies[right.clamp(max=count - 1)]
    share = (read - low) / where(high > low, high - low, 1)
    positions = (right - 1 + share).clamp(0, max(count - 1, 0))
    return where((alpha == 1).unsqueeze(-1), count_up(count, alpha.device), positions)


def region_gains(counts: Tensor, cuts: Tensor, gain_db: Tensor, n_bands: int, *, least: int, linear: bool) -> Tensor:
    """Returns gains in dB of bands split into regions (FilterAugment), float64 ``[B, n_bands]``.

    Args:
        counts: int64 ``[B]``, regions of each item.
        cuts: float64 ``[B, most - 1]`` in (0, 1): where regions meet; an item with fewer regions uses the first cuts.
        gain_db: float64 ``[B, most + 1]``: of the regions, or of their edges if ``linear``.
        n_bands: number of bands.
        least: bands of the narrowest region, fewer where they do not fit.
        linear: whether gains are interpolated between a region's edges.
    """
    counts = counts.unsqueeze(-1)
    widths = torch.minimum(torch.full_like(counts, least), n_bands // counts)
    place = torch.arange(1, cuts.shape[1] + 1, device=cuts.device)
    free = (cuts * (n_bands - counts * widths + 1)).long()
    inner = where(place < counts, free, n_bands).sort(1).values + place * widths
    edges = torch.cat([torch.zeros_like(counts), inner, torch.full_like(counts, n_bands)], 1).clamp(max=n_bands)
    bands = count_up(n_bands, cuts.device)
    region = (edges[:, 1:-1, None] <= bands).sum(1)
    if not linear:
        return gain_db.gather(1, region)
    first, last = edges.gather(1, region), edges.gather(1, region + 1)
    share = (bands - first).double() / (last - first - 1).clamp(min=1)
    start, end = gain_db.gather(1, region), gain_db.gather(1, region + 1)
    return start + (end - start) * share
