"""Waves from spectra: windowed frames added where they overlap, over the sum of the squared windows there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec import threads
from ontheflyspec.functional import blocks
from ontheflyspec.functional.framing import cut

FLOOR = 1e-10
"""Share of the largest sum of squared windows below which a sample is not known from its frames, and becomes 0."""


def sample_count(frames: Any, n_fft: int, hop_length: int, center: bool) -> Any:
    """Returns samples between the first and the last known one for frames, an int for an int, a tensor for a tensor.

    ``(n - 1) * hop_length`` if ``center``, else ``n_fft + (n - 1) * hop_length``; 0 for 0 frames.
    """
    extra = 0 if center else n_fft
    if isinstance(frames, Tensor):
        return ((frames - 1) * hop_length + extra) * (frames > 0)
    return (frames - 1) * hop_length + extra if frames > 0 else 0


def window_sums(window: Tensor, hop_length: int) -> Tensor:
    """Returns sums of squares of the window's parts a to b, ``hop_length`` samples each, ``[parts, parts, hop]``."""
    parts = -(-window.shape[0] // hop_length)
    squares = pad(window.square(), (0, parts * hop_length - window.shape[0])).view(parts, -1)
    sums = squares.new_zeros(parts, parts, hop_length)
    for first in range(parts):
        sums[first, first:] = squares[first:].cumsum(0)
    return sums


def inverse_sums(window: Tensor, hop_length: int) -> Tensor:
    """Returns 1 over `window_sums`, 0 where they hardly are above 0, ``[parts * parts, hop]``."""
    sums = window_sums(window, hop_length)
    known = sums > FLOOR * sums[0, -1].max()
    return torch.where(known, 1 / torch.where(known, sums, 1), 0).flatten(0, 1)


def waves(
    spectra: Tensor,
    lengths: Tensor | None,
    sizes: Tensor | None,
    size: int,
    window: Tensor,
    inverse: Tensor,
    *,
    hop_length: int,
    center: bool,
) -> Tensor:
    """Returns the signals whose frames come closest to the spectra, each from its own frames alone.

    Args:
        spectra: complex ``[B, F, N]`` or ``[B, C, F, N]``.
        lengths: frames of each item, int64 ``[B]`` on any device, None if all items are full.
        sizes: samples of each item, likewise; None for ``size``.
        size: samples of the result.
        window: ``[n_fft]``.
        inverse: from `inverse_sums`.
        hop_length: samples between frames.
        center: whether the first frame has its centre at sample 0.

    Shape: ``[B, size]`` or ``[B, C, size]``, 0 past each item's samples.
    """
    left = window.shape[0] // 2 if center else 0
    if blocks.applicable(spectra, *(x for x in (lengths, sizes) if x is not None)):
        return _by_items(spectra, lengths, sizes, size, window, inverse, hop_length, left)
    if lengths is not None:
        spectra = cut(spectra, lengths)
    if spectra.shape[-1] == 0:
        spectra = pad(spectra, (0, 1))
    n_fft, count = window.shape[0], spectra.shape[-1]
    parts = -(-n_fft // hop_length)
    frames = torch.fft.irfft(spectra.transpose(-1, -2), n=n_fft) * window
    frames = pad(frames, (0, parts * hop_length - n_fft))
    added = frames.new_zeros(())
    for part, piece in enumerate(torch.split(frames, hop_length, -1)):
        added = added + pad(piece, (0, 0, part, parts - 1 - part))
    device = spectra.device
    n = torch.full((1,), count, device=device) if lengths is None else lengths.to(device, non_blocking=True)
    scale = inverse[_overlaps(n.unsqueeze(-1), count + parts - 1, parts)]
    if spectra.dim() == 4:
        scale = scale.unsqueeze(1)
    out = (added * scale).flatten(-2)[..., left : left + size]
    out = pad(out, (0, size - out.shape[-1]))
    return out if sizes is None else cut(out, sizes)


def _overlaps(n: Tensor, segments: int, parts: int) -> Tensor:
    """Returns rows of `inverse_sums` for each stretch of ``hop_length`` samples, ``[..., segments]``, for n frames."""
    steps = torch.arange(segments, device=n.device)
    last = steps.clamp(max=parts - 1)
    first = (steps - n + 1).clamp(min=0, max=parts - 1)
    return first * parts + torch.maximum(first, last)


def _by_items(
    spectra: Tensor,
    lengths: Tensor | None,
    sizes: Tensor | None,
    size: int,
    window: Tensor,
    inverse: Tensor,
    hop_length: int,
    left: int,
) -> Tensor:
    """Returns the same, item by item in blocks of frames that stay in the cache."""
    n_fft, count = window.shape[0], spectra.shape[-1]
    parts, block = -(-n_fft // hop_length), blocks.rows(n_fft)
    rows = spectra if spectra.dim() == 3 else spectra.flatten(0, 1)
    channels = rows.shape[0] // max(spectra.shape[0], 1)
    counts = [count] * rows.shape[0] if lengths is None else lengths.repeat_interleave(channels).tolist()
    ends = [size] * rows.shape[0] if sizes is None else sizes.repeat_interleave(channels).tolist()
    out = window.new_zeros(rows.shape[0], size)

    def job(row: int) -> None:
        n = counts[row]
        if n == 0:
            return
        added = window.new_zeros(n + parts - 1, hop_length)
        for first in range(0, n, block):
            piece = rows[row, :, first : min(first + block, n)].t().contiguous()
            frames = torch.fft.irfft(piece, n=n_fft).mul_(window)
            for part in range(parts):
                columns = frames[:, part * hop_length : (part + 1) * hop_length]
                added[first + part : first + part + len(columns), : columns.shape[1]] += columns
        added *= inverse[_overlaps(torch.tensor(n, device=window.device), n + parts - 1, parts)]
        made = added.view(-1)[left : left + ends[row]]
        out[row, : made.shape[0]] = made

    threads.each(job, rows.shape[0], sum(counts) * n_fft)
    return out.view(*spectra.shape[:-2], size)
