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

BLOCK = 4096
"""Points of a transform: shorter ones have more overlap, longer ones leave the cache."""
_LONG = 8192
"""Samples of a response above which blocks are twice as long, so that there are fewer parts."""


def convolve(waves: Tensor, responses: Tensor, first: int, size: int) -> Tensor:
    """Returns samples ``first`` to ``first + size`` of full convolutions.

    The response is cut into parts, the wave into blocks; each is transformed once. Fourier transforms of some thousand
    points stay in the cache; one of a whole wave, planned anew at every call, takes several times as long on a CPU.

    Args:
        waves: ``[..., n]``, n at least 1.
        responses: ``[..., m]``, m at least 1, whose leading axes broadcast over those of ``waves``.
        first: samples of the full convolution to leave out.
        size: samples to return, at least 1, 0 beyond the convolution's end.

    Example:
        >>> import torch
        >>> convolve(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0]), 0, 3).round()
        tensor([ 1., 12., 20.])
    """
    responses = responses[..., : first + size]
    block, part = _block_and_part(first + size, responses.shape[-1])
    parts = -(-responses.shape[-1] // part)
    hop = part if parts > 1 else block - part + 1
    count = max(-(-(first + size) // hop), 1)
    responses = pad(responses, (0, parts * part - responses.shape[-1]))
    filters = torch.fft.rfft(responses.reshape(*responses.shape[:-1], parts, part), n=block)
    waves = pad(waves, (block - hop, count * hop - waves.shape[-1]))
    spectra = torch.fft.rfft(waves.unfold(-1, block, hop))
    total = spectra * filters[..., :1, :] if parts > 1 else spectra.mul_(filters)
    for late in range(1, min(parts, count)):
        total[..., late:, :].addcmul_(spectra[..., :-late, :], filters[..., late : late + 1, :])
    out: Tensor = torch.fft.irfft(total, n=block)[..., block - hop :].flatten(-2)
    return out[..., first : first + size]


def _block_and_part(size: int, taps: int) -> tuple[int, int]:
    """Returns points of a transform and samples of a part of the response."""
    most, whole = BLOCK if taps <= _LONG else 2 * BLOCK, 1 << (size + taps - 2).bit_length()
    if taps > most // 2 and whole > most:
        return most, most // 2
    return min(whole, most), taps


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
        out = data.new_empty(*waves.shape[:-1], size)
        counts, tops, chosen = lengths.tolist(), ends.tolist(), active.tolist()

        def job(row: int) -> None:
            part = waves[row, :, : counts[row]]
            if chosen[row] and counts[row]:
                response, lead = one(row)
                part = convolve(part, response, lead, tops[row])
            out[row, :, : part.shape[-1]] = part
            out[row, :, part.shape[-1] :].zero_()

        threads.each(job, len(counts), data.numel() * 16)
    else:
        clean = cut(waves, lengths)
        responses, lead = every()
        wet = convolve(clean, responses, lead, size) if size else clean[..., :0]
        dry = pad(clean, (0, size - clean.shape[-1]))
        out = cut(torch.where(per_item(active, waves) != 0, wet, dry), ends)
    return out if data.dim() == 3 else out.squeeze(1)
