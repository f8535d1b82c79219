"""Recorded background noise and short noises mixed in at an SNR, on a CPU: item by item, from slices of recordings."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import Any, List, Tuple

import torch
from torch import Tensor

from ontheflyspec.functional import backgrounds
from ontheflyspec.functional.backgrounds import Bursts, Excerpts, fade_phase
from ontheflyspec.functional.snr import db_to_amplitude
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.rows import Layout, Rows, with_channels


def mean_power(wave: Tensor) -> float:
    """Returns the mean square of a wave, the same bits in every layout."""
    return float((wave * wave).contiguous().sum()) / wave.numel()


def level(power: float, wanted: float) -> float:
    """Returns the factor of the samples that brings a wave from ``power`` to ``wanted`` power, 0 for silence."""
    return (wanted / power) ** 0.5 if power > 0 else 0.0


def excerpt(wave: Tensor, offset: float, n: int, fade: int, like: Tensor) -> Tensor:
    """Returns an excerpt of n samples of a wave ``[C, size]``; a shorter wave is looped, its end faded into its start.

    Args:
        wave: int16 or float.
        offset: in (0, 1), where among the possible starts the excerpt begins.
        n: samples, at least 1.
        fade: samples of the fade, at most half the wave.
        like: for the type of the result, which keeps the scale of integers.
    """
    size = wave.size(1)
    if size >= n:
        first = int(offset * (size - n + 1))
        return wave[:, first : first + n].to(like.dtype)
    fade = min(fade, size // 2)
    period = size - fade
    loop = wave[:, :period].to(like.dtype, copy=True)
    if fade > 0:
        phase = fade_phase((torch.arange(fade, dtype=like.dtype, device=like.device) + 0.5) / fade)
        loop[:, :fade].mul_(phase.sin()).add_(wave[:, period:].to(like.dtype) * phase.cos())
    return loop.roll(-int(offset * period), -1).repeat(1, (n + period - 1) // period)[:, :n]


@compiled(mean_power, level, fade_phase, excerpt)
def add_excerpts(
    out: Tensor,
    data: Tensor,
    items: List[Tuple[int, int, float, List[Tuple[Tensor, float]]]],
    fade: int,
    silent: float,
    absolute: bool,
) -> None:
    """Writes items mixed with the sum of their excerpts, each excerpt of equal power.

    Args:
        out: ``[B, C, T]``.
        data: ``[B, C, T]``.
        items: position in the batch, samples, root mean square of the sum (to that of the wave), and the recordings
            ``[C, n]`` or ``[1, n]``, each with the place among its possible starts (0 to 1) where its excerpt begins.
        fade: samples over which the end of a looped recording fades into its start.
        silent: power up to which a sum of several excerpts counts as silence; below 0 where all items have one.
        absolute: whether levels are of full scale, not to that of the wave.
    """
    for row, n, ratio, recordings in items:
        target, part = out[row, :, :n], data[row, :, :n]
        power = 1.0 if absolute else mean_power(part)
        if power == 0:
            target.copy_(part)
            continue
        noise = excerpt(recordings[0][0], recordings[0][1], n, fade, part)
        total = mean_power(noise)
        if silent >= 0:
            noise = noise * level(total, 1.0)
            for recording, offset in recordings[1:]:
                voice = excerpt(recording, offset, n, fade, part)
                noise = noise + voice * level(mean_power(voice), 1.0)
            total = mean_power(noise)
            if total <= silent:
                total = 0.0
        torch.mul(noise.expand_as(part), level(total, power) * ratio, out=target).add_(part)


@backgrounds.add_backgrounds.kernel("rows")
def add_backgrounds_rows(
    _: Layout, lengths: Tensor, *, excerpts: Excerpts, snr_db: Tensor | None = None, level_db: Tensor | None = None
) -> Rows:
    """Writes items with their backgrounds."""
    absolute = level_db is not None
    decibels = level_db if level_db is not None else torch.neg(snr_db) if snr_db is not None else lengths.new_zeros(1)
    sizes, ratios = lengths.tolist(), db_to_amplitude(decibels).tolist()
    waves, counts, most = excerpts.waves, excerpts.counts.tolist(), excerpts.offsets.shape[1]
    places, silent = _table(waves.begins, waves.sizes, excerpts.offsets), backgrounds.CANCELLED if most > 1 else -1.0

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        items = []
        for row in rows:
            own = [(waves.one(begin, size), offset) for begin, size, offset in places[row][: counts[row]]]
            items.append((row, sizes[row], ratios[row], own))
        add_excerpts(out, data, items, excerpts.fade, silent, absolute)

    return Rows(with_channels(write), cost=3 + 2 * most)


def _table(*columns: Tensor) -> list[list[tuple[Any, ...]]]:
    """Returns columns ``[B, K]`` as K rows of numbers for each item."""
    return [list(zip(*row, strict=True)) for row in zip(*(values.tolist() for values in columns), strict=True)]


@backgrounds.add_bursts.kernel("rows")
def add_bursts_rows(_: Layout, lengths: Tensor, *, bursts: Bursts) -> Rows:
    """Writes copies of items, then mixes in their noises until one begins past the item's end."""
    ends, waves = lengths.tolist(), bursts.waves
    noises = _table(waves.begins, waves.sizes, *bursts[1:4], db_to_amplitude(-bursts.snr_db))

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        for row in rows:
            n, time = ends[row], 0
            target, part = out[row, :, :n], data[row, :, :n]
            target.copy_(part)
            power = mean_power(part)
            for begin, size, offset, gap, longest, ratio in noises[row]:
                time += gap
                if time >= n or power == 0:
                    break
                duration = min(longest, size)
                noise = burst(waves.one(begin, size), offset, duration, bursts.fade, part)[:, : n - time]
                target[:, time : time + noise.shape[1]] += noise * (level(mean_power(noise), power) * ratio)
                time += duration

    return Rows(with_channels(write), cost=4)


def burst(wave: Tensor, offset: float, duration: int, fade: int, like: Tensor) -> Tensor:
    """Returns a part of a wave ``[C, size]``, faded in and out, ``[C, duration]``; arguments as in `excerpt`."""
    noise, fade = excerpt(wave, offset, duration, 0, like).clone(), min(fade, duration // 2)
    if fade:
        rise = fade_phase((torch.arange(fade, device=like.device, dtype=like.dtype) + 0.5) / fade).sin()
        noise[:, :fade] *= rise
        noise[:, -fade:] *= rise.flip(0)
    return noise
