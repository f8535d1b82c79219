"""Groups of filters on signals that are halved again and again, at every frame as if on the whole signal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.functional import octave_programs, programs
from ontheflyspec.functional.constant_q import Group
from ontheflyspec.functional.framing import edges, extend, frame_count

TAPS = 31
"""The halving filter reaches so many samples to both sides."""
ROW = 16
"""Outputs of the halving filter that one row of a product makes."""
CHUNK = 1 << 18
"""Samples of a signal that are worked on at once, so that an hour of audio needs no more memory than a minute."""
VALUES = 1 << 20
"""Values of frames that one product takes."""
STRETCH, BINS = programs.fast(programs.stretch), octave_programs.fast(octave_programs.octave_bins)


def half_band() -> Tensor:
    """Returns the halving filter as matrices, float64 ``[3, 2 * ROW, ROW]``, for a row of samples and the two after it.

    A Kaiser window on a sinc: flat within 1e-5 up to 0.395 of the new rate, below -100 dB from 0.605 of it on.
    """
    n = torch.arange(-TAPS, TAPS + 1, dtype=torch.float64)
    taps = torch.sinc(n / 2) / 2 * torch.kaiser_window(2 * TAPS + 1, periodic=False, beta=10.06, dtype=torch.float64)
    place = torch.arange(6 * ROW).unsqueeze(-1) - 2 * torch.arange(ROW)
    inside = (place >= 0) & (place <= 2 * TAPS)
    return (taps[place.clamp(0, 2 * TAPS)] * inside).reshape(3, 2 * ROW, ROW)


def margins(groups: Sequence[Group]) -> tuple[list[int], list[int]]:
    """Returns how many samples each level needs before the first and after the last centre of the frames."""
    top = max(group.level for group in groups)
    before, after = [0] * (top + 1), [0] * (top + 1)
    for level in range(top, -1, -1):
        if level < top:
            before[level], after[level] = 2 * before[level + 1] + TAPS, 2 * after[level + 1] + TAPS
        for group in groups:
            if group.level == level:
                before[level] = max(before[level], -group.low)
                after[level] = max(after[level], group.low + group.width - 1)
    return before, after


def halve(x: Tensor, start: int, count: int, filters: Tensor) -> Tensor:
    """Returns every second sample of filtered signals ``[R, n]``, ``count`` of them.

    Args:
        x: signals; what lies beyond their ends is 0.
        start: place of the first sample that the first output needs, at least 0.
        count: outputs.
        filters: of `half_band`.
    """
    rows = -(-count // ROW)
    size = (rows + 2) * 2 * ROW
    x = torch.nn.functional.pad(x[:, start : start + size], (0, max(start + size - x.shape[1], 0)))
    blocks = x.reshape(x.shape[0], rows + 2, 2 * ROW)
    parts = [torch.matmul(blocks[:, place : place + rows], filters[place]) for place in range(3)]
    out = parts[0] + parts[1] + parts[2]
    return out.reshape(x.shape[0], -1)[:, :count]


def levels(x: Tensor, groups: Sequence[Group], filters: Tensor, span: int) -> list[Tensor]:
    """Returns signals ``[R, n]`` halved 0, 1, 2, ... times, each from its own `margins` before the first centre on.

    Args:
        x: signals from the margin of level 0 on.
        groups: what will run on them.
        filters: of `half_band`.
        span: samples from the first to the last centre.
    """
    before, after = margins(groups)
    found = [x]
    for level in range(1, len(before)):
        start = before[level - 1] - 2 * before[level] - TAPS
        count = before[level] + (span >> level) + after[level] + 1
        found.append(halve(found[-1], start, count, filters))
    return found


def transform(
    x: Tensor,
    lengths: Tensor | None,
    kernels: list[Tensor],
    groups: Sequence[Group],
    filters: Tensor,
    *,
    hop_length: int,
    pad_mode: str,
) -> tuple[Tensor, Tensor]:
    """Returns real and imaginary part of all bins, ``[..., n_bins, N]``, as every device and autograd take it.

    Args:
        x: float samples ``[..., T]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        kernels: of each group, ``[period, 2 * bins, width]``.
        groups: bins by filter and level.
        filters: of `half_band`.
        hop_length: samples between frames.
        pad_mode: how a signal goes on beyond its ends, ``"reflect"`` or ``"constant"`` (zeros).
    """
    count: int = frame_count(x.shape[-1], 1, hop_length, True)
    if x.shape[-1] == 0:
        x = torch.nn.functional.pad(x, (0, 1))
    before, after = margins(groups)
    signal = extend(x, lengths, before[0], after[0] + 1, pad_mode)
    frames = max(count, 1)
    flat = signal.reshape(-1, signal.shape[-1])
    parts = analyse(flat, kernels, groups, filters, hop_length=hop_length, frames=frames)
    real = torch.cat([part[:, : part.shape[1] // 2] for part in parts], 1)
    imaginary = torch.cat([part[:, part.shape[1] // 2 :] for part in parts], 1)
    shape = (*x.shape[:-1], real.shape[1], frames)
    return real.reshape(shape)[..., :count], imaginary.reshape(shape)[..., :count]


def analyse(
    x: Tensor, kernels: list[Tensor], groups: Sequence[Group], filters: Tensor, *, hop_length: int, frames: int
) -> list[Tensor]:
    """Returns each group's real parts above its imaginary ones, ``[R, 2 * bins, frames]``.

    Args:
        x: signals ``[R, n]`` from the margin of level 0 on.
        kernels: as in `transform`.
        groups: as in `transform`.
        filters: as in `transform`.
        hop_length: as in `transform`.
        frames: how many.
    """
    before, _ = margins(groups)
    found = levels(x, groups, filters, (frames - 1) * hop_length)
    return [
        _convolve(found[group.level], kernel, group, before, hop_length, frames)
        for group, kernel in zip(groups, kernels, strict=True)
    ]


def _convolve(x: Tensor, kernel: Tensor, group: Group, before: list[int], hop_length: int, count: int) -> Tensor:
    """Returns filter outputs ``[R, 2 * bins, count]``."""
    period, step = group.period, 2**group.level
    each = -(-count // period)
    stride = period * hop_length // step
    made = []
    for j in range(period):
        start = before[group.level] + j * hop_length // step + group.low
        size = (each - 1) * stride + group.width
        piece = torch.nn.functional.pad(x[:, start : start + size], (0, max(start + size - x.shape[1], 0)))
        made.append(torch.nn.functional.conv1d(piece.unsqueeze(1), kernel[j].unsqueeze(1), stride=stride))
    return made[0] if period == 1 else torch.stack(made, -1).flatten(-2)[..., :count]


def map_chunks(
    x: Tensor,
    lengths: Tensor | None,
    kernels: list[Tensor],
    groups: Sequence[Group],
    filters: Tensor,
    *,
    hop_length: int,
    pad_mode: str,
    output: str,
) -> Tensor:
    """Returns the spectrum ``[..., n_bins, N]`` in the form asked for, on a CPU: each item's own frames, in chunks.

    The arguments are those of `transform`, x may also be int16, and ``lengths`` are on the host.
    """
    size, bins, kind = x.shape[-1], groups[-1].last, filters.dtype
    total = frame_count(size, 1, hop_length, True)
    channels = x.shape[1] if x.dim() == 3 else 1
    waves = x.reshape(x.shape[0] * channels, size)
    sizes = [size] * waves.shape[0] if lengths is None else lengths.repeat_interleave(channels).tolist()
    out = x.new_empty((*x.shape[:-1], bins, total), dtype=kind.to_complex() if output == "complex" else kind)
    outs = out.view(waves.shape[0], bins, total)
    before, after = margins(groups)
    spare = after[0] + 8 * ROW
    period = max(group.period for group in groups)
    chunk = -(-max(CHUNK // hop_length, 1) // period) * period
    ends = [frame_count(n, 1, hop_length, True) for n in sizes]
    jobs = [(row, first) for row, end in enumerate(ends) for first in range(0, end, chunk)]
    silence = torch.zeros(max(before[0], spare), dtype=kind, device="cpu")
    starts = [before[level] - 2 * before[level + 1] - TAPS for level in range(len(before) - 1)]
    lows = [before[group.level] + group.low for group in groups]
    by_level = [group.level for group in groups]

    def job(number: int) -> None:
        row, first = jobs[number]
        count = min(chunk, ends[row] - first)
        begin, span = first * hop_length - before[0], (count - 1) * hop_length
        rows, room = _room(span, starts, before, after)
        own, n = waves[row : row + 1], sizes[row]
        stop = min(begin + room[0], n + spare)
        head = tail = silence
        if pad_mode != "constant" and (begin < 0 or stop > n):
            # Made here, not for all items at once: torch would share that out, and its threads linger.
            heads, tails = edges(own, [n], before[0], spare, pad_mode, kind)
            head, tail = heads[0], tails[0]
        wave = STRETCH(own[0, :n], begin, stop, head, tail)
        target = outs[row, :, first : first + count]
        BINS(wave, kernels, filters, starts, rows, room[1:], by_level, lows, hop_length, VALUES, output, target)

    for row, end in enumerate(ends):
        outs[row, :, end:] = 0
    threads.each(job, len(jobs), sum(ends) * hop_length)
    return out


def _room(span: int, starts: list[int], before: list[int], after: list[int]) -> tuple[list[int], list[int]]:
    """Returns rows of each halving, and samples at each level that it and the next halving need."""
    sizes = [before[level] + (span >> level) + after[level] + 1 for level in range(len(before))]
    rows = [-(-size // ROW) for size in sizes[1:]]
    for level, (start, count) in enumerate(zip(starts, rows, strict=True)):
        sizes[level] = max(sizes[level], start + (count + 2) * 2 * ROW)
        if level:
            sizes[level] = max(sizes[level], rows[level - 1] * ROW)
    if rows:
        sizes[-1] = rows[-1] * ROW
    return rows, sizes
