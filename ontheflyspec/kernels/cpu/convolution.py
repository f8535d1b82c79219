"""Convolution with impulse responses (reverberation) on a CPU, each item at its own length."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import List

from torch import Tensor

from ontheflyspec.functional.convolution import Responses, block_and_part, convolve_items, overlapped
from ontheflyspec.functional.rooms import Rooms
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.cpu.filtering import put_blocks
from ontheflyspec.kernels.rows import Layout, Rows, with_channels


@compiled(overlapped, put_blocks)
def convolve_wave(out: Tensor, wave: Tensor, response: Tensor, first: int, shape: List[int]) -> None:
    """Writes a wave convolved with an impulse response.

    Args:
        out: ``[C, N]``.
        wave: ``[C, n]``.
        response: ``[C, m]`` or ``[1, m]``, m at most ``first + N``.
        first: samples of the full convolution to leave out.
        shape: last two arguments of `overlapped`.
    """
    put_blocks(out, overlapped(wave, response, first + out.size(1), shape[0], shape[1]), first)


@convolve_items.kernel("rows")
def convolve_items_rows(_: Layout, lengths: Tensor, *, responses: Responses | Rooms, ends: Tensor, size: int) -> Rows:  # noqa: ARG001
    """Writes items convolved with their responses."""
    sizes, news = lengths.tolist(), ends.tolist()

    def write(out: Tensor, waves: Tensor, rows: list[int]) -> None:
        for row in rows:
            response, first = responses.alone(waves, row, news[row])
            shape = block_and_part(first + news[row], response.shape[1])
            convolve_wave(out[row, :, : news[row]], waves[row, :, : sizes[row]], response, first, shape)

    return Rows(with_channels(write), cost=16)
