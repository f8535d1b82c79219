"""Convolution with long responses: Fourier transforms of short blocks, of the wave and of the response."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from collections.abc import Callable
from typing import List, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import per_item
from ontheflyspec.functional.blocks import applicable, map_rows
from ontheflyspec.functional.framing import cut
from ontheflyspec.functional.programs import compiled, put_blocks

BLOCK = 4096
"""Points of a transform: shorter ones have more overlap, longer ones leave the cache."""
_LONG = 8192
"""Samples of a response above which blocks are twice as long, so that there are fewer parts."""


def overlapped(waves: Tensor, responses: Tensor, size: int, block: int, part: int) -> Tensor:
    """Returns the first ``size`` samples, at least, of full convolutions, in blocks ``[..., count, hop]``.

    Args:
        waves: ``[..., n]``.
        responses: ``[..., m]``, m at most ``size``.
        size: samples.
        block: points of a transform.
        part: samples of a part of the response.
    """
    parts = (responses.size(-1) + part - 1) // part
    hop = part if parts > 1 else block - part + 1
    count = max((size + hop - 1) // hop, 1)
    responses = torch.nn.functional.pad(responses, [0, parts * part - responses.size(-1)])
    filters = torch.fft.rfft(responses.unfold(-1, part, part), block)
    waves = torch.nn.functional.pad(waves, [block - hop, count * hop - waves.size(-1)])
    spectra = torch.fft.rfft(waves.unfold(-1, block, hop), block)
    total = spectra * filters.narrow(-2, 0, 1) if parts > 1 else spectra.mul_(filters)
    for late in range(1, min(parts, count)):
        earlier = spectra.narrow(-2, 0, count - late)
        total.narrow(-2, late, count - late).addcmul_(earlier, filters.narrow(-2, late, 1))
    made: Tensor = torch.fft.irfft(total, block).narrow(-1, block - hop, hop)
    return made


def convolve_rows(
    out: Tensor,
    waves: Tensor,
    rows: List[int],
    sizes: List[int],
    ends: List[int],
    responses: List[Tensor],
    gains: List[float],
    leads: List[int],
    shapes: List[List[int]],
) -> None:
    """Writes items convolved with responses of their own.

    Args:
        out: ``[B, C, N]``.
        waves: ``[B, C, T]``.
        rows: which items.
        sizes: samples of each of the B items of ``waves``.
        ends: samples of each of the B items of ``out``.
        responses: of those of ``rows``, ``[C, m]`` or ``[1, m]``, as the next three.
        gains: factors of the responses.
        leads: samples of the full convolution to leave out.
        shapes: last two arguments of `overlapped`.
    """
    for i in range(len(rows)):
        row, size = rows[i], leads[i] + ends[rows[i]]
        response = responses[i].narrow(1, 0, min(responses[i].size(1), size)).to(waves.dtype) * gains[i]
        wave = waves[row].narrow(1, 0, sizes[row])
        made = overlapped(wave, response, size, shapes[i][0], shapes[i][1])
        put_blocks(out[row].narrow(1, 0, ends[row]), made, leads[i])


_CONVOLVE = compiled([overlapped, put_blocks, convolve_rows])(convolve_rows)


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
    shape = _block_and_part(first + size, responses.shape[-1])
    return overlapped(waves, responses, first + size, *shape).flatten(-2)[..., first : first + size]


def _block_and_part(size: int, taps: int) -> list[int]:
    """Returns points of a transform and samples of a part of the response."""
    most, whole = BLOCK if taps <= _LONG else 2 * BLOCK, 1 << (size + taps - 2).bit_length()
    if taps > most // 2 and whole > most:
        return [most, most // 2]
    return [min(whole, most), taps]


class Response(NamedTuple):
    """An item's response: samples ``[C, m]`` or ``[1, m]``, their factor, and the sample that has no delay."""

    samples: Tensor
    gain: float
    lead: int


def convolve_items(
    data: Tensor,
    lengths: Tensor,
    ends: Tensor,
    size: int,
    active: Tensor,
    some: Callable[[list[int]], list[Response]],
    every: Callable[[], tuple[Tensor, int]],
) -> Tensor:
    """Returns each item convolved with a response of its own, exactly 0 past its end.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device, samples of each item.
        ends: int64 ``[B]`` likewise, samples of each result.
        size: samples of the last axis of the result.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        some: returns the responses of some items.
        every: returns those of all items, ``[B, C, m]`` or ``[B, 1, m]``, and the sample that has no delay in all.
    """
    waves = data if data.dim() == 3 else data.unsqueeze(1)
    if applicable(data, lengths, ends, active):
        sizes, tops = lengths.tolist(), ends.tolist()

        def write(out: Tensor, rows: list[int]) -> None:
            samples, gains, leads = (list(column) for column in zip(*some(rows), strict=True))
            full = [lead + tops[row] for lead, row in zip(leads, rows, strict=True)]
            shapes = [_block_and_part(n, min(one.shape[1], n)) for n, one in zip(full, samples, strict=True)]
            _CONVOLVE(out, waves, rows, sizes, tops, samples, gains, leads, shapes)

        out = map_rows(waves, lengths, active, write, ends=ends, size=size, cost=16)
    else:
        clean = cut(waves, lengths)
        responses, lead = every()
        wet = convolve(clean, responses, lead, size) if size else clean[..., :0]
        dry = pad(clean, (0, size - clean.shape[-1]))
        out = cut(torch.where(per_item(active, waves) != 0, wet, dry), ends)
    return out if data.dim() == 3 else out.squeeze(1)
