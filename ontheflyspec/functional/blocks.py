"""The fast way on a CPU: each item's own valid steps, in blocks that stay in the cache, written once.

Results are bitwise the same alone and in a batch: an item's frames fall into the same blocks, whatever depends on the
shape or place of its operands sees the item alone, and several items share a block only where nothing does.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ontheflyspec import threads
from ontheflyspec.functional import programs
from ontheflyspec.functional.framing import edges, frame_count
from ontheflyspec.functional.programs import fast

BLOCK = 1 << 19
"""Samples of windowed frames in one block, 2 MiB in float32: smaller blocks lose more to the plan that every FFT call
makes than they win from the cache."""
GROUP = 1 << 17
"""Samples of windowed frames that short clips are put together to at least: every call waits for the interpreter."""
SMALL = 1 << 15
"""Values that short items are put together to; torch shares out no operation on so few among its threads."""

CUT, DEAL, KEEP = fast(programs.cut_frames), fast(programs.deal_frames), fast(programs.keep_rows)

_THREAD = threading.local()


def applicable(*tensors: Tensor) -> bool:
    """Returns whether nothing asks for gradients, tracing or another device, so that buffers may be reused."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() or torch._C._are_functorch_transforms_active():
        return False
    if forward_ad._current_level >= 0:
        return False
    plain = all(type(x) in (Tensor, torch.nn.Parameter) and x.device.type == "cpu" for x in tensors)
    fast_way = plain and not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))
    later: _Later | None = getattr(_THREAD, "later", None)
    if later is not None and not fast_way:
        later.flush()  # who goes another way reads what came before
    return fast_way


