"""What is set to a constant: the padding, and spans of frames or bands."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.batch import expand_mask
from ontheflyspec.functional.blocks import applicable, map_items
from ontheflyspec.functional.framing import cut


def zero_past(data: Tensor, lengths: Tensor) -> Tensor:
    """Returns ``[B, ..., N]`` data with exact zeros past each item's length, whatever stood there.

    ``data`` is a result of the caller's own, which may be written to: its padding is, on the CPU.
    """
    if applicable(data, lengths):
        sizes = lengths.tolist()

        def job(row: int) -> None:
            data[row, ..., sizes[row] :].zero_()

        threads.each(job, len(sizes), data.numel() // 4)
        return data
    return cut(data, lengths)


def spans(widths: Tensor, fractions: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns where spans start and end inside items of unlike size.

    Args:
        widths: int64 ``[B, k]``, cut to the size of the item.
        fractions: float64 ``[B, k]`` in (0, 1): where among the possible starts each span begins.
        sizes: int64 ``[B]`` on any device.

    Returns:
        First and last-plus-one positions, int64 ``[B, k]`` on the device of ``sizes``.
    """
    longest = sizes.unsqueeze(-1)
    widths = torch.minimum(widths.to(sizes.device, non_blocking=True), longest)
    fractions = fractions.to(sizes.device, non_blocking=True)
    starts = (fractions * (longest - widths + 1)).long()
    return starts, starts + widths


def span_mask(starts: Tensor, ends: Tensor, size: int, device: torch.device) -> Tensor:
    """Returns bool ``[B, size]`` on ``device``, True inside any of the ``[B, k]`` spans."""
    starts = starts.to(device, non_blocking=True).unsqueeze(-1)
    ends = ends.to(device, non_blocking=True).unsqueeze(-1)
    positions = torch.arange(size, device=device)
    return ((positions >= starts) & (positions < ends)).any(1)


def mask_spans(data: Tensor, lengths: Tensor, frames: Tensor, bands: Tensor, fill: Tensor) -> Tensor:
    """Returns spectrograms with ``fill`` in masked frames and bands, the same in all channels, 0 past each length.

    Args:
        data: ``[B, F, N]`` or ``[B, C, F, N]``.
        lengths: int64 ``[B]`` on any device.
        frames: bool ``[B, N]``.
        bands: bool ``[B, F]``.
        fill: ``[B, 1, ...]``, or ``[1]`` for all items.
    """

    def hide(part: Tensor, frames: Tensor, bands: Tensor, fill: Tensor) -> Tensor:
        masked = expand_mask(frames, part) | expand_mask(bands, part).transpose(-1, -2)
        return torch.where(masked, fill, part)

    if not applicable(data, lengths, fill):
        return zero_past(hide(data, frames, bands, fill), lengths)

    def compute(part: Tensor, own: Tensor | None, items: slice) -> Tensor:
        here = fill[items] if fill.dim() > 1 else fill
        hidden = hide(part, frames[items, : part.shape[-1]], bands[items], here)
        return hidden if own is None else zero_past(hidden, own)

    return map_items(data, lengths, compute)


def scale_items(data: Tensor, lengths: Tensor, factors: Tensor) -> Tensor:
    """Returns ``[B, ..., N]`` data times a factor ``[B, 1, ...]`` an item, exactly 0 past each length."""
    if not applicable(data, lengths, factors):
        return zero_past(data * factors, lengths)

    def compute(part: Tensor, own: Tensor | None, items: slice) -> Tensor:
        scaled = part * factors[items]
        return scaled if own is None else zero_past(scaled, own)

    return map_items(data, lengths, compute)
