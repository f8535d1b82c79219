"""Masks: zeros in the padding, time and frequency masks (SpecAugment), band shifts, gains and offsets of items."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.batch import beside, expand_mask
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.functional.statistics import valid_mean
from ontheflyspec.kept import count_up, where
from ontheflyspec.op import Op

Fill = str | float
"""Value of masked places: ``"mean"`` of the item's own valid part, ``"zero"``, or a number."""
Spans = tuple[Tensor, Tensor]
"""Starts and ends (last + 1) of spans, int64 ``[B, k]`` each, on any device."""


@Op
def zero_past(data: Tensor, lengths: Tensor) -> Tensor:
    """Returns ``[B, ..., N]`` data with exact zeros past each item's length, NaN or not.

    ``data`` is a result of the caller's own: on the CPU its padding is overwritten in place.
    """
    return zero_padding(data, lengths)


def fill_values(fill: Fill, data: Tensor, lengths: Tensor) -> Tensor:
    """Returns the values of masked places: ``[B, 1, ...]`` means of the items, or ``[1]`` for all."""
    if fill == "mean":
        return valid_mean(data, lengths)
    return data.new_full((1,), 0.0 if fill == "zero" else float(fill))


def common_device(sizes: Tensor, table: Tensor) -> torch.device:
    """Returns where to compute with items' sizes and numbers drawn for them, without waiting: on a device if any is."""
    return sizes.device if table.device.type == "cpu" else table.device


def spans(widths: Tensor, fractions: Tensor, sizes: Tensor, most: Tensor | None = None) -> Spans:
    """Returns spans of given widths at random places inside items, on a device if sizes or widths are there.

    Args:
        widths: int64 ``[B, k]``, cut to the size of the item.
        fractions: float64 ``[B, k]`` in (0, 1): where among the possible starts each span begins.
        sizes: int64 ``[B]`` on any device.
        most: largest widths, int64 ``[B]`` on the device of ``sizes``, up to these; None for these.
    """
    there = common_device(sizes, widths)
    longest = sizes.to(there, non_blocking=True).unsqueeze(-1)
    top = longest if most is None else most.to(there, non_blocking=True).unsqueeze(-1)
    widths = torch.minimum(widths.to(there, non_blocking=True), top)
    starts = (fractions.to(there, non_blocking=True) * (longest - widths + 1)).long()
    return starts, starts + widths


def inside(spans: Spans, size: int, device: torch.device) -> Tensor:
    """Returns masks of spans, bool ``[B, k, size]`` on ``device``, True inside each span."""
    starts, ends = (one.to(device, non_blocking=True).unsqueeze(-1) for one in spans)
    positions = count_up(size, device)
    return (positions >= starts) & (positions < ends)


def gaps(starts: Tensor, ends: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the complement of spans: first and last + 1 positions of the gaps between them, ``[B, k + 1]`` each.

    Args:
        starts: int64 ``[B, k]``, in any order; spans may overlap or be empty.
        ends: int64 ``[B, k]``.
        sizes: int64 ``[B]``.
    """
    size, full = sizes.to(starts.device, non_blocking=True).unsqueeze(-1), ends > starts
    starts, order = where(full, starts, 0).sort(1)
    covered = where(full, ends, 0).gather(1, order).cummax(1).values
    first = torch.cat([torch.zeros_like(size), covered], 1)
    return first, torch.maximum(torch.cat([starts, size], 1), first)


@Op
def mask_spans(data: Tensor, lengths: Tensor, *, frames: Spans, bands: Spans, fill: Fill) -> Tensor:
    """Masks frames and bands of spectrograms (SpecAugment), alike in all channels; 0 past each length.

    Args:
        data: ``[B, F, N]`` or ``[B, C, F, N]``.
        lengths: int64 ``[B]`` on any device.
        frames: spans of frames, within each item.
        bands: spans of bands.
        fill: the constant.
    """
    wide, high = inside(frames, data.shape[-1], data.device), inside(bands, data.shape[-2], data.device)
    return _masked(data, lengths, wide.any(1).unsqueeze(-2) | high.any(1).unsqueeze(-1), fill)


@Op
def mask_holes(data: Tensor, lengths: Tensor, *, frames: Spans, bands: Spans, fill: Fill) -> Tensor:
    """Masks rectangles of spectrograms (cutout): each span of frames crossed with the span of bands of its number.

    Arguments as in `mask_spans`, as many spans of frames as of bands.
    """
    wide, high = inside(frames, data.shape[-1], data.device), inside(bands, data.shape[-2], data.device)
    return _masked(data, lengths, (wide.unsqueeze(-2) & high.unsqueeze(-1)).any(1), fill)


def _masked(data: Tensor, lengths: Tensor, hidden: Tensor, fill: Fill) -> Tensor:
    """Returns spectrograms with a constant where ``hidden``, bool ``[B, F, N]``, is True."""
    hidden = hidden if data.dim() == 3 else hidden.unsqueeze(1)
    return zero_past(where(hidden, fill_values(fill, data, lengths), data), lengths)


@Op
def shift_bands(data: Tensor, lengths: Tensor, *, shift: Tensor, fill: Fill) -> Tensor:
    """Shifts the bands of spectrograms up or down, with a constant in bands left empty; 0 past each length.

    Args:
        data: ``[B, F, N]`` or ``[B, C, F, N]``.
        lengths: int64 ``[B]`` on any device.
        shift: bands, int64 ``[B]`` on any device; above 0 to higher bands.
        fill: the constant.
    """
    count = data.shape[-2]
    source = count_up(count, data.device) - shift.to(data.device, non_blocking=True).unsqueeze(-1)
    known = (source >= 0) & (source < count)
    index = expand_mask(where(known, source, 0), data).transpose(-1, -2)
    moved = data.gather(-2, index.expand(data.shape))
    moved = where(expand_mask(known, data).transpose(-1, -2), moved, fill_values(fill, data, lengths))
    return zero_past(moved, lengths)


@Op
def scale_items(data: Tensor, lengths: Tensor, *, factors: Tensor) -> Tensor:
    """Multiplies ``[B, ..., N]`` data by gains ``[B]``, or ``[B, F]`` for bands, exactly 0 past each length."""
    return zero_past(data * beside(factors, data), lengths)


@Op
def raise_items(data: Tensor, lengths: Tensor, *, offsets: Tensor) -> Tensor:
    """Adds offsets ``[B]``, or ``[B, F]`` for bands, to ``[B, ..., N]`` data (a gain in dB), 0 past each length."""
    return zero_past(data + beside(offsets, data), lengths)
