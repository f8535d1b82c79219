"""Coloured noise added at an SNR on a CPU, item by item: each item's noise is made and added while in the cache."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import List, Tuple

import torch
from torch import Generator, Tensor

from ontheflyspec import rng
from ontheflyspec.functional import noises
from ontheflyspec.functional.noises import noise_blocks
from ontheflyspec.functional.snr import db_to_amplitude
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
    items: List[Tuple[int, int, float, Generator]],
    f_decay: Tensor,
    room: Tuple[Tensor, Tensor],
    limits: Tuple[int, int],
    tables: List[Tensor],
) -> None:
    """Writes waves plus noise, an independent stream for each item.

    Args:
        out: ``[B, C, T]``.
        waves: ``[B, C, T]``.
        items: position in the batch, samples, ratio of the root mean squares of noise and wave, and generator.
        f_decay: ``[B, 1, 1, 1]``, see `colored_noise`.
        room: memory for the random words of the longest item, int64, and the same memory as int8.
        limits: ``LOWEST`` and ``ODD_BYTES`` of the reference.
        tables: of `noise_tables`.
    """
    bins, new = tables[0].size(0), 2 * (tables[0].size(0) - 1) - tables[1].size(0)
    words, drawn = room
    for row, n, ratio, generator in items:
        shape = [(n + new - 1) // new, waves.size(1), bins, 2]
        count = shape[0] * shape[1] * bins * 2
        words.narrow(0, 0, (count + 7) // 8).random_(limits[0], None, generator=generator).bitwise_or_(limits[1])
        noise = noise_blocks(drawn.narrow(0, 0, count).view(shape).transpose(0, 1), f_decay[row], tables)
        add_noise(out[row].narrow(1, 0, n), waves[row].narrow(1, 0, n), noise, ratio)


@noises.add_colored_noise.kernel("rows")
def add_colored_noise_rows(_: Layout, lengths: Tensor, *, f_decay: Tensor, keys: Tensor, snr_db: Tensor) -> Rows:
    """Writes items with their noise."""
    sizes, ratios, seeds = lengths.tolist(), db_to_amplitude(-snr_db).tolist(), keys.tolist()
    here = keys.device
    decays, tables = f_decay.float()[:, None, None, None], noises.noise_tables(here)

    def write(out: Tensor, waves: Tensor, rows: list[int]) -> None:
        items = [(row, sizes[row], ratios[row], rng.generator(here, rng.mix(seeds[row]))) for row in rows]
        draws = -(-max(sizes[row] for row in rows) // noises.NEW) * waves.shape[1] * (noises.NOISE_BLOCK + 2)
        words = torch.empty(-(-draws // 8), dtype=torch.int64, device=here)
        room, limits = (words, words.view(torch.int8)), (noises.LOWEST, noises.ODD_BYTES)
        add_noise_to_rows(out, waves, items, decays, room, limits, tables)

    return Rows(with_channels(write), cost=4)
