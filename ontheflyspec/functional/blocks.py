"""The fast way on a CPU: each item's own valid steps, in blocks that stay in the cache, written once.

Results are bitwise the same alone and in a batch: an item's frames fall into the same blocks, whatever depends on the
shape or place of its operands sees the item alone, and only FFTs and exact operations see several short items at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ontheflyspec import threads
from ontheflyspec.functional.framing import edges, frame_count, stretch

T = TypeVar("T")

BLOCK = 1 << 19
"""Samples of windowed frames in one block, 2 MiB in float32: smaller blocks lose more to the plan that every FFT call
makes than they win from the cache."""
GROUP = 1 << 17
"""Samples of windowed frames that short clips are put together to, for one FFT call."""
SMALL = 1 << 15
"""Values that short items are put together to; torch shares out no operation on so few among its threads."""


def applicable(*tensors: Tensor) -> bool:
    """Returns whether nothing asks for gradients, tracing or another device, so that buffers may be reused."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() or torch._C._are_functorch_transforms_active():
        return False
    if forward_ad._current_level >= 0:
        return False
    plain = all(type(x) in (Tensor, torch.nn.Parameter) and x.device.type == "cpu" for x in tensors)
    return plain and not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))


def map_frames(
    x: Tensor,
    lengths: Tensor | None,
    analyse: Callable[[Tensor], Tensor],
    finish: Callable[[Tensor], Tensor],
    *,
    like: Tensor,
    window: Tensor,
    hop_length: int,
    center: bool,
    pad_mode: str,
    after: Sequence[Callable[[Tensor], Tensor]] = (),
) -> Tensor:
    """Returns features of every windowed frame, 0 past each item's own frames.

    Args:
        x: signals ``[B, T]`` or ``[B, C, T]``, float or int16.
        lengths: int64 ``[B]`` on the host, None if all items are full.
        analyse: makes spectra ``[n, K]`` of frames ``[n, n_fft]``, which may be of several items.
        finish: makes features ``[F, n]`` of spectra ``[n, K]`` of one item, contiguous, which it may overwrite.
        like: ``[F]``, for the type and number of features.
        window: ``[n_fft]``.
        hop_length: samples between frames.
        center: whether frame t has its centre at ``t * hop_length``.
        pad_mode: how a signal goes on beyond its ends.
        after: further steps on what ``finish`` made, which they may overwrite.

    Shape: ``[B, F, N]`` or ``[B, C, F, N]``.
    """
    n_fft, size = window.shape[0], x.shape[-1]
    left = n_fft // 2 if center else 0
    total = frame_count(size, n_fft, hop_length, center)
    out = like.new_empty((*x.shape[:-1], like.shape[0], total))
    channels = x.shape[1] if x.dim() == 3 else 1
    rows = x.reshape(x.shape[0] * channels, size)
    outs = out.view(rows.shape[0], like.shape[0], total)
    sizes = [size] * rows.shape[0] if lengths is None else lengths.repeat_interleave(channels).tolist()
    counts = [frame_count(n, n_fft, hop_length, center) for n in sizes]
    pieces = _pieces(counts, max(BLOCK // n_fft, 16))
    groups = list(_grouped(enumerate(pieces), lambda piece: piece[1][2], GROUP // n_fft))
    # Views are made here, once: every operation in a thread waits for the interpreter.
    signals = [row[:n] for row, n in zip(rows.unbind(), sizes, strict=True)]
    around = edges(rows, torch.tensor(sizes, device="cpu"), left, n_fft - left if center else 0, pad_mode, window.dtype)
    heads, tails = around[0].unbind(), around[1].unbind()
    targets = [outs[row, :, first : first + m] for row, first, m in pieces]
    rests = [outs[row, :, count:] if count < total else None for row, count in enumerate(counts)]

    def job(number: int) -> None:
        group = groups[number]
        ends = list(itertools.accumulate(m for _, (_, _, m) in group))
        frames = window.new_empty(ends[-1], n_fft)
        for (_, (row, first, m)), end in zip(group, ends, strict=True):
            if m:
                start = first * hop_length - left
                stop = start + (m - 1) * hop_length + n_fft
                piece = stretch(signals[row], start, stop, heads[row], tails[row], window.dtype)
                own = frames if m == ends[-1] else frames[end - m : end]
                torch.mul(piece.unfold(0, n_fft, hop_length), window, out=own)
        spectra = analyse(frames) if ends[-1] else frames
        for (place, (row, first, m)), end in zip(group, ends, strict=True):
            if m:
                made = finish(spectra if m == ends[-1] else spectra[end - m : end].clone())
                for step in after:
                    made = step(made)
                targets[place].copy_(made)
            rest = rests[row]
            if rest is not None and first + m == counts[row]:
                rest.zero_()

    threads.each(job, len(groups), sum(m for _, _, m in pieces) * n_fft)
    return out


def _pieces(counts: list[int], block: int) -> list[tuple[int, int, int]]:
    """Returns row, first frame and number of frames of each block; an item without frames is one empty block."""
    return [
        (row, first, min(block, count - first))
        for row, count in enumerate(counts)
        for first in range(0, max(count, 1), block)
    ]


def map_items(x: Tensor, lengths: Tensor | None, compute: Callable[[Tensor, Tensor | None, slice], Tensor]) -> Tensor:
    """Returns ``compute`` of each item's valid part, 0 past it.

    Args:
        x: ``[B, ..., N]``.
        lengths: int64 ``[B]`` on the host, None if all items are full.
        compute: takes contiguous ``[b, ..., n]``, lengths ``[b]`` or None for one full item, and which items they
            are; returns the same shape, with 0 past the lengths and the same bits for an item in either form.
    """
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    sizes = [x.shape[-1]] * x.shape[0] if lengths is None else lengths.tolist()
    width = math.prod(x.shape[1:-1])
    groups = [
        slice(group[0], group[-1] + 1)
        for group in _grouped(range(len(sizes)), lambda place: sizes[place] * width, SMALL)
    ]
    tops = [max(sizes[items]) for items in groups]
    parts = [x[items, ..., :top] for items, top in zip(groups, tops, strict=True)]
    targets = [out[items, ..., :top] for items, top in zip(groups, tops, strict=True)]
    tails = [out[items, ..., top:] for items, top in zip(groups, tops, strict=True)]

    def job(number: int) -> None:
        items = groups[number]
        if tops[number]:
            own = torch.tensor(sizes[items], device="cpu") if items.stop - items.start > 1 else None
            targets[number].copy_(compute(parts[number].contiguous(), own, items))
        if tops[number] < x.shape[-1]:
            tails[number].zero_()

    threads.each(job, len(groups), sum(sizes) * width)
    return out


def _grouped(items: Iterable[T], cost_of: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Yields neighbours together as long as their costs stay within ``most``."""
    group: list[T] = []
    total = 0
    for one in items:
        cost = cost_of(one)
        if group and total + cost > most:
            yield group
            group, total = [], 0
        group.append(one)
        total += cost
    if group:
        yield group
