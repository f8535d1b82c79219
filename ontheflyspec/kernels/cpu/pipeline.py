"""Features of frames on a CPU: each item's own frames, in blocks that stay in the cache, written once.

Signals are cut into windowed frames, of which come spectra, filter outputs and their logarithms.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.functional.decibels import decibels, log
from ontheflyspec.functional.filterbanks import FilterBlock, filtered
from ontheflyspec.functional.stft import raise_power
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.cpu.frames import (
    between_bins,
    cut_frames,
    deal_frames,
    filter_products,
    filter_spans,
    power_spectra,
    to_logarithms,
)
from ontheflyspec.pipeline import Block, Filters, Pipeline, frame_features

TILE = 64
"""Rows of spectra are rounded up to multiples of this: tiny products take other ways through a library."""
BLOCK = 1 << 19
"""Samples of windowed frames in one block, 2 MiB in float32: smaller blocks lose more to the plan that every FFT call
makes than they win from the cache."""
GROUP = 1 << 17
"""Samples of windowed frames that short clips are put together to at least: every call waits for the interpreter."""
COST = 6.0
"""A sample of a frame in values copied."""

Span = tuple[int, int, int]
"""A row, its first frame in a block, and how many frames are."""


def most_frames(n_fft: int) -> int:
    """Returns the most frames of one block."""
    return min(max(BLOCK // n_fft, 16), 2048)


def single_channels(x: Tensor, lengths: Tensor | None, axes: int = 1) -> tuple[Tensor, list[int]]:
    """Returns all channels of all items in a row, ``[R, ..., N]`` with so many axes after R, and the steps of each."""
    rows, sizes = x.flatten(0, -1 - axes), [x.shape[-1]] * x.shape[0] if lengths is None else lengths.tolist()
    channels = math.prod(x.shape[1:-axes])
    return rows, sizes if channels == 1 else [size for size in sizes for _ in range(channels)]


def frame_spans(ends: Sequence[int], most: int) -> list[Span]:
    """Returns which row, from which step on, and how many steps, for all rows in spans of at most so many steps."""
    return [(row, first, min(most, end - first)) for row, end in enumerate(ends) for first in range(0, end, most)]


def sources(frames: Tensor, pipelines: Sequence[Pipeline]) -> list[Tensor]:
    """Returns the source of each pipeline for windowed frames ``[n, n_fft]``: rows of which the first n count.

    The source is power ``[m, bins]`` for power and magnitudes, complex spectra for others; spectra of twice the frame
    where there are frequencies between the bins; or the frames themselves.
    """
    if pipelines[0].source == "frames":
        return [frames]
    (n, n_fft), kinds = frames.shape, [_kind(pipeline) for pipeline in pipelines]
    rows = -(-n // TILE) * TILE
    if set(kinds) == {"power"}:
        return [power_spectra(frames, rows)] * len(pipelines)
    made: dict[str, Tensor] = {}
    if "between" in kinds:
        made["between"] = torch.fft.rfft(pad(frames, (0, n_fft, 0, rows - n)))
    made["bins"] = made["between"][:, ::2] if "between" in kinds else torch.fft.rfft(frames)
    if "power" in kinds:
        squares = torch.view_as_real(made["bins"]).square()
        made["power"] = pad(squares[..., 0] + squares[..., 1], (0, 0, 0, rows - len(squares)))
    return [made[kind] for kind in kinds]


def _kind(pipeline: Pipeline) -> str:
    if pipeline.between is not None:
        return "between"
    return "power" if pipeline.source in ("power", "magnitude") else "bins"


def present(source: Tensor, n: int, pipeline: Pipeline) -> Tensor:
    """Returns the first n rows of a source in the form that a pipeline asks for, ``[bins, n]``."""
    output, rows = pipeline.source, source[:n]
    if pipeline.between is not None:
        values = between_bins(torch.view_as_real(source).flatten(1), pipeline.between)[:n]
        if output in ("power", "magnitude"):
            values.mul_(values)
            rows = values[:, 0::2] + values[:, 1::2]
        else:
            rows = torch.view_as_complex(values.view(n, -1, 2))
    if output == "magnitude":
        rows = rows.sqrt()
    return (rows.angle() if output == "phase" else rows).t()


@filtered.kernel("block")
def filtered_block(*, weights: Tensor, bands: list[FilterBlock], exponent: float) -> Block:
    """Returns filter outputs of rows of power."""

    def compute(power: Tensor, n: int) -> Tensor:
        return filter_products(power if exponent == 2 else raise_power(power, exponent), weights, bands, n)

    def invariant() -> bool:
        key = (tuple(bands), *weights.shape, weights.dtype, torch.get_num_threads())
        return exponent in (1, 2) and _places_agree(*key)

    return Block(compute, True, invariant, (weights, bands, []) if exponent == 2 else None)


@decibels.kernel("block")
def decibels_block(*, stype: str, ref: float | str, amin: float, top_db: float | None) -> Block | None:
    """Returns decibels of each value, None where an item's maximum counts."""
    if isinstance(ref, str) or top_db is not None:
        return None
    factor = 10.0 if stype == "power" else 20.0
    return _logarithms([amin, factor, factor * math.log10(max(ref, amin))])


