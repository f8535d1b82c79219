"""Recorded backgrounds: stretches of packed waves, cut or looped to each item's length, at a ratio to its power."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

from typing import List, NamedTuple

import torch
from torch import Tensor

from ontheflyspec.batch import per_item
from ontheflyspec.functional.blocks import applicable, map_rows
from ontheflyspec.functional.programs import compiled
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.functional.waveform import db_to_amplitude, mix, snr_scale

CANCELLED = 1e-8
"""Power of a sum of voices, each of power 1, below which they count as silence: rounding is all that is left."""


class Stretches(NamedTuple):
    """Which stretches of packed waves lie under which item.

    Args:
        samples: packed waves, 1-D, int16 or float32: the channels of a wave one after the other, then the next wave.
        begins: int64 ``[B, K]``, where the K waves of each item begin in ``samples``.
        sizes: int64 ``[B, K]``, their samples per channel.
        offsets: float64 ``[B, K]`` in (0, 1): where among the possible starts each stretch begins.
        counts: int64 ``[B]``, how many of its K waves an item gets.
        channels: of the waves.
        fade: samples over which the end of a wave that is too short fades into its start.
    """

    samples: Tensor
    begins: Tensor
    sizes: Tensor
    offsets: Tensor
    counts: Tensor
    channels: int
    fade: int


def add_backgrounds(data: Tensor, lengths: Tensor, found: Stretches, snr_db: Tensor, active: Tensor) -> Tensor:
    """Returns items with the sum of their stretches, each of equal power, at a ratio to their own power.

    Both powers are means over the item's valid part; nothing is added to silence, and silence adds nothing, nor do
    voices that cancel, as those of an item of one sample may.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        found: what is added.
        snr_db: float64 ``[B]``.
        active: bool ``[B]``; other items keep their valid part bit for bit.
    """
    if applicable(data, lengths, *found[:5], snr_db, active):
        return _add_one_by_one(data, lengths, found, snr_db, active)
    noise = torch.zeros((), dtype=data.dtype, device=data.device)
    for k in range(found.begins.shape[1]):
        voice = _gather(data, lengths, found, k)
        if found.begins.shape[1] > 1:
            power = valid_power(voice, lengths)
            wanted = (power > 0) & (per_item(found.counts, data) > k)
            voice = torch.where(wanted, voice / torch.where(wanted, power, 1).sqrt(), 0)
        noise = noise + voice
    total = valid_power(noise, lengths)
    if found.begins.shape[1] > 1:
        total = torch.where(total > CANCELLED, total, 0)
    scale = snr_scale(valid_power(data, lengths), total, per_item(snr_db, data))
    return mix(data, lengths, noise, scale, per_item(active, data) != 0)


def mean_power(wave: Tensor) -> float:
    """Returns the mean square of a wave, the same bits in every layout."""
    return float((wave * wave).contiguous().sum()) / wave.numel()


def level(power: float, wanted: float) -> float:
    """Returns the factor that brings a wave of one power to another, 0 for silence."""
    return (wanted / power) ** 0.5 if power > 0 else 0.0


def stretch(wave: Tensor, offset: float, n: int, fade: int, like: Tensor) -> Tensor:
    """Returns n samples of a wave ``[C, size]``; a shorter one goes round, its end faded into its start.

    Args:
        wave: int16 or float.
        offset: in (0, 1), where among the possible starts the stretch begins.
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


def fade_phase(place: Tensor) -> Tensor:
    """Returns angles whose sines rise and cosines fall over places in (0, 1): the power of unlike waves stays even."""
    return place * 1.5707963267948966


def add_stretches(
    out: Tensor,
    waves: Tensor,
    rows: List[int],
    sizes: List[int],
    stretches: List[List[Tensor]],
    offsets: List[List[float]],
    fade: int,
    silent: float,
    ratios: List[float],
) -> None:
    """Writes items with the sum of their stretches.

    Args:
        out: ``[B, C, T]``.
        waves: likewise.
        rows: which items.
        sizes: samples of each of the B items.
        stretches: recordings of each of ``rows``, ``[C, n]`` or ``[1, n]``.
        offsets: where among the possible starts each stretch of an item begins.
        fade: of those that go round.
        silent: power of a sum that counts as silence, where there are several.
        ratios: of root mean squares, sum to wave.
    """
    for i in range(len(rows)):
        row, own = rows[i], stretches[i]
        n = sizes[row]
        target, part = out[row, :, :n], waves[row, :, :n]
        power = mean_power(part)
        if power == 0:
            target.copy_(part)
            continue
        noise = stretch(own[0], offsets[row][0], n, fade, part)
        total = mean_power(noise)
        if len(offsets[row]) > 1:
            noise = noise * level(total, 1.0)
            for k in range(1, len(own)):
                voice = stretch(own[k], offsets[row][k], n, fade, part)
                noise = noise + voice * level(mean_power(voice), 1.0)
            total = mean_power(noise)
            if total <= silent:
                total = 0.0
        torch.mul(noise.expand_as(part), level(total, power) * ratios[row], out=target).add_(part)


_ADD = compiled([mean_power, level, fade_phase, stretch, add_stretches])(add_stretches)


def _add_one_by_one(data: Tensor, lengths: Tensor, found: Stretches, snr_db: Tensor, active: Tensor) -> Tensor:
    """Returns the same, item by item from slices, each item's work in the cache."""
    waves = data if data.dim() == 3 else data.unsqueeze(1)
    sizes, ratios = lengths.tolist(), db_to_amplitude(-snr_db).tolist()
    begins, ends, offsets, counts = (values.tolist() for values in found[1:5])

    def packed(begin: int, size: int) -> Tensor:
        return found.samples[begin : begin + found.channels * size].view(found.channels, size)

    def write(out: Tensor, rows: list[int]) -> None:
        own = [[packed(*one) for one in zip(begins[row][: counts[row]], ends[row], strict=False)] for row in rows]
        _ADD(out, waves, rows, sizes, own, offsets, found.fade, CANCELLED, ratios)

    return map_rows(waves, lengths, active, write, cost=3 + 2 * found.begins.shape[1]).view(data.shape)


def _gather(data: Tensor, lengths: Tensor, found: Stretches, k: int) -> Tensor:
    """Returns one stretch of each item, ``[B, T]`` or ``[B, C, T]``, without asking the device."""
    device, dtype = data.device, data.dtype
    begins, sizes, offsets, ends = (
        values.to(device, non_blocking=True).unsqueeze(-1)
        for values in (found.begins[:, k], found.sizes[:, k], found.offsets[:, k], lengths)
    )
    looped = sizes < ends
    fade = (sizes // 2).clamp(max=found.fade)
    period = sizes - fade
    starts = torch.where(looped, period, sizes - ends + 1)
    place = (offsets * starts).long() + torch.arange(data.shape[-1], device=device)
    place = torch.where(looped, place % period, torch.minimum(place, sizes - 1))
    fading = looped & (place < fade)
    phase = fade_phase((torch.where(fading, place, 0).to(dtype) + 0.5) / fade.clamp(min=1).to(dtype))
    rise, fall = phase.sin(), phase.cos()
    if data.dim() == 3:
        channel = torch.arange(found.channels, device=device).unsqueeze(-1) * sizes.unsqueeze(-1)
        begins, place, period, fading = begins.unsqueeze(1) + channel, place[:, None], period[:, None], fading[:, None]
        rise, fall = rise.unsqueeze(1), fall.unsqueeze(1)
    here = found.samples[begins + place].to(dtype)
    there = found.samples[begins + torch.where(fading, place + period, place)].to(dtype)
    return torch.where(fading, here * rise + there * fall, here)
