"""What is set to a constant: the padding, and spans of frames or bands."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.batch import expand_mask
from ontheflyspec.functional import programs
from ontheflyspec.functional.blocks import applicable, map_items, map_rows
from ontheflyspec.functional.framing import cut
from ontheflyspec.functional.programs import fast

SCALE = fast(programs.scale_rows)


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


def meeting_place(sizes: Tensor, table: Tensor) -> torch.device:
    """Returns where sizes of items meet numbers drawn for them without a wait: on a device if either is there."""
    return sizes.device if table.device.type == "cpu" else table.device


def spans(widths: Tensor, fractions: Tensor, sizes: Tensor, most: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Returns where spans start and end inside items of unlike size.

    Args:
        widths: int64 ``[B, k]``, cut to the size of the item.
        fractions: float64 ``[B, k]`` in (0, 1): where among the possible starts each span begins.
        sizes: int64 ``[B]`` on any device.
        most: int64 ``[B]`` on the same device, what widths are cut to, up to the size; None for the size.

    Returns:
        First and last-plus-one positions, int64 ``[B, k]``, on a device if either is there.
    """
    where = meeting_place(sizes, widths)
    longest = sizes.to(where, non_blocking=True).unsqueeze(-1)
    top = longest if most is None else most.to(where, non_blocking=True).unsqueeze(-1)
    widths = torch.minimum(widths.to(where, non_blocking=True), top)
    starts = (fractions.to(where, non_blocking=True) * (longest - widths + 1)).long()
    return starts, starts + widths


def span_mask(starts: Tensor, ends: Tensor, size: int, device: torch.device) -> Tensor:
    """Returns bool ``[B, size]`` on ``device``, True inside any of the ``[B, k]`` spans."""
    starts = starts.to(device, non_blocking=True).unsqueeze(-1)
    ends = ends.to(device, non_blocking=True).unsqueeze(-1)
    positions = torch.arange(size, device=device)
    return ((positions >= starts) & (positions < ends)).any(1)


