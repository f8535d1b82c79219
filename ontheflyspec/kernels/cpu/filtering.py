"""Recursive (IIR) filters and pre-emphasis on a CPU: overlap-save by FFT, each item with its own response."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import Any, List, Tuple

import torch
from torch import Tensor

from ontheflyspec.functional import filtering
from ontheflyspec.functional.filtering import responses
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.rows import Layout, Rows, by_item, with_channels

filtering.slowest_decay.kernel("cpu")(compiled(filtering.decay)(filtering.slowest_decay.reference))


def put_blocks(out: Tensor, blocks: Tensor, first: int) -> None:
    """Writes consecutive blocks of samples as one signal, from sample ``first`` of the first block on.

    Args:
        out: ``[C, n]``.
        blocks: ``[C, count, step]``, at least ``first + n`` samples.
        first: samples to leave out.
    """
    step, n, head = blocks.size(2), out.size(1), 0
    place, skipped = first // step, first % step
    if skipped > 0:
        head = min(step - skipped, n)
        out.narrow(1, 0, head).copy_(blocks.select(1, place).narrow(1, skipped, head))
        place += 1
    whole = (n - head) // step
    end = head + whole * step
    out.narrow(1, head, whole * step).view([out.size(0), whole, step]).copy_(blocks.narrow(1, place, whole))
    if end < n:
        out.narrow(1, end, n - end).copy_(blocks.select(1, place + whole).narrow(1, 0, n - end))


@compiled(put_blocks, responses)
def filter_rows(
    out: Tensor, waves: Tensor, items: List[Tuple[int, int, int, List[int], Tensor]], sections: Tensor, zero_phase: bool
) -> None:
    """Writes filtered items by overlap-save: blocks overlap by the length of the impulse response.

    Args:
        out: ``[B, C, T]``.
        waves: ``[B, C, T]``.
        items: position in the batch, samples, samples after which the response has decayed, block sizes of
            `block_sizes`, and the table of `circle` for the Fourier transform of a block.
        sections: ``[B, S, 2, 3]``.
        zero_phase: as in `responses`.
    """
    group = 64  # blocks worked on at once: many calls cost more than the cache saves, all need room for long items
    for row, n, left, shape, table in items:
        size, step, count = shape[0], shape[1], shape[2]
        right = left if zero_phase else 0
        own = waves[row].narrow(1, 0, n)
        padded = torch.nn.functional.pad(own, [left, right + step * count - n])
        blocks = padded.unfold(-1, left + step + right, step)
        filters = responses(sections[row], table, zero_phase)
        for first in range(0, count, group):
            some = min(group, count - first)
            spectra = torch.fft.rfft(blocks.narrow(1, first, some), size).mul_(filters)
            made = torch.fft.irfft(spectra, size).narrow(2, left, step)
            put_blocks(out[row].narrow(1, first * step, min(n - first * step, some * step)), made, 0)


@filtering.filter_items.kernel("rows")
def filter_items_rows(like: Layout, lengths: Tensor, *, sections: Tensor, zero_phase: bool, **_: Any) -> Rows:
    """Writes filtered items; each response is as long as its own sections ring, whatever ``tail`` says."""
    sizes, coefficients = lengths.tolist(), sections.to(like.dtype)
    rings = filtering.tails(sections).long().tolist()

    def write(out: Tensor, waves: Tensor, rows: list[int]) -> None:
        items = []
        for row in rows:
            shape = filtering.block_sizes(sizes[row], rings[row], zero_phase)
            items.append(
                (row, sizes[row], rings[row], shape, filtering.circle(coefficients.device, shape[0], like.dtype)[0])
            )
        filter_rows(out, waves, items, coefficients, zero_phase)

    return Rows(with_channels(write), cost=8)


@filtering.emphasise.kernel("rows")
def emphasise_rows(_: Layout, lengths: Tensor, *, coefficients: Tensor) -> Rows:
    """Writes items minus their share of the sample before (pre-emphasis)."""
    shares = coefficients.tolist()

    def write_one(new: Tensor, old: Tensor, row: int) -> None:
        if shares[row] == 0:
            new.copy_(old)
            return
        new[..., 0] = old[..., 0]
        torch.sub(old[..., 1:], old[..., :-1], alpha=shares[row], out=new[..., 1:])

    return by_item(write_one, lengths)
