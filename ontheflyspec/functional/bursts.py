"""Short noises one after the other, each at a ratio of its own to the item's power."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ontheflyspec import threads
from ontheflyspec.batch import expand_mask, per_item
from ontheflyspec.functional.backgrounds import fade_phase, level, mean_power, stretch
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.masking import zero_past
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.functional.waveform import db_to_amplitude


class Bursts(NamedTuple):
    """Short noises of each item, in the order of their time.

    Args:
        samples: packed waves, 1-D, int16 or float32: the channels of a wave one after the other, then the next wave.
        begins: int64 ``[B, K]``, where the waves of each item begin in ``samples``.
        sizes: int64 ``[B, K]``, their samples per channel.
        offsets: float64 ``[B, K]`` in (0, 1): where among the possible starts the part of the wave begins.
        gaps: int64 ``[B, K]``, samples from the end of the noise before (or the item's start) to the noise.
        durations: int64 ``[B, K]``, samples of the noise at most, at least 1; it is no longer than its wave.
        snr_db: float64 ``[B, K]``.
        channels: of the waves.
        fade: samples over which a noise rises and falls, half of it at most.
    """

    samples: Tensor
    begins: Tensor
    sizes: Tensor
    offsets: Tensor
    gaps: Tensor
    durations: Tensor
    snr_db: Tensor
    channels: int
    fade: int


def add_bursts(data: Tensor, lengths: Tensor, bursts: Bursts, active: Tensor) -> Tensor:
    """Returns items with short noises, as many as begin before the item's end.

    The ratio is that of the power of the item's valid part to the power of what is added, over the time that it lasts.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        bursts: what is added.
        active: bool ``[B]``; other items keep their valid part bit for bit.
    """
    if applicable(data, lengths, *bursts[:7], active):
        return _add_one_by_one(data, lengths, bursts, active)
    device, dtype = data.device, data.dtype
    begins, sizes, offsets, gaps, durations, snr_db = (x.to(device, non_blocking=True) for x in bursts[1:7])
    ends = lengths.to(device, non_blocking=True).unsqueeze(-1)
    durations = torch.minimum(durations, sizes)
    starts = gaps.cumsum(-1) + durations.cumsum(-1) - durations
    times = torch.arange(data.shape[-1], device=device).expand(data.shape[0], -1).contiguous()
    which = (torch.searchsorted(starts, times, right=True) - 1).clamp(min=0)
    place, duration = times - starts.gather(1, which), durations.gather(1, which)
    inside = (place >= 0) & (place < duration) & (times < ends)
    fade = (duration // 2).clamp(max=bursts.fade)
    edge = torch.minimum(place, duration - 1 - place)
    rise = torch.where(edge < fade, fade_phase((edge.to(dtype) + 0.5) / fade.clamp(min=1).to(dtype)).sin(), 1)
    first = begins + (offsets * (sizes - durations + 1)).long()
    index = torch.where(inside, first.gather(1, which) + place, 0)
    if data.dim() == 3:
        channel = torch.arange(bursts.channels, device=device).unsqueeze(-1)
        index = index.unsqueeze(1) + torch.where(inside, sizes.gather(1, which), 0).unsqueeze(1) * channel
    shape = expand_mask(torch.where(inside, rise, 0), data)
    noise = torch.where(expand_mask(inside, data), bursts.samples[index].to(dtype) * shape, 0)
    energy = noise.square() if noise.dim() == 2 else noise.square().mean(1)
    lasting = torch.minimum(durations, ends - starts).clamp(min=1)
    sums = [torch.where(which == k, energy, 0).sum(1) for k in range(starts.shape[1])]  # always in the same order
    power = torch.stack(sums, 1) / lasting
    signal = valid_power(data, lengths).flatten(1)
    heard = (power > 0) & (signal > 0)
    ratio = torch.where(signal > 0, signal, 1).sqrt() / torch.where(heard, power, 1).sqrt()
    scale = torch.where(heard, ratio / db_to_amplitude(snr_db).to(dtype), 0)
    mixed = data + noise * expand_mask(scale.gather(1, which), data)
    return zero_past(torch.where(per_item(active, data) != 0, mixed, data), lengths)


def _add_one_by_one(data: Tensor, lengths: Tensor, bursts: Bursts, active: Tensor) -> Tensor:
    """Returns the same, item by item from slices."""
    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    ends, chosen = lengths.tolist(), active.tolist()
    columns = [values.tolist() for values in bursts[1:7]]

    def job(row: int) -> None:
        n = ends[row]
        out[row, ..., n:].zero_()
        target, part = out[row, ..., :n], data[row, ..., :n].contiguous()
        target.copy_(part)
        power = mean_power(part) if chosen[row] and n else 0.0
        time = 0
        for begin, size, offset, gap, duration, snr_db in zip(*(values[row] for values in columns), strict=True):
            time += gap
            if time >= n or power == 0:
                break
            wave = bursts.samples[begin : begin + bursts.channels * size].view(bursts.channels, size)
            noise = _shaped(wave, offset, min(duration, size), bursts.fade, data)[:, : n - time].contiguous()
            scale = level(mean_power(noise), power) * 10 ** (snr_db / -20)
            added = noise * scale
            target[..., time : time + noise.shape[1]] += added if target.dim() == 2 else added[0]
            time += min(duration, size)

    threads.each(job, len(ends), data.numel() * 4)
    return out


def _shaped(wave: Tensor, offset: float, duration: int, fade: int, like: Tensor) -> Tensor:
    """Returns a part of a wave ``[C, size]`` that rises and falls, ``[C, duration]``."""
    noise = stretch(wave, offset, duration, 0, like).clone()
    fade = min(fade, duration // 2)
    if fade:
        rise = fade_phase((torch.arange(fade, device=like.device, dtype=like.dtype) + 0.5) / fade).sin()
        noise[:, :fade] *= rise
        noise[:, -fade:] *= rise.flip(0)
    return noise
