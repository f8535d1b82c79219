"""Features of frames on a CPU: each item's own frames, in blocks that stay in the cache, written once."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from collections.abc import Sequence
from typing import List, Tuple

import torch
from torch import Tensor

from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.cpu import spectra
from ontheflyspec.kernels.cpu.products import most_frames
from ontheflyspec.kernels.cpu.signals import alone, extended, frame_spans
from ontheflyspec.kernels.rows import grouped
from ontheflyspec.pipeline import Block, Pipeline, frame_features

GROUP = 1 << 17
"""Samples of windowed frames that short clips are put together to at least: every call waits for the interpreter."""
COST = 12.0
"""A sample of a frame in values copied."""


@compiled(extended)
def cut_frames(
    waves: Tensor,
    sizes: List[int],
    window: Tensor,
    hop_length: int,
    before: int,
    reflect: bool,
    spans: List[Tuple[int, int, int]],
) -> Tensor:
    """Returns windowed frames ``[n, n_fft]`` of several spans of signals, in a row.

    Args:
        waves: ``[R, T]``.
        sizes: samples of each of them.
        window: ``[n_fft]``.
        hop_length: samples between frames.
        before: samples of the first frame before the signal.
        reflect: see `extended`.
        spans: which signal each span is of, its first frame, and how many it has.
    """
    n_fft, total, place = window.size(0), 0, 0
    for _, _, count in spans:
        total += count
    frames = window.new_empty([total, n_fft])
    for row, first, count in spans:
        start = first * hop_length - before
        signal = extended(waves[row][: sizes[row]], start, start + (count - 1) * hop_length + n_fft, reflect, window)
        torch.mul(signal.unfold(0, n_fft, hop_length), window, out=frames.narrow(0, place, count))
        place += count
    return frames


@compiled()
def deal_frames(features: Tensor, out: Tensor, ends: List[int], spans: List[Tuple[int, int, int]]) -> None:
    """Puts features ``[F, n]`` of several spans where they belong, and 0 past the end of each signal.

    Args:
        features: of the spans in a row.
        out: ``[R, F, N]``.
        ends: frames of each signal.
        spans: as in `cut_frames`.
    """
    place = 0
    for row, first, count in spans:
        out[row, :, first : first + count] = features[:, place : place + count]
        if first + count == ends[row]:
            out[row, :, ends[row] :] = 0
        place += count


@frame_features.kernel("cpu")
def features_in_blocks(data: Tensor, lengths: Tensor | None, pipelines: Sequence[Pipeline]) -> list[tuple[Tensor, int]]:
    """Returns features of every windowed frame after all nodes for which blocks of frames are enough."""
    framing, taper = pipelines[0].framing, pipelines[0].taper
    parts = [_Part(pipeline) for pipeline in pipelines]
    whole = any(part.pipeline.source == "frames" and not part.blocks for part in parts)
    if framing is None or taper is None or whole:  # a convolution, or all frames at once
        return frame_features.reference(data, lengths, pipelines)
    waves, sizes = alone(data, lengths)
    ends, block = [framing.count(n) for n in sizes], most_frames(framing.n_fft)
    likes = [part.like(taper) for part in parts]
    made = [like.new_empty((*data.shape[:-1], like.shape[0], framing.count(data.shape[-1]))) for like in likes]
    outs = [out.view(len(waves), *out.shape[-2:]) for out in made]
    before, reflect, spans = framing.before, framing.pad_mode == "reflect", frame_spans(ends, block)
    # Large groups first, smaller ones towards the end, so that all threads have work to the end.
    share, least = 2 * torch.get_num_threads(), GROUP // framing.n_fft
    most = block if all(part.invariant() for part in parts) else 0
    counts = [count for *_, count in spans]
    groups = [spans[one] for one in grouped(counts, lambda left: min(max(left // share, least), most))]

    def job(number: int) -> None:
        frames = cut_frames(waves, sizes, taper, framing.hop_length, before, reflect, groups[number])
        for part, source, out in zip(parts, spectra.sources(frames, pipelines), outs, strict=True):
            deal_frames(part.features(source, frames.shape[0], len(parts) > 1), out, ends, groups[number])

    empty = [row for row, end in enumerate(ends) if end == 0]
    for out in outs:
        out[empty] = 0
    threads.each(job, len(groups), COST * sum(ends) * framing.n_fft)
    return [(out, len(part.blocks)) for out, part in zip(made, parts, strict=True)]


class _Part:
    """What is done of one pipeline in blocks: its first nodes that have a form for them."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline, self.blocks = pipeline, list[Block]()
        for node in pipeline.nodes:
            if (block := node.block()) is None:
                break
            self.blocks.append(block)

    def like(self, taper: Tensor) -> Tensor:
        """Returns ``[F]``, for type and number of the features, for frames under such a window."""
        known = [node.like for node in self.pipeline.nodes[: len(self.blocks)] if node.like is not None]
        return known[-1] if known else spectra.like(self.pipeline, taper)

    def invariant(self) -> bool:
        """Returns whether features of a frame keep their bits whatever frames stand beside it."""
        return spectra.invariant(self.pipeline) and all(block.invariant() for block in self.blocks)

    def features(self, source: Tensor, n: int, shared: bool) -> Tensor:
        """Returns what the nodes make of the source of n frames, ``[F, n]``; they leave a shared one as it is."""
        rest = iter(self.blocks)
        if self.blocks and self.blocks[0].reads_rows:
            features = next(rest).compute(source, n)
        else:
            features = spectra.present(source, n, self.pipeline)
            features = features.clone() if shared and self.blocks else features
        for block in rest:
            features = block.compute(features)
        return features
