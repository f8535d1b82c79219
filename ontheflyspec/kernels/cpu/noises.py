"""Coloured noise added on a CPU, each item's own in the cache."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import List

import torch
from torch import Generator, Tensor

from ontheflyspec import rng
from ontheflyspec.functional.noises import (
    LOWEST,
    NEW,
    NOISE_BLOCK,
    ODD_BYTES,
    add_colored_noise,
    noise_blocks,
    noise_tables,
)
from ontheflyspec.functional.waveform import db_to_amplitude
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.rows import Layout, Rows, with_channels


def add_noise(out: Tensor, wave: Tensor, noise: Tensor, ratio: float) -> None:
    """Writes the sum of a wave and noise ``ratio`` times as strong, the wave alone where either is silent.

    Args:
        out: ``[C, n]``.
        wave: likewise.
        noise: ``[C, blocks, new]``, as many blocks as n samples need.
        ratio: of root mean squares.
    """
    noise, new, n = noise.to(wave.dtype), noise.size(2), wave.size(1)
    count = n // new
    whole = count * new
    body, rest = noise.narrow(1, 0, count), noise.select(1, -1).narrow(1, 0, n - whole)
    heard = float((wave * wave).contiguous().sum())
    added = float((body * body).sum()) + float((rest * rest).sum())
    if not (heard > 0 and added > 0):
        out.copy_(wave)
        return
    scale = (heard / added) ** 0.5 * ratio
    # Scaled and added in one step it would be rounded in a way that depends on the layout.
    torch.mul(body, scale, out=out.narrow(1, 0, whole).view([wave.size(0), count, new]))
    torch.mul(rest, scale, out=out.narrow(1, whole, n - whole))
    out.add_(wave)


@compiled(noise_blocks, add_noise)
def add_noise_to_rows(
    out: Tensor,
    waves: Tensor,
    rows: List[int],
    sizes: List[int],
    generators: List[Generator],
    f_decay: Tensor,
    ratios: List[float],
    words: Tensor,
    drawn: Tensor,
    lowest: int,
    odd: int,
    tables: List[Tensor],
) -> None:
    """Writes waves with noise, each its own.

    Args:
        out: ``[B, C, T]``.
        waves: likewise.
        rows: which items.
        sizes: samples of each of the B items.
        generators: of those of ``rows``.
        f_decay: ``[B, 1, 1, 1]``.
        ratios: of root mean squares, noise to wave, of each of the B items.
        words: int64, room for all that an item draws.
        drawn: the same memory as int8.
        lowest: least number of 64 bits.
        odd: bits that are set in all words.
        tables: of `noise_tables`.
    """
    bins, new = tables[0].size(0), 2 * (tables[0].size(0) - 1) - tables[1].size(0)
    for i in range(len(rows)):
        row, n = rows[i], sizes[rows[i]]
        shape = [(n + new - 1) // new, waves.size(1), bins, 2]
        count = shape[0] * shape[1] * bins * 2
        words.narrow(0, 0, (count + 7) // 8).random_(lowest, None, generator=generators[i]).bitwise_or_(odd)
        noise = noise_blocks(drawn.narrow(0, 0, count).view(shape).transpose(0, 1), f_decay[row], tables)
        add_noise(out[row].narrow(1, 0, n), waves[row].narrow(1, 0, n), noise, ratios[row])


@add_colored_noise.kernel("rows")
def add_colored_noise_rows(_: Layout, lengths: Tensor, *, f_decay: Tensor, keys: Tensor, snr_db: Tensor) -> Rows:
    """Writes items with their noise."""
    sizes, ratios, seeds = lengths.tolist(), db_to_amplitude(-snr_db).tolist(), keys.tolist()
    here = keys.device
    decays, tables = f_decay.float()[:, None, None, None], noise_tables(here)

    def write(out: Tensor, waves: Tensor, rows: list[int]) -> None:
        generators = [rng.generator(here, rng.mix(seeds[row])) for row in rows]
        blocks = -(-max(sizes[row] for row in rows) // NEW)
        words = torch.empty(-(-blocks * waves.shape[1] * (NOISE_BLOCK + 2) // 8), dtype=torch.int64, device=here)
        room = words, words.view(torch.int8)
        add_noise_to_rows(out, waves, rows, sizes, generators, decays, ratios, *room, LOWEST, ODD_BYTES, tables)

    return Rows(with_channels(write), cost=4)
