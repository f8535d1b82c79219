"""Waveforms: levels, shifts, and noise of a given colour."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec import rng, threads
from ontheflyspec.batch import expand_mask
from ontheflyspec.functional.blocks import applicable, map_items
from ontheflyspec.functional.masking import zero_past

NOISE_BLOCK = 4096
"""Samples of one block of noise: its spectrum has this many points."""
NOISE_FADE = 512
"""Samples over which one block fades into the next."""
_BLOCKS_DRAWN = 4
_ODD_BYTES = 0x0101010101010101
_BYTE_STD = math.sqrt((128**2 - 1) / 3)


def db_to_amplitude(decibels: Tensor) -> Tensor:
    """Returns ``10 ** (decibels / 20)``; ``exp`` gives the same bits alone as in a batch, ``pow`` does not."""
    return torch.exp(decibels * (math.log(10) / 20))


def shift_samples(data: Tensor, lengths: Tensor, shift: Tensor, *, circular: bool) -> Tensor:
    """Returns each item moved within its own valid part, exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        shift: int64 ``[B]``, samples; above 0 moves to later times.
        circular: what leaves on one side comes in on the other; else zeros come in.
    """
    if applicable(data, lengths, shift):
        return _shift_one_by_one(data, lengths, shift, circular)
    lengths = lengths.to(data.device, non_blocking=True).unsqueeze(-1)
    shift = shift.to(data.device, non_blocking=True).unsqueeze(-1)
    later = torch.arange(data.shape[-1], device=data.device)
    valid = later < lengths
    if circular:
        source = later - shift % lengths.clamp(min=1)
        source = torch.where(source < 0, source + lengths, source)
    else:
        source = later - shift
        valid = valid & (source >= 0) & (source < lengths)
    source = torch.where(valid, source, 0)
    moved = data.gather(-1, expand_mask(source, data).expand(data.shape))
    return torch.where(expand_mask(valid, data), moved, 0)


def _shift_one_by_one(data: Tensor, lengths: Tensor, shift: Tensor, circular: bool) -> Tensor:
    """Returns the same as a gather, by copies of slices, 10 times as fast on a CPU."""
    moved = torch.zeros_like(data)
    sizes, steps = lengths.tolist(), shift.tolist()

    def job(row: int) -> None:
        new, old, size = moved[row], data[row], sizes[row]
        by = steps[row] % max(size, 1) if circular else max(-size, min(steps[row], size))
        start, end = max(by, 0), size + min(by, 0)
        new[..., start:end] = old[..., start - by : end - by]
        if circular:
            new[..., :by] = old[..., size - by : size]

    threads.each(job, len(sizes), data.numel())
    return moved


def snr_scale(signal_power: Tensor, noise_power: Tensor, snr_db: Tensor) -> Tensor:
    """Returns what noise is multiplied by to lie ``snr_db`` below the signal; 0 where either is silent."""
    heard = (signal_power > 0) & (noise_power > 0)
    ratio = torch.where(heard, signal_power, 1).sqrt() / torch.where(heard, noise_power, 1).sqrt()
    return torch.where(heard, ratio / db_to_amplitude(snr_db), 0)


def mix(data: Tensor, lengths: Tensor, other: Tensor, scale: Tensor, active: Tensor) -> Tensor:
    """Returns ``data + other * scale`` for the active items, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        other: of the shape of ``data``.
        scale: ``[B, 1, ...]``.
        active: bool ``[B, 1, ...]``; other items keep their valid part bit for bit.
    """
    if not applicable(data, lengths, other, scale):
        return zero_past(torch.where(active, data + other * scale, data), lengths)

    def compute(part: Tensor, own: Tensor | None, items: slice) -> Tensor:
        mixed = torch.where(active[items], part + other[items, ..., : part.shape[-1]] * scale[items], part)
        return mixed if own is None else zero_past(mixed, own)

    return map_items(data, lengths, compute)


def colored_noise(like: Tensor, lengths: Tensor, f_decay: Tensor, keys: Tensor, active: Tensor) -> Tensor:
    """Returns noise whose power spectrum falls as ``1 / f ** f_decay``, a stream of its own for each item.

    Blocks of `NOISE_BLOCK` samples are drawn in the frequency domain, one after the other, and fade into each other
    over `NOISE_FADE` samples so that their power stays even. The first n samples do not depend on how many follow:
    an item has the same noise alone as in a longer batch, whether or not its length is known on the host.
    Below ``rate / NOISE_BLOCK`` there is nothing: no DC, no rumble that would use up the power of brown noise.

    Args:
        like: ``[B, T]`` or ``[B, C, T]``: shape, type and device of the noise; each channel has its own samples.
        lengths: int64 ``[B]``; on the host they save drawing what lies past them.
        f_decay: float64 ``[B]`` on the host: 0 white, 1 pink, 2 brown, -1 blue, -2 violet.
        keys: int64 ``[B]`` on the host, what each item's generator is seeded by.
        active: bool ``[B]`` on the host; other items get zeros.

    Returns:
        Noise of about unit power; 0 for inactive items, anything past an item's length.
    """
    make = _traced_noise if torch.compiler.is_compiling() else _noise
    return make(like.detach(), lengths, f_decay, keys, active)


def _noise(like: Tensor, lengths: Tensor, f_decay: Tensor, keys: Tensor, active: Tensor) -> Tensor:
    noise = torch.zeros_like(like)
    rows = [row for row, wanted in enumerate(active.tolist()) if wanted]
    sizes = lengths.tolist() if lengths.device.type == "cpu" else [like.shape[-1]] * like.shape[0]
    seeds = keys.tolist()
    # One item at a time stays in the CPU's cache; an accelerator rather takes all at once.
    groups = [[row] for row in rows] if like.device.type == "cpu" else [rows]

    def job(number: int) -> None:
        group = groups[number]
        longest = max((sizes[row] for row in group), default=0)
        if longest == 0:
            return
        channels = math.prod(like.shape[1:-1])
        drawn = _draw_blocks(like.device, [(seeds[row], sizes[row]) for row in group], longest, channels)
        made = _join_blocks(drawn, _colour(f_decay[group]).to(like.device, non_blocking=True))
        for row, stream in zip(group, made, strict=True):
            noise[row, ..., : sizes[row]] = stream[:, : sizes[row]].reshape(*like.shape[1:-1], sizes[row])

    if like.device.type == "cpu":
        threads.each(job, len(groups), like.numel() * 4)
    else:
        job(0)
    return noise


@torch.library.custom_op("ontheflyspec::colored_noise", mutates_args=())
def _traced_noise(like: Tensor, lengths: Tensor, f_decay: Tensor, keys: Tensor, active: Tensor) -> Tensor:
    """Noise as one node of a compiled graph: generators cannot be traced."""
    return _noise(like, lengths, f_decay, keys, active)


@_traced_noise.register_fake
def _(like: Tensor, lengths: Tensor, f_decay: Tensor, keys: Tensor, active: Tensor) -> Tensor:  # noqa: ARG001
    return torch.empty_like(like)


def _draw_blocks(device: torch.device, streams: list[tuple[int, int]], longest: int, channels: int) -> Tensor:
    """Returns random spectra ``[items, blocks, channels, NOISE_BLOCK / 2 + 1, 2]`` of int8, each item's in its order.

    Parts are odd and evenly spread, -127 to 127: bytes of random words cost a third of normal numbers, and the sum over
    the bins of a block is as good as normal. A few blocks are drawn at a time, always as many: how a generator fills a
    tensor depends on the tensor's size.
    """
    new = NOISE_BLOCK - NOISE_FADE
    draws = -(-longest // (new * _BLOCKS_DRAWN))
    bins = NOISE_BLOCK // 2 + 1
    words = torch.empty(len(streams), draws, _BLOCKS_DRAWN * channels * bins // 4, dtype=torch.int64, device=device)
    for item, (key, size) in zip(words, streams, strict=True):
        generator = rng.generator(device, rng.mix(key))
        for part in item[: -(-size // (new * _BLOCKS_DRAWN))]:
            part.random_(-(2**63), 2**63 - 1, generator=generator)
    odd = words.bitwise_or_(_ODD_BYTES).view(torch.int8)
    return odd.view(len(streams), draws * _BLOCKS_DRAWN, channels, bins, 2)


def _colour(f_decay: Tensor) -> Tensor:
    """Returns factors of drawn parts, float32 ``[items, 1, 1, bins, 2]``, for noise of unit power without DC."""
    bins = torch.arange(1, NOISE_BLOCK // 2 + 1, dtype=torch.float64, device=f_decay.device)
    shape = torch.exp(bins.log() * (f_decay.unsqueeze(-1) / -2))
    shape = shape / (2 * shape.square().sum(-1, keepdim=True).sqrt() * _BYTE_STD)
    return torch.nn.functional.pad(shape, (1, 0)).float()[:, None, None, :, None].repeat(1, 1, 1, 1, 2)


def _join_blocks(spectra: Tensor, colour: Tensor) -> Tensor:
    """Returns ``[items, channels, samples]``: blocks of coloured noise, each faded into the next."""
    new = NOISE_BLOCK - NOISE_FADE
    coloured = torch.view_as_complex(spectra.to(colour.dtype).mul_(colour))
    blocks = torch.fft.irfft(coloured, n=NOISE_BLOCK, norm="forward")
    phase = (torch.arange(NOISE_FADE, device=blocks.device) + 0.5) * (math.pi / 2 / NOISE_FADE)
    fade = blocks[:, 1:, :, :NOISE_FADE] * phase.sin() + blocks[:, :-1, :, new:] * phase.cos()
    blocks[:, 1:, :, :NOISE_FADE] = fade
    streams: Tensor = blocks[..., :new].transpose(1, 2).flatten(2)
    return streams