def gaps(starts: Tensor, ends: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns first and last-plus-one positions of what no span covers, ``[B, k + 1]`` each; empty spans cut nothing.

    Args:
        starts: int64 ``[B, k]``, in any order; spans may lie over each other.
        ends: int64 ``[B, k]``.
        sizes: int64 ``[B]``.
    """
    size, full = sizes.to(starts.device, non_blocking=True).unsqueeze(-1), ends > starts
    starts, order = torch.where(full, starts, 0).sort(1)
    covered = torch.where(full, ends, 0).gather(1, order).cummax(1).values
    first = torch.cat([torch.zeros_like(size), covered], 1)
    return first, torch.maximum(torch.cat([starts, size], 1), first)


def mask_spans(
    data: Tensor, lengths: Tensor, frames: tuple[Tensor, Tensor], bands: tuple[Tensor, Tensor], fill: Tensor
) -> Tensor:
    """Returns spectrograms with ``fill`` in masked frames and bands, the same in all channels, 0 past each length.

    Args:
        data: ``[B, F, N]`` or ``[B, C, F, N]``.
        lengths: int64 ``[B]`` on any device.
        frames: where spans of frames start and end, int64 ``[B, k]`` on any device, within each item.
        bands: where spans of bands start and end, likewise.
        fill: ``[B, 1, ...]``, or ``[1]`` for all items.
    """
    if applicable(data, lengths, fill, *frames, *bands):
        return _mask_one_by_one(data, lengths, frames, bands, fill)
    hidden = expand_mask(span_mask(*frames, data.shape[-1], data.device), data)
    hidden = hidden | expand_mask(span_mask(*bands, data.shape[-2], data.device), data).transpose(-1, -2)
    return zero_past(torch.where(hidden, fill, data), lengths)


def _mask_one_by_one(
    data: Tensor, lengths: Tensor, frames: tuple[Tensor, Tensor], bands: tuple[Tensor, Tensor], fill: Tensor
) -> Tensor:
    """Returns the same by one copy of each item, whose spans are then written."""
    times, rows = (torch.stack(where, -1).tolist() for where in (frames, bands))

    def write(item: int, valid: Tensor, value: float) -> None:
        for start, end in times[item]:
            valid[..., start:end] = value
        for start, end in rows[item]:
            valid[..., start:end, :] = value

    return _copy_and(write, data, lengths, fill)


def mask_holes(
    data: Tensor, lengths: Tensor, frames: tuple[Tensor, Tensor], bands: tuple[Tensor, Tensor], fill: Tensor
) -> Tensor:
    """Returns spectrograms with ``fill`` where a span of frames meets the span of bands of its number.

    Arguments as in `mask_spans`, as many spans of frames as of bands.
    """
    if applicable(data, lengths, fill, *frames, *bands):
        return _holes_one_by_one(data, lengths, frames, bands, fill)
    hidden = torch.zeros((), dtype=torch.bool, device=data.device)
    for hole in range(frames[0].shape[1]):
        one = slice(hole, hole + 1)
        wide = expand_mask(span_mask(frames[0][:, one], frames[1][:, one], data.shape[-1], data.device), data)
        high = expand_mask(span_mask(bands[0][:, one], bands[1][:, one], data.shape[-2], data.device), data)
        hidden = hidden | (wide & high.transpose(-1, -2))
    return zero_past(torch.where(hidden, fill, data), lengths)


def _holes_one_by_one(
    data: Tensor, lengths: Tensor, frames: tuple[Tensor, Tensor], bands: tuple[Tensor, Tensor], fill: Tensor
) -> Tensor:
    """Returns the same by one copy of each item, whose holes are then written."""
    holes = torch.stack([*frames, *bands], -1).tolist()

    def write(item: int, valid: Tensor, value: float) -> None:
        for start, end, lowest, top in holes[item]:
            valid[..., lowest:top, start:end] = value

    return _copy_and(write, data, lengths, fill)


def _copy_and(write: Callable[[int, Tensor, float], None], data: Tensor, lengths: Tensor, fill: Tensor) -> Tensor:
    """Returns a copy in which ``write`` overwrites each item's valid part, knowing its fill; 0 past each length."""
    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    sizes, fills = lengths.tolist(), fill.flatten().expand(data.shape[0]).tolist()

    def job(item: int) -> None:
        size, new = sizes[item], out[item]
        valid = new[..., :size]
        valid.copy_(data[item, ..., :size])
        new[..., size:] = 0
        write(item, valid, fills[item])

    threads.each(job, len(sizes), data.numel())
    return out


def shift_bands(data: Tensor, lengths: Tensor, shift: Tensor, fill: Tensor) -> Tensor:
    """Returns spectrograms whose bands moved up or down, with ``fill`` where none came, 0 past each length.

    Args:
        data: ``[B, F, N]`` or ``[B, C, F, N]``.
        lengths: int64 ``[B]`` on any device.
        shift: int64 ``[B]`` on the host, bands; above 0 moves to higher ones.
        fill: ``[B, 1, ...]``, or ``[1]`` for all items.
    """
    count = data.shape[-2]
    if applicable(data, lengths, shift, fill):
        steps = shift.clamp(-count, count).tolist()

        def write(item: int, valid: Tensor, value: float) -> None:
            by, size = steps[item], valid.shape[-1]
            if by:
                first, last = max(by, 0), count + min(by, 0)
                valid[..., first:last, :] = data[item, ..., first - by : last - by, :size]
                valid[..., :first, :] = value
                valid[..., last:, :] = value

        return _copy_and(write, data, lengths, fill)
    source = torch.arange(count, device=data.device) - shift.to(data.device, non_blocking=True).unsqueeze(-1)
    known = (source >= 0) & (source < count)
    index = expand_mask(torch.where(known, source, 0), data).transpose(-1, -2)
    moved = data.gather(-2, index.expand(data.shape))
    return zero_past(torch.where(expand_mask(known, data).transpose(-1, -2), moved, fill), lengths)


def scale_items(data: Tensor, lengths: Tensor, factors: Tensor) -> Tensor:
    """Returns ``[B, ..., N]`` data times a factor ``[B, 1, ...]`` an item, exactly 0 past each length."""
    if not applicable(data, lengths, factors):
        return zero_past(data * factors, lengths)
    sizes = lengths.tolist()
    return map_rows(data, lengths, None, lambda out, rows: SCALE(out, data, rows, sizes, factors))


def raise_items(data: Tensor, lengths: Tensor, offsets: Tensor) -> Tensor:
    """Returns ``[B, ..., N]`` data plus offsets ``[B, 1, ..., 1]``, exactly 0 past each length."""
    if not applicable(data, lengths, offsets):
        return zero_past(data + offsets, lengths)

    def compute(part: Tensor, own: Tensor | None, items: slice) -> Tensor:
        raised = part + offsets[items]
        return raised if own is None else zero_past(raised, own)

    return map_items(data, lengths, compute)
