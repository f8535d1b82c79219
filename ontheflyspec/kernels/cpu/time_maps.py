"""Segments of signals rearranged, shifted or silenced, and silence trimmed, on a CPU, item by item."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import List

import torch
from torch import Tensor

from ontheflyspec.functional import time_maps as moves
from ontheflyspec.functional.masks import Spans
from ontheflyspec.functional.time_maps import SampleMap, Silence
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.rows import Layout, Rows, by_item


@compiled()
def put_segments(out: Tensor, data: Tensor, rows: List[int], segments: List[List[List[int]]]) -> None:
    """Writes segments of some items to their places, and zeros elsewhere.

    Args:
        out: ``[B, ..., N]``.
        data: ``[B, ..., T]``.
        rows: which items.
        segments: start, end, place and slope of each segment of each of these items, see `SampleMap`.
    """
    for number, row in enumerate(rows):
        new, old = out[row], data[row]
        reached = 0
        for one in segments[number]:
            n = one[1] - one[0]
            if n > 0:
                part, low = old[..., one[0] : one[1]], one[2]
                if one[3] < 0:
                    part, low = part.flip([-1]), one[2] - n + 1
                if low > reached:
                    new[..., reached:low].zero_()
                reached = low + n
                new[..., low:reached].copy_(part)
        if reached < new.size(-1):
            new[..., reached:].zero_()


@moves.rearrange.kernel("rows")
def rearrange_rows(like: Layout, lengths: Tensor, *, sample_map: SampleMap, size: int) -> Rows:  # noqa: ARG001
    """Writes the segments of items."""
    table = torch.stack(sample_map, -1).tolist()
    return Rows(lambda out, data, rows: put_segments(out, data, rows, [table[row] for row in rows]))


@moves.shift_samples.kernel("rows")
def shift_samples_rows(like: Layout, lengths: Tensor, *, shift: Tensor, circular: bool, fade: int) -> Rows:
    """Writes shifted items as one segment or two, then fades them at their seams."""
    sizes, seams = lengths.tolist(), (shift % lengths.clamp(min=1)).tolist()
    if circular:
        table = [[[n - by, n, 0, 1], [0, n - by, by, 1]] for by, n in zip(seams, sizes, strict=True)]
    else:
        pairs = zip(shift.tolist(), sizes, strict=True)
        table = [[[max(-by, 0), n - max(by, 0), max(by, 0), 1]] for by, n in pairs]
    gain = moves.seam_gain(torch.arange(-fade, fade, device="cpu"), fade, like.dtype)

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        put_segments(out, data, rows, [table[row] for row in rows])
        for row in rows:
            if fade and (seam := seams[row]):
                first, last = max(seam - fade, 0), min(seam + fade, sizes[row])
                out[row, ..., first:last] *= gain[first - seam + fade : last - seam + fade]

    return Rows(write)


@moves.hide_spans.kernel("rows")
def hide_spans_rows(like: Layout, lengths: Tensor, *, spans: Spans, fade: int, keys: Tensor | None) -> Rows:
    """Writes copies of items, then silence or noise between the first and the last sample of all their spans."""
    start, end = spans
    lows, highs = start.amin(1).tolist(), end.amax(1).tolist()
    on = torch.ones(1, dtype=torch.bool, device="cpu")

    def write_one(new: Tensor, old: Tensor, row: int) -> None:
        one, low, high = slice(row, row + 1), lows[row], highs[row]
        new.copy_(old)
        gain = moves.span_gain(high - low, start[one] - low, end[one] - low, fade, like.dtype)
        noise = None if keys is None else moves.white_noise(old, lengths[one], keys[one], on)[..., low:high]
        new[..., low:high] = moves.blend(old[..., low:high], gain, noise)

    return by_item(write_one, lengths, cost=2 if keys is None else 6)


@moves.loud_part.kernel("cpu")
def loud_part_of_items(data: Tensor, lengths: Tensor, *, silence: Silence) -> tuple[Tensor, Tensor]:
    """Returns the loud part of each item, ``[B]`` starts and ends."""
    sizes, kept = lengths.tolist(), torch.zeros(2, len(lengths), dtype=torch.int64, device="cpu")

    def job(row: int) -> None:
        if sizes[row]:
            part = data[row : row + 1, ..., : sizes[row]]
            kept[:, row] = torch.cat(moves.loud_part.reference(part, lengths[row : row + 1], silence=silence))

    threads.each(job, len(sizes), 4 * data.numel())
    return kept[0], kept[1]
