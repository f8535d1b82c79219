"""Groups of filters on signals that are decimated again and again, at every frame as if on the whole signal."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.functional import octave_programs, programs
from ontheflyspec.functional.constant_q import ROW, TAPS, Group, Plan
from ontheflyspec.functional.framing import edges, extend, frame_count

CHUNK = 1 << 19
"""Samples of a signal that are worked on at once, so that an hour of audio needs no more memory than a minute."""
VALUES = 1 << 20
"""Values of frames that one product takes."""
STRETCH, BINS = programs.fast(programs.stretch), octave_programs.fast(octave_programs.octave_bins)


def decimator(factor: int) -> Tensor:
    """Returns a decimating filter as matrices, float64 ``[3, factor * ROW, ROW]``, for a row and the two after it.

    A Kaiser window on a sinc: flat within 1e-5 up to 0.395 of the new rate, below -100 dB from 0.605 of it on.
    """
    reach = int(TAPS * factor)
    n = torch.arange(-reach, reach + 1, dtype=torch.float64)
    window = torch.kaiser_window(2 * reach + 1, periodic=False, beta=10.06, dtype=torch.float64)
    taps = torch.sinc(n / factor) / factor * window
    place = torch.arange(3 * factor * ROW).unsqueeze(-1) - factor * torch.arange(ROW)
    inside = (place >= 0) & (place <= 2 * reach)
    return (taps[place.clamp(0, 2 * reach)] * inside).reshape(3, factor * ROW, ROW)


def decimate(x: Tensor, start: int, count: int, filters: Tensor) -> Tensor:
    """Returns filtered signals ``[R, n]`` at a lower rate, ``count`` samples of them.

    Args:
        x: signals; what lies beyond their ends is 0.
        start: place of the first sample that the first output needs, at least 0.
        count: outputs.
        filters: of `decimator`.
    """
    rows, width = -(-count // ROW), filters.shape[1]
    size = (rows + 2) * width
    x = torch.nn.functional.pad(x[:, start : start + size], (0, max(start + size - x.shape[1], 0)))
    blocks = x.reshape(x.shape[0], rows + 2, width)
    parts = [torch.matmul(blocks[:, place : place + rows], filters[place]) for place in range(3)]
    out = parts[0] + parts[1] + parts[2]
    return out.flatten(1)[:, :count]


def transform(
    x: Tensor,
    lengths: Tensor | None,
    kernels: list[Tensor],
    plan: Plan,
    filters: list[Tensor],
    *,
    hop_length: int,
    pad_mode: str,
) -> tuple[Tensor, Tensor]:
    """Returns real and imaginary part of all bins, ``[..., n_bins, N]``, as every device and autograd take it.

    Args:
        x: float samples ``[..., T]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        kernels: of each group, ``[period, 2 * bins, width]``.
        plan: which bins run on which signals.
        filters: of `decimator`, for every level but the last.
        hop_length: samples between frames.
        pad_mode: how a signal goes on beyond its ends, ``"reflect"`` or ``"constant"`` (zeros).
    """
    count: int = frame_count(x.shape[-1], 1, hop_length, True)
    if x.shape[-1] == 0:
        x = torch.nn.functional.pad(x, (0, 1))
    signal = extend(x, lengths, plan.before[0], plan.after[0] + 1, pad_mode)
    frames = max(count, 1)
    flat = signal.reshape(-1, signal.shape[-1])
    parts = analyse(flat, kernels, plan, filters, hop_length=hop_length, frames=frames)
    real = torch.cat([part[:, : part.shape[1] // 2] for part in parts], 1)
    imaginary = torch.cat([part[:, part.shape[1] // 2 :] for part in parts], 1)
    shape = (*x.shape[:-1], real.shape[1], frames)
    return real.reshape(shape)[..., :count], imaginary.reshape(shape)[..., :count]


def analyse(
    x: Tensor, kernels: list[Tensor], plan: Plan, filters: list[Tensor], *, hop_length: int, frames: int
) -> list[Tensor]:
    """Returns each group's real parts above its imaginary ones, ``[R, 2 * bins, frames]``.

    Args:
        x: signals ``[R, n]`` from the margin of level 0 on.
        kernels: as in `transform`.
        plan: as in `transform`.
        filters: as in `transform`.
        hop_length: as in `transform`.
        frames: how many.
    """
    signals, sizes = [x], plan.sizes((frames - 1) * hop_length)
    for start, size, taps in zip(plan.starts, sizes[1:], filters, strict=True):
        signals.append(decimate(signals[-1], start, size, taps))
    return [
        _convolve(signals[group.level], kernel, group, plan.before[group.level], hop_length, frames)
        for group, kernel in zip(plan.groups, kernels, strict=True)
    ]


def _convolve(x: Tensor, kernel: Tensor, group: Group, before: int, hop_length: int, count: int) -> Tensor:
    """Returns filter outputs ``[R, 2 * bins, count]``."""
    period = group.period
    each = -(-count // period)
    stride = period * hop_length // group.step
    made = []
    for j in range(period):
        start = before + j * hop_length // group.step + group.low
        size = (each - 1) * stride + group.width
        piece = torch.nn.functional.pad(x[:, start : start + size], (0, max(start + size - x.shape[1], 0)))
        made.append(torch.nn.functional.conv1d(piece.unsqueeze(1), kernel[j].unsqueeze(1), stride=stride))
    return made[0] if period == 1 else torch.stack(made, -1).flatten(-2)[..., :count]


def map_chunks(
    x: Tensor,
    lengths: Tensor | None,
    kernels: list[Tensor],
    plan: Plan,
    filters: list[Tensor],
    *,
    hop_length: int,
    pad_mode: str,
    output: str,
) -> Tensor:
    """Returns the spectrum ``[..., n_bins, N]`` in the form asked for, on a CPU: each item's own frames, in chunks.

    The arguments are those of `transform`, x may also be int16, and ``lengths`` are on the host.
    """
    size, bins, kind = x.shape[-1], plan.groups[-1].last, kernels[0].dtype
    total = frame_count(size, 1, hop_length, True)
    channels = x.shape[1] if x.dim() == 3 else 1
    waves = x.reshape(x.shape[0] * channels, size)
    sizes = [size] * waves.shape[0] if lengths is None else lengths.repeat_interleave(channels).tolist()
    out = x.new_empty((*x.shape[:-1], bins, total), dtype=kind.to_complex() if output == "complex" else kind)
    outs = out.view(waves.shape[0], bins, total)
    ahead = plan.before[0]
    spare = plan.after[0] + 1 + 3 * ROW * max(plan.factors, default=1)
    period = max(group.period for group in plan.groups)
    chunk = -(-max(CHUNK // hop_length, 1) // period) * period
    ends = [frame_count(n, 1, hop_length, True) for n in sizes]
    jobs = [(row, first) for row, end in enumerate(ends) for first in range(0, end, chunk)]
    silence = torch.zeros(max(ahead, spare), dtype=kind, device="cpu")
    lows = [plan.before[group.level] + group.low for group in plan.groups]
    levels = [group.level for group in plan.groups]

    def job(number: int) -> None:
        row, first = jobs[number]
        count = min(chunk, ends[row] - first)
        begin = first * hop_length - ahead
        rows, room = _room(plan, (count - 1) * hop_length)
        own, n = waves[row : row + 1], sizes[row]
        stop = begin + room[0]
        head = tail = silence
        if pad_mode != "constant" and (begin < 0 or stop > n):
            # Made here, not for all items at once: torch would share that out, and its threads linger.
            heads, tails = edges(own, [n], ahead, spare, pad_mode, kind)
            head, tail = heads[0], tails[0]
        wave = STRETCH(own[0, :n], begin, stop, head, tail)
        target = outs[row, :, first : first + count]
        decimation, groups = (plan.starts, rows, room[1:]), (levels, plan.steps, lows)
        BINS(wave, kernels, filters, *decimation, *groups, hop_length, VALUES, output, target)

    for row, end in enumerate(ends):
        outs[row, :, end:] = 0
    threads.each(job, len(jobs), sum(ends) * hop_length)
    return out


def _room(plan: Plan, span: int) -> tuple[list[int], list[int]]:
    """Returns rows of each decimation, and samples at each level that it and the next one need."""
    sizes = plan.sizes(span)
    rows = [-(-size // ROW) for size in sizes[1:]]
    for level, (start, factor, count) in enumerate(zip(plan.starts, plan.factors, rows, strict=True)):
        sizes[level] = max(sizes[level], start + (count + 2) * factor * ROW)
        sizes[level + 1] = count * ROW
    return rows, sizes
