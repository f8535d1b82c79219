"""Convolution with long responses: Fourier transforms of short blocks, of the wave and of the response."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec import threads
from ontheflyspec.batch import per_item
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.framing import cut

_WHOLE = 1024
"""Samples up to which a response stays in one part."""
_LONG = 8192


def convolve(waves: Tensor, responses: Tensor, first: int, size: int) -> Tensor:
    """Returns samples ``first`` to ``first + size`` of full convolutions.

    The response is cut into parts, the wave into blocks; each is transformed once. Fourier transforms of some thousand
    points stay in the cache, and one of the whole wave takes 5 times as long.

    Args:
        waves: ``[..., n]``, n at least 1.
        responses: ``[..., m]``, m at least 1, whose leading axes broadcast over those of ``waves``.
        first: samples of the full convolution to leave out.
        size: samples to return, 0 beyond the convolution's end.

    Example:
        >>> import torch
        >>> convolve(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0]), 0, 3).round()
        tensor([ 1., 12., 20.])
    """
    block, part = _block_and_part(first + size, responses.shape[-1])
    parts = -(-responses.shape[-1] // part)
    hop = part if parts > 1 else block - part + 1
    count = max(-(-(first + size) // hop), 1)
    responses = pad(responses, (0, parts * part - responses.shape[-1]))
    filters = torch.fft.rfft(responses.reshape(*responses.shape[:-1], parts, part), n=block)
    waves = pad(waves, (block - hop, count * hop - waves.shape[-1]))
    spectra = torch.fft.rfft(waves.unfold(-1, block, hop))
    total = spectra * filters[..., :1, :]
    for late in range(1, min(parts, count)):
        total[..., late:, :] += spectra[..., :-late, :] * filters[..., late : late + 1, :]
    out: Tensor = torch.fft.irfft(total, n=block)[..., block - hop :].flatten(-2)
    return out[..., first : first + size]


def _block_and_part(size: int, taps: int) -> tuple[int, int]:
    """Returns points of a transform and samples of a part of the response."""
    if size + taps <= 4 * _WHOLE or taps <= _WHOLE:
        return min(1 << (size + taps - 1).bit_length(), 4 * _WHOLE), taps
    part = 2 * _WHOLE if taps <= _LONG else 4 * _WHOLE
    return 2 * part, part


def convolve_items(
    data: Tensor,
    lengths: Tensor,
    ends: Tensor,
    size: int,
    active: Tensor,
    one: Callable[[int], tuple[Tensor, int]],
    every: Callable[[], tuple[Tensor, int]],
) -> Tensor:
    """Returns each item convolved with a response of its own, exactly 0 past its end.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device, samples of each item.
        ends: int64 ``[B]`` likewise, samples of each result.
        size: samples of the last axis of the result.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        one: returns the response of an item, ``[C, m]`` or ``[1, m]``, and the sample of it that has no delay.
        every: returns those of all items, ``[B, C, m]`` or ``[B, 1, m]``, and the sample that has no delay in all.
    """
    waves = data if data.dim() == 3 else data.unsqueeze(1)
    if applicable(data, lengths, ends, active):
        out = data.new_zeros(*waves.shape[:-1], size)
        counts, tops, chosen = lengths.tolist(), ends.tolist(), active.tolist()

        def job(row: int) -> None:
            part = waves[row, :, : counts[row]]
            if chosen[row] and counts[row]:
                response, lead = one(row)
                part = convolve(part, response, lead, tops[row])
            out[row, :, : part.shape[-1]] = part

        threads.each(job, len(counts), data.numel() * 16)
    else:
        clean = cut(waves, lengths)
        responses, lead = every()
        wet = convolve(clean, responses, lead, size) if size else clean[..., :0]
        dry = pad(clean, (0, size - clean.shape[-1]))
        out = cut(torch.where(per_item(active, waves) != 0, wet, dry), ends)
    return out if data.dim() == 3 else out.squeeze(1)
