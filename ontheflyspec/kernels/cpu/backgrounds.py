"""Recorded backgrounds and short noises on a CPU, item by item from slices of the recordings."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import List

import torch
from torch import Tensor

from ontheflyspec.functional.backgrounds import (
    CANCELLED,
    Bursts,
    Excerpts,
    add_backgrounds,
    add_bursts,
    fade_phase,
)
from ontheflyspec.functional.waveform import db_to_amplitude
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.rows import Layout, Rows, with_channels


def mean_power(wave: Tensor) -> float:
    """Returns the mean square of a wave, the same bits in every layout."""
    return float((wave * wave).contiguous().sum()) / wave.numel()


def level(power: float, wanted: float) -> float:
    """Returns the factor that brings a wave of one power to another, 0 for silence."""
    return (wanted / power) ** 0.5 if power > 0 else 0.0


def excerpt(wave: Tensor, offset: float, n: int, fade: int, like: Tensor) -> Tensor:
    """Returns n samples of a wave ``[C, size]``; a shorter one goes round, its end faded into its start.

    Args:
        wave: int16 or float.
        offset: in (0, 1), where among the possible starts the excerpt begins.
        n: samples, at least 1.
        fade: samples of the fade, at most half the wave.
        like: of the type of the result, which keeps the scale of integers.
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
    waves: Tensor,
    rows: List[int],
    sizes: List[int],
    recordings: List[List[Tensor]],
    offsets: List[List[float]],
    fade: int,
    silent: float,
    ratios: List[float],
) -> None:
    """Writes items with the sum of their excerpts.

    Args:
        out: ``[B, C, T]``.
        waves: likewise.
        rows: which items.
        sizes: samples of each of the B items.
        recordings: of each of ``rows``, ``[C, n]`` or ``[1, n]``.
        offsets: where among the possible starts each excerpt of the B items begins.
        fade: of those that go round.
        silent: power of a sum that counts as silence, where there are several.
        ratios: of root mean squares, sum to wave.
    """
    for i in range(len(rows)):
        row, own = rows[i], recordings[i]
        n = sizes[row]
        target, part = out[row, :, :n], waves[row, :, :n]
        power = mean_power(part)
        if power == 0:
            target.copy_(part)
            continue
        noise = excerpt(own[0], offsets[row][0], n, fade, part)
        total = mean_power(noise)
        if len(offsets[row]) > 1:
            noise = noise * level(total, 1.0)
            for k in range(1, len(own)):
                voice = excerpt(own[k], offsets[row][k], n, fade, part)
                noise = noise + voice * level(mean_power(voice), 1.0)
            total = mean_power(noise)
            if total <= silent:
                total = 0.0
        torch.mul(noise.expand_as(part), level(total, power) * ratios[row], out=target).add_(part)


@add_backgrounds.kernel("rows")
def add_backgrounds_rows(_: Layout, lengths: Tensor, *, excerpts: Excerpts, snr_db: Tensor) -> Rows:
    """Writes items with their backgrounds."""
    sizes, ratios = lengths.tolist(), db_to_amplitude(-snr_db).tolist()
    waves, offsets, counts = excerpts.waves, excerpts.offsets.tolist(), excerpts.counts.tolist()
    places = torch.stack([waves.begins, waves.sizes], -1).tolist()

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        own = [[waves.one(*place) for place in places[row][: counts[row]]] for row in rows]
        add_excerpts(out, data, rows, sizes, own, offsets, excerpts.fade, CANCELLED, ratios)

    return Rows(with_channels(write), cost=3 + 2 * excerpts.offsets.shape[1])


@add_bursts.kernel("rows")
def add_bursts_rows(_: Layout, lengths: Tensor, *, bursts: Bursts) -> Rows:
    """Writes copies of items, then their noises until one begins past the end."""
    ends, waves = lengths.tolist(), bursts.waves
    columns = [waves.begins, waves.sizes, *bursts[1:4], db_to_amplitude(-bursts.snr_db)]
    noises = [list(zip(*row, strict=True)) for row in zip(*(values.tolist() for values in columns), strict=True)]

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
    """Returns a part of a wave ``[C, size]`` that rises and falls, ``[C, duration]``; arguments as in `excerpt`."""
    noise, fade = excerpt(wave, offset, duration, 0, like).clone(), min(fade, duration // 2)
    if fade:
        rise = fade_phase((torch.arange(fade, device=like.device, dtype=like.dtype) + 0.5) / fade).sin()
        noise[:, :fade] *= rise
        noise[:, -fade:] *= rise.flip(0)
    return noise
