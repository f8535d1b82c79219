"""Masks in spectrograms on CUDA: one launch, two where masked places get the item's mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional import masks
from ontheflyspec.functional.masks import Fill, Spans
from ontheflyspec.kernels.cuda import launches
from ontheflyspec.kernels.cuda.launches import MOST_SIGNALS, Cost, on_cuda, parts_of

BLOCK = 1024


@on_cuda(masks.mask_spans)
def mask_spans(data: Tensor, lengths: Tensor, *, frames: Spans, bands: Spans, fill: Fill) -> Tensor:
    """Masks frames and bands of float32 spectrograms."""
    if not _handled(data):
        return masks.mask_spans.reference(data, lengths, frames=frames, bands=bands, fill=fill)
    return _masked(data, lengths, frames, bands, fill, holes=False)


@on_cuda(masks.mask_holes)
def mask_holes(data: Tensor, lengths: Tensor, *, frames: Spans, bands: Spans, fill: Fill) -> Tensor:
    """Masks rectangles of float32 spectrograms."""
    if not _handled(data):
        return masks.mask_holes.reference(data, lengths, frames=frames, bands=bands, fill=fill)
    return _masked(data, lengths, frames, bands, fill, holes=True)


def _handled(data: Tensor) -> bool:
    return data.dtype == torch.float32 and data.numel() > 0 and math.prod(data.shape[:-2]) <= MOST_SIGNALS


def _masked(data: Tensor, lengths: Tensor, frames: Spans, bands: Spans, fill: Fill, *, holes: bool) -> Tensor:
    signals, (high, count) = math.prod(data.shape[:-2]), data.shape[-2:]
    given, out = data.contiguous(), torch.empty_like(data, memory_format=torch.contiguous_format)
    span, parts = parts_of(high * count, BLOCK)
    channels, mean = signals // data.shape[0], fill == "mean"
    sums = data.new_empty(signals, parts) if mean else given
    if mean:
        launches.launch(
            "masks", "feature_sums", (parts, signals), Cost(1, data.nbytes + sums.nbytes),
            given, lengths, sums, high, count, channels, span, BLOCK=BLOCK,
        )  # fmt: skip
    spans = [one.contiguous() for one in (*frames, *bands)]
    number = float(fill) if isinstance(fill, (int, float)) else 0.0
    launches.launch(
        "masks", "mask_features", (-(-high * count // BLOCK), signals), Cost(1, 2 * data.nbytes),
        given, lengths, *spans, sums, out, number, high, count, channels, channels * parts,
        WIDE=frames[0].shape[1], HIGH=bands[0].shape[1], PARTS=1 << (channels * parts - 1).bit_length(), MEAN=mean,
        HOLES=holes, BLOCK=BLOCK,
    )  # fmt: skip
    return out