@log.kernel("block")
def log_block(*, floor: float) -> Block:
    """Returns logarithms of each value."""
    return _logarithms([floor])


def _logarithms(scale: list[float]) -> Block:
    return Block(lambda x: to_logarithms(x, scale), scale=scale)


@frame_features.kernel("cpu")
def features_in_blocks(
    data: Tensor, lengths: Tensor | None, valid: Tensor | None, pipelines: Sequence[Pipeline]
) -> list[tuple[Tensor, int]]:
    """Returns features of every windowed frame after all nodes for which blocks of frames are enough."""
    framing, taper = pipelines[0].framing, pipelines[0].taper
    if framing is None or taper is None:  # a convolution
        return frame_features.reference(data, lengths, valid, pipelines)
    parts = [_Part(pipeline, taper) for pipeline in pipelines]
    if any(part.pipeline.source == "frames" and not part.blocks for part in parts):  # all frames at once
        return frame_features.reference(data, lengths, valid, pipelines)
    waves, sizes = single_channels(data, lengths)
    n_fft, count = framing.n_fft, framing.count(data.shape[-1])
    ends = [count] * len(sizes) if valid is None else valid.repeat_interleave(len(sizes) // len(valid)).tolist()
    made = [taper.new_empty((*data.shape[:-1], part.n_features, count), dtype=part.dtype) for part in parts]
    outs = [out.flatten(0, -3) for out in made]
    hop, before, reflect = framing.hop_length, framing.before, framing.pad_mode == "reflect"
    several = len(ends) > 1 or count > most_frames(n_fft)
    together = several and all(part.invariant(n_fft) for part in parts)
    groups = _groups(tuple(ends), most_frames(n_fft), GROUP // n_fft, together, torch.get_num_threads())

    bank = parts[0].bank if len(parts) == 1 else None

    def job(number: int) -> None:
        if bank is not None:
            filter_spans(waves, sizes, taper, hop, before, reflect, groups[number], *bank, TILE, outs[0], ends)
            return
        frames = cut_frames(waves, sizes, taper, hop, before, reflect, groups[number])
        for part, source, out in zip(parts, sources(frames, pipelines), outs, strict=True):
            deal_frames(part.features(source, frames.shape[0], len(parts) > 1), out, ends, groups[number])

    for out in outs if 0 in ends else ():
        out[[row for row, end in enumerate(ends) if end == 0]] = 0
    threads.each(job, len(groups), COST * sum(ends) * n_fft)
    return [(out, len(part.blocks)) for out, part in zip(made, parts, strict=True)]


@functools.lru_cache(maxsize=64)
def _groups(ends: tuple[int, ...], block: int, least: int, together: bool, n_threads: int) -> list[list[Span]]:
    """Returns the spans of all rows, up to a ``block`` of frames ``together`` where neighbours may share it.

    Large groups come first, smaller ones towards the end, so that all threads have work to the end.
    """
    spans, most = frame_spans(ends, block), block if together else 0
    groups = threads.grouped([n for *_, n in spans], lambda left: min(max(left // (2 * n_threads), least), most))
    return [spans[one] for one in groups]


class _Part:
    """A pipeline with the blocks that its first nodes have, and the number and type of the features these give."""

    def __init__(self, pipeline: Pipeline, taper: Tensor) -> None:
        self.pipeline, self.blocks = pipeline, list[Block]()
        self.bank: Filters | None = None  # filters over power and their logarithms, if the blocks are no more
        self.dtype = taper.dtype.to_complex() if pipeline.source == "complex" else taper.dtype
        self.n_features = taper.shape[0] // 2 + 1
        if pipeline.between is not None:
            self.n_features = sum(block.shape[1] for block, _ in pipeline.between) // 2
        for node in pipeline.nodes:
            if (block := node.block()) is None:
                break
            if not self.blocks:
                self.bank = None if pipeline.between is not None else block.filters
            elif self.bank is not None:
                self.bank = None if block.scale is None or self.bank[2] else (*self.bank[:2], block.scale)
            self.blocks.append(block)
            if node.like is not None:
                self.n_features, self.dtype = node.like.shape[0], node.like.dtype

    def invariant(self, n_fft: int) -> bool:
        """Returns whether features of a frame keep their bits whatever frames stand beside it."""
        between = self.pipeline.between
        if self.pipeline.source == "phase" or (between is not None and not _bins_agree(between, n_fft)):
            return False
        return all(block.invariant() for block in self.blocks)

    def features(self, source: Tensor, n: int, shared: bool) -> Tensor:
        """Runs the nodes on the source of n frames, ``[F, n]``; a shared source stays as it is."""
        rest = iter(self.blocks)
        if self.blocks and self.blocks[0].reads_rows:
            features = next(rest).compute(source, n)
        else:
            features = present(source, n, self.pipeline)
            features = features.clone() if shared and self.blocks else features
        for block in rest:
            features = block.compute(features)
        return features


@functools.lru_cache(maxsize=256)
def _places_agree(bands: tuple[FilterBlock, ...], filters: int, bins: int, dtype: torch.dtype, _: int) -> bool:
    """Returns whether `filter_products` have the same bits in any row, in whole tiles of them, by so many threads.

    No library promises it, but most add up the bins of any row in one order; tried on this machine, once.
    """
    weights, rows = numbers(filters, bins, dtype), most_frames(max(2 * (bins - 1), 1))
    return rows_agree(lambda energy: filter_products(energy, weights, list(bands), len(energy)).t(), bins, rows, dtype)


def numbers(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Returns some positive numbers ``[rows, columns]``."""
    return torch.arange(rows * columns, dtype=dtype, device="cpu").sin().abs().reshape(rows, columns)


def rows_agree(compute: Callable[[Tensor], Tensor], columns: int, rows: int, dtype: torch.dtype) -> bool:
    """Returns whether ``compute`` gives equal rows equal bits, in any place of up to ``rows`` in whole tiles."""
    row = numbers(1, columns, dtype)
    agree: list[bool] = []

    def task(_: int) -> None:
        first = compute(row.expand(TILE, columns).contiguous())[:1]
        for size in range(TILE, rows + TILE, TILE):
            agree.append(bool((compute(row.expand(size, columns).contiguous()) == first).all()))

    threads.each(task, 1, threads.SHARE)
    return all(agree)


def _bins_agree(runs: list[tuple[Tensor, int]], n_fft: int) -> bool:
    """Returns whether `between_bins` have the same bits in any row."""
    shapes = tuple((*block.shape, low) for block, low in runs)
    return _between_agrees(shapes, 2 * n_fft + 2, most_frames(n_fft), runs[0][0].dtype, torch.get_num_threads())


@functools.lru_cache(maxsize=256)
def _between_agrees(
    shapes: tuple[tuple[int, int, int], ...], columns: int, rows: int, dtype: torch.dtype, _: int
) -> bool:
    """Returns whether `between_bins` have the same bits in any row, by so many threads."""
    runs = [(numbers(height, width, dtype), low) for height, width, low in shapes]
    return rows_agree(lambda spectra: between_bins(spectra, runs), columns, rows, dtype)