def rows(n_fft: int) -> int:
    """Returns the most frames of one block."""
    return min(max(BLOCK // n_fft, 16), 2048)


def map_frames(
    x: Tensor,
    lengths: Tensor | None,
    compute: Callable[[Tensor], Tensor],
    *,
    together: bool,
    like: Tensor,
    window: Tensor,
    hop_length: int,
    center: bool,
    pad_mode: str,
    after: Sequence[Callable[[Tensor], object]] = (),
) -> Tensor:
    """Returns features of every windowed frame, 0 past each item's own frames.

    Args:
        x: signals ``[B, T]`` or ``[B, C, T]``, float or int16.
        lengths: int64 ``[B]`` on the host, None if all items are full.
        compute: makes features ``[F, n]`` of windowed frames ``[n, n_fft]``.
        together: whether ``compute`` gives a frame the same bits whatever frames stand beside it, so that several
            items may share a block.
        like: ``[F]``, for the type and number of features.
        window: ``[n_fft]``.
        hop_length: samples between frames.
        center: whether frame t has its centre at ``t * hop_length``.
        pad_mode: how a signal goes on beyond its ends.
        after: further steps, which overwrite features ``[F, n]``, each value by itself and its band alone.

    Shape: ``[B, F, N]`` or ``[B, C, F, N]``.
    """

    def made(frames: Tensor) -> list[Tensor]:
        features = compute(frames)
        for step in after:
            step(features)
        return [features]

    framing: dict[str, Any] = {"hop_length": hop_length, "center": center, "pad_mode": pad_mode}
    return map_all(x, lengths, made, together=together, likes=[like], window=window, **framing)[0]


def map_all(
    x: Tensor,
    lengths: Tensor | None,
    compute: Callable[[Tensor], list[Tensor]],
    *,
    together: bool,
    likes: list[Tensor],
    window: Tensor,
    hop_length: int,
    center: bool,
    pad_mode: str,
) -> list[Tensor]:
    """Returns several kinds of features of every windowed frame; see `map_frames`."""
    n_fft, size = window.shape[0], x.shape[-1]
    left = n_fft // 2 if center else 0
    total = frame_count(size, n_fft, hop_length, center)
    made = [like.new_empty((*x.shape[:-1], like.shape[0], total)) for like in likes]
    channels = x.shape[1] if x.dim() == 3 else 1
    waves = x.reshape(x.shape[0] * channels, size)
    outs = [out.view(waves.shape[0], *out.shape[-2:]) for out in made]
    sizes = [size] * waves.shape[0] if lengths is None else lengths.repeat_interleave(channels).tolist()
    ends = [frame_count(n, n_fft, hop_length, center) for n in sizes]
    heads, tails = edges(waves, sizes, left, n_fft - left if center else 0, pad_mode, window.dtype)
    pieces = _pieces(ends, rows(n_fft))
    # Large groups first, smaller ones towards the end, so that all threads have work to the end.
    share, least, most = 2 * torch.get_num_threads(), GROUP // n_fft, rows(n_fft) if together else 0
    costs = [m for *_, m in pieces]
    groups = [pieces[one] for one in _grouped(costs, lambda remaining: min(max(remaining // share, least), most))]

    def job(number: int) -> None:
        which, firsts, counts = (list(column) for column in zip(*groups[number], strict=True))
        parts = compute(CUT(waves, sizes, heads, tails, window, hop_length, which, firsts, counts))
        for features, out in zip(parts, outs, strict=True):
            DEAL(features, out, ends, which, firsts, counts)

    if 0 in ends:
        for out in outs:
            out[[row for row, end in enumerate(ends) if end == 0]] = 0
    threads.each(job, len(groups), sum(ends) * n_fft)
    return made


def _pieces(counts: list[int], block: int) -> list[tuple[int, int, int]]:
    """Returns row, first frame and number of frames of each block."""
    return [
        (row, first, min(block, count - first)) for row, count in enumerate(counts) for first in range(0, count, block)
    ]


def map_items(
    x: Tensor,
    lengths: Tensor | None,
    compute: Callable[[Tensor, Tensor | None, slice], Tensor],
    like: Tensor | None = None,
) -> Tensor:
    """Returns ``compute`` of each item's valid part, 0 past it.

    Args:
        x: ``[B, ..., N]``.
        lengths: int64 ``[B]`` on the host, None if all items are full.
        compute: takes contiguous ``[b, ..., n]``, lengths ``[b]`` or None for one full item, and which items they
            are; returns the same shape, with 0 past the lengths and the same bits for an item in either form.
        like: ``[F]``, for the type and number of features if what ``compute`` returns has others (axis -2).
    """
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    if like is not None:
        out = like.new_empty(*x.shape[:-2], like.shape[0], x.shape[-1])
    sizes = [x.shape[-1]] * x.shape[0] if lengths is None else lengths.tolist()
    width = math.prod(x.shape[1:-1])
    groups = _grouped([n * width for n in sizes], lambda _: SMALL)
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


def map_rows(
    data: Tensor,
    lengths: Tensor,
    active: Tensor | None,
    write: Callable[[Tensor, list[int]], object],
    *,
    ends: Tensor | None = None,
    size: int | None = None,
    cost: int = 1,
) -> Tensor:
    """Returns a batch that is written item by item, 0 past each end; within `row_by_row` it is written later.

    Args:
        data: ``[B, ..., T]``.
        lengths: int64 ``[B]`` on the host.
        active: bool ``[B]`` on the host, which items are written; others keep their valid part bit for bit. None for
            all.
        write: takes the result and which of its items to write, up to their ends; never one of length 0.
        ends: steps of each item if it is written, int64 ``[B]`` on the host, at least 1 if it has a length; None for as
            many as before.
        size: steps of the result, None for as many as before.
        cost: how much more is done for a value than to copy it.
    """
    width = data.shape[-1] if size is None else size
    later: _Later | None = getattr(_THREAD, "later", None)
    out = data.new_empty(*data.shape[:-1], width) if later is None else later.room(data, width)
    sizes = lengths.tolist()
    wanted = [True] * len(sizes) if active is None else active.tolist()
    chosen = [on and n > 0 for on, n in zip(wanted, sizes, strict=True)]
    news = sizes if ends is None else ends.tolist()
    stops = [new if on else n for on, n, new in zip(chosen, sizes, news, strict=True)]
    groups = _grouped(sizes, lambda remaining: remaining // (2 * torch.get_num_threads()))

    def job(number: int) -> None:
        rows = range(len(sizes))[groups[number]]
        kept = [row for row in rows if not chosen[row]]
        padded = [row for row in rows if stops[row] < width]
        if kept or padded:
            KEEP(out, data, sizes, stops, kept, padded)
        if len(kept) < len(rows):
            write(out, [row for row in rows if chosen[row]])

    task = _Task(job, groups, cost * data.numel())
    if later is None:
        _do([task])
    else:
        later.tasks.append(task)
    return out


class _Task(NamedTuple):
    """What one call of `map_rows` does: a job for each group of items, and their cost."""

    job: Callable[[int], None]
    groups: list[slice]
    cost: int


class _Later:
    """Tasks that were put off, and the results that they take turns to write."""

    def __init__(self) -> None:
        self.tasks: list[_Task] = []
        self.made: list[Tensor] = []

    def room(self, data: Tensor, width: int) -> Tensor:
        """Returns room for a result, where no data of the task that writes it stand."""
        shape = (*data.shape[:-1], width)
        for one in self.made:
            if one.numel() == math.prod(shape) and one.dtype == data.dtype and one.data_ptr() != data.data_ptr():
                return one.view(shape)
        self.made.append(data.new_empty(shape))
        return self.made[-1]

    def flush(self) -> None:
        """Does what was put off so far."""
        tasks, self.tasks = self.tasks, []
        for _, alike in itertools.groupby(tasks, key=lambda task: task.groups):
            _do(list(alike))


@contextlib.contextmanager
def row_by_row() -> Iterator[None]:
    """Puts off what `map_rows` does to the end: then each group of items goes through all of it, on one thread.

    An item stays in the cache, threads meet once, and memory for two results serves all steps: what a step takes is
    gone two steps later. Only what comes last is there, at the end; nothing else may read results.
    """
    before, later = getattr(_THREAD, "later", None), _Later()
    _THREAD.later = later
    try:
        yield
    finally:
        _THREAD.later = before
    later.flush()


def _do(tasks: list[_Task]) -> None:
    """Does tasks with equal groups, group by group."""

    def job(number: int) -> None:
        for task in tasks:
            task.job(number)

    threads.each(job, len(tasks[0].groups), sum(task.cost for task in tasks))


def one_by_one(compute: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor | None, slice], Tensor]:
    """Returns what `map_items` takes, of what computes ``[1, ..., n]`` and depends on the shape of its operands."""

    def each(part: Tensor, own: Tensor | None, _: slice) -> Tensor:
        if own is None:
            return compute(part)
        out = torch.zeros_like(part)
        for row, n in enumerate(own.tolist()):
            if n:
                out[row : row + 1, ..., :n] = compute(part[row : row + 1, ..., :n].contiguous())
        return out

    return each


def _grouped(costs: list[int], most: Callable[[int], int]) -> list[slice]:
    """Returns neighbours together, as long as their costs stay within ``most`` of all costs that are left."""
    groups: list[slice] = []
    start, held, left = 0, 0, sum(costs)
    for place, cost in enumerate(costs):
        if place > start and held + cost > most(left):
            groups.append(slice(start, place))
            start, held, left = place, 0, left - held
        held += cost
    return [*groups, slice(start, len(costs))] if costs else []
