"""Recorded background noise and short noises mixed into items at a signal-to-noise ratio (SNR)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import items_mask
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.functional.snr import mix, snr_scale
from ontheflyspec.functional.statistics import running_sum, valid_power
from ontheflyspec.kept import count_up, where
from ontheflyspec.op import Op
from ontheflyspec.precision import wide
from ontheflyspec.recordings import Waves

CANCELLED = 1e-8
"""Power of a sum of excerpts, each of power 1, up to which it counts as silence: rounding is all that is left."""


class Excerpts(NamedTuple):
    """Excerpts of recordings as background noise: as long as the item, cut from longer waves, looped from shorter ones.

    Args:
        waves: K recordings for each item.
        offsets: float64 ``[B, K]`` in (0, 1): where among the possible starts each excerpt begins.
        counts: int64 ``[B]``, how many of its K waves an item gets.
        fade: samples over which the end of a looped wave fades into its start.
    """

    waves: Waves
    offsets: Tensor
    counts: Tensor
    fade: int


@Op
def add_backgrounds(
    data: Tensor,
    lengths: Tensor,
    *,
    active: Tensor,
    excerpts: Excerpts,
    snr_db: Tensor | None = None,
    level_db: Tensor | None = None,
) -> Tensor:
    """Mixes the sum of an item's excerpts, each of equal power, into the item at an SNR or level; 0 past each length.

    The powers of item and noise are means over the item's valid part. At an SNR nothing is added to a silent item. A
    silent sum adds nothing, nor does a sum that cancels, as that of an item of one sample may.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        excerpts: of recordings, to be added.
        snr_db: float64 ``[B]``, None where a level is given.
        level_db: root mean square of the noise in dB of full scale, float64 ``[B]``.
    """
    wave = data if data.dim() == 3 else data.unsqueeze(1)
    count, ends = excerpts.offsets.shape[1], lengths.to(wave.device, non_blocking=True)
    noise = gathered(excerpts, ends if count == 1 else ends.repeat_interleave(count), wave.shape[-1], wave.dtype)
    if count == 1:
        total = valid_power(noise, lengths)
    else:  # the rows of an item one after the other
        power = valid_power(noise, ends.repeat_interleave(count))
        number = count_up(count, wave.device) < excerpts.counts.to(wave.device, non_blocking=True).unsqueeze(-1)
        wanted = (power > 0) & items_mask(number, noise)
        noise = where(wanted, noise / where(wanted, power, 1).sqrt(), 0)
        noise = noise.reshape(-1, count, *noise.shape[1:]).sum(1)
        total = valid_power(noise, lengths)
        total = where(total > CANCELLED, total, 0)
    return mix(wave, lengths, active, noise, total, snr_db, level_db).reshape(data.shape)


@Op
def take_excerpts(data: Tensor, lengths: Tensor, *, excerpts: Excerpts) -> Tensor:
    """Returns one excerpt for each item instead of it, 0 past each length.

    Args:
        data: ``[B, C, T]``, with the channels of the recordings.
        lengths: int64 ``[B]`` on any device.
        excerpts: of recordings, one for each item.
    """
    noise = gathered(excerpts, lengths.to(data.device, non_blocking=True), data.shape[-1], data.dtype)
    scale = 1.0 if excerpts.waves.samples.is_floating_point() else 1 / 32768
    return zero_past(noise * scale, lengths)


@Op
def add_waves(
    data: Tensor,
    lengths: Tensor,
    *,
    active: Tensor,
    noise: Tensor,
    snr_db: Tensor | None = None,
    level_db: Tensor | None = None,
) -> Tensor:
    """Mixes a wave into each item at an SNR or level, as `add_backgrounds` does; 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        noise: ``[B, 1, T]`` or ``[B, C, T]``, 0 past each length.
        snr_db: float64 ``[B]``, None where a level is given.
        level_db: root mean square of the noise in dB of full scale, float64 ``[B]``.
    """
    wave = data if data.dim() == 3 else data.unsqueeze(1)
    noise = noise.to(wave.dtype)
    return mix(wave, lengths, active, noise, valid_power(noise, lengths), snr_db, level_db).reshape(data.shape)


def fade_phase(place: Tensor) -> Tensor:
    """Returns angles in 0..pi/2 for places in (0, 1): sines fade in, cosines fade out, at constant power."""
    return place * 1.5707963267948966


def gathered(excerpts: Excerpts, ends: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Returns all excerpts, ``[B * K, C, T]`` or ``[B * K, 1, T]``, without waiting for the device.

    Args:
        excerpts: of recordings.
        ends: samples of each excerpt, int64 ``[B * K]`` where the recordings lie, beyond which any may come.
        size: T.
        dtype: of the result, which keeps the scale of integers.
    """
    device, waves = ends.device, excerpts.waves
    columns = (waves.begins, waves.sizes, excerpts.offsets)
    begins, sizes, offsets = (one.to(device, non_blocking=True).reshape(-1, 1) for one in columns)
    looped = sizes < ends.unsqueeze(-1)
    fade = (sizes // 2).clamp(max=excerpts.fade)
    period = sizes - fade
    starts = where(looped, period, sizes - ends.unsqueeze(-1) + 1)
    place = (offsets * starts).long() + count_up(size, device)
    place = place % torch.where(looped, period, sizes)
    fading = looped & (place < fade)
    phase = fade_phase((place.to(dtype) + 0.5) / fade.clamp(min=1).to(dtype)).unsqueeze(1)
    here = waves.read(begins, sizes, place).to(dtype)
    there = waves.read(begins, sizes, torch.where(fading, place + period, place)).to(dtype)
    return torch.where(fading.unsqueeze(1), here * phase.sin() + there * phase.cos(), here)


class Bursts(NamedTuple):
    """Short noises of each item, in the order of their time.

    Args:
        waves: K recordings for each item.
        offsets: float64 ``[B, K]`` in (0, 1): where among the possible starts each noise begins in its recording.
        gaps: int64 ``[B, K]``, samples from the end of the noise before (or the item's start) to the noise.
        durations: int64 ``[B, K]``, samples of the noise, at least 1; cut to its recording.
        snr_db: float64 ``[B, K]``.
        fade: samples over which a noise fades in and out, half of the noise at most.
    """

    waves: Waves
    offsets: Tensor
    gaps: Tensor
    durations: Tensor
    snr_db: Tensor
    fade: int


@Op
def add_bursts(data: Tensor, lengths: Tensor, *, active: Tensor, bursts: Bursts) -> Tensor:
    """Mixes short noises into items, those that begin before the item's end; 0 past each length.

    The SNR is the power of the item's valid part over the power of the noise while it lasts.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        bursts: noises to be added.
    """
    device, dtype, waves = data.device, data.dtype, bursts.waves
    wave = data if data.dim() == 3 else data.unsqueeze(1)
    columns = (x.to(device, non_blocking=True) for x in (waves.begins, waves.sizes, *bursts[1:5]))
    begins, sizes, offsets, gaps, durations, snr_db = columns
    ends = lengths.to(device, non_blocking=True).unsqueeze(-1)
    durations = torch.minimum(durations, sizes)
    starts = gaps.cumsum(-1) + durations.cumsum(-1) - durations
    times = count_up(data.shape[-1], device).expand(data.shape[0], -1).contiguous()
    which = (torch.searchsorted(starts, times, right=True) - 1).clamp(min=0)
    place, duration = times - starts.gather(1, which), durations.gather(1, which)
    inside = (place >= 0) & (place < duration) & (times < ends)
    fade = (duration // 2).clamp(max=bursts.fade)
    edge = torch.minimum(place, duration - 1 - place)
    rise = where(edge < fade, fade_phase((edge.to(dtype) + 0.5) / fade.clamp(min=1).to(dtype)).sin(), 1)
    first = begins + (offsets * (sizes - durations + 1)).long()
    found = waves.read(first.gather(1, which), sizes.gather(1, which), where(inside, place, 0)).to(dtype)
    noise = where(inside.unsqueeze(1), found * rise.unsqueeze(1), 0)
    lasting = torch.minimum(durations, ends - starts).clamp(min=0)
    running = pad(running_sum(noise.square().mean(1).to(wide(device)), 1), (1, 0))
    first, last = (place.clamp(0, data.shape[-1]) for place in (starts, starts + lasting))
    power = ((running.gather(1, last) - running.gather(1, first)) / lasting.clamp(min=1)).to(dtype)
    scale = snr_scale(valid_power(data, lengths).flatten(1), power, snr_db)
    mixed = wave + noise * scale.gather(1, which).unsqueeze(1)
    return zero_past(where(items_mask(active, wave), mixed, wave), lengths).reshape(data.shape)
