"""Recorded backgrounds: stretches of packed waves, cut or looped to each item's length, at a ratio to its power."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.batch import per_item
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.functional.waveform import mix, snr_scale

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


def _add_one_by_one(data: Tensor, lengths: Tensor, found: Stretches, snr_db: Tensor, active: Tensor) -> Tensor:
    """Returns the same, item by item from slices, each item's work in the cache."""
    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    ends, chosen, ratios = lengths.tolist(), active.tolist(), snr_db.tolist()
    begins, sizes, offsets, counts = (values.tolist() for values in found[1:5])

    def job(row: int) -> None:
        n = ends[row]
        out[row, ..., n:].zero_()
        target, part = out[row, ..., :n], data[row, ..., :n].contiguous()
        power = mean_power(part) if chosen[row] and n else 0.0
        if power == 0:
            target.copy_(part)
            return
        voices = []
        for begin, size, offset in list(zip(begins[row], sizes[row], offsets[row], strict=True))[: counts[row]]:
            wave = found.samples[begin : begin + found.channels * size].view(found.channels, size)
            voice = stretch(wave, offset, n, found.fade, data.dtype)
            voices.append(voice if len(sizes[row]) == 1 else voice * level(mean_power(voice), 1.0))
        noise = voices[0] if len(voices) == 1 else torch.stack(voices).sum(0)
        total = mean_power(noise)
        total = 0.0 if len(sizes[row]) > 1 and total <= CANCELLED else total
        scale = level(total, power) * 10 ** (ratios[row] / -20)
        torch.add(part, (noise * scale).view(part.shape if found.channels > 1 else (n,)), out=target)

    threads.each(job, len(ends), data.numel() * (3 + 2 * found.begins.shape[1]))
    return out


def mean_power(wave: Tensor) -> float:
    """Returns the mean square of a contiguous wave."""
    return float((wave * wave).sum()) / wave.numel()


def level(power: float, wanted: float) -> float:
    """Returns the factor that brings a wave of one power to another, 0 for silence."""
    return math.sqrt(wanted / power) if power > 0 else 0.0


def stretch(wave: Tensor, offset: float, n: int, fade: int, dtype: torch.dtype) -> Tensor:
    """Returns n samples of a wave ``[C, size]``; a shorter one goes round, its end faded into its start.

    Args:
        wave: int16 or float.
        offset: in (0, 1), where among the possible starts the stretch begins.
        n: samples, at least 1.
        fade: samples of the fade, at most half the wave.
        dtype: of the result, which keeps the scale of integers.
    """
    size = wave.shape[1]
    if size >= n:
        first = int(offset * (size - n + 1))
        return wave[:, first : first + n].to(dtype)
    fade = min(fade, size // 2)
    period = size - fade
    loop = wave[:, :period].to(dtype, copy=True)
    if fade:
        rise, fall = fades(torch.arange(fade, device=wave.device, dtype=dtype), fade)
        loop[:, :fade] = loop[:, :fade] * rise + wave[:, period:].to(dtype) * fall
    loop = loop.roll(-int(offset * period), -1)
    return loop.repeat(1, -(-n // period))[:, :n]


def fades(place: Tensor, fade: Tensor | int) -> tuple[Tensor, Tensor]:
    """Returns factors that rise and fall so that the power of unlike waves stays even."""
    phase = (place + 0.5) * (math.pi / 2) / fade
    return phase.sin(), phase.cos()


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
    rise, fall = fades(torch.where(fading, place, 0).to(dtype), fade.clamp(min=1).to(dtype))
    if data.dim() == 3:
        channel = torch.arange(found.channels, device=device).unsqueeze(-1) * sizes.unsqueeze(-1)
        begins, place, period, fading = begins.unsqueeze(1) + channel, place[:, None], period[:, None], fading[:, None]
        rise, fall = rise.unsqueeze(1), fall.unsqueeze(1)
    here = found.samples[begins + place].to(dtype)
    there = found.samples[begins + torch.where(fading, place + period, place)].to(dtype)
    return torch.where(fading, here * rise + there * fall, here)
