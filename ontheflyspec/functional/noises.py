"""Noise of a given colour, and waves with such noise at a ratio to their power."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

import functools
import math
from typing import List

import torch
from torch import Generator, Tensor

from ontheflyspec import rng, threads
from ontheflyspec.batch import per_item
from ontheflyspec.functional.blocks import applicable, map_rows
from ontheflyspec.functional.programs import compiled
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.functional.waveform import db_to_amplitude, mix, snr_scale

NOISE_BLOCK = 4096
"""Samples of one block of noise: its spectrum has this many points."""
NOISE_FADE = 512
"""Samples over which one block fades into the next."""
_NEW = NOISE_BLOCK - NOISE_FADE
_DRAWN = 4
"""Blocks that are drawn at a time: where a GPU's generator stands afterwards depends on how many those are."""
_LOWEST = -(2**63)
_ODD_BYTES = 0x0101010101010101


def noise_blocks(drawn: Tensor, f_decay: Tensor, logs: Tensor, rise: Tensor, fall: Tensor) -> Tensor:
    """Returns blocks of coloured noise of about unit power, ``[..., blocks, new]``, each faded into the next.

    Args:
        drawn: parts of random spectra, odd int8 ``[..., blocks, bins, 2]``.
        f_decay: see `colored_noise`, float32 ``[..., 1, 1, 1]``.
        logs: of the numbers of the bins, twice, ``[bins, 2]``; what stands for the first does not matter.
        rise: factors of the start of a block, ``[fade]``.
        fall: of the end of the one before.
    """
    fade, size = rise.size(0), 2 * (logs.size(0) - 1)
    shape = torch.exp(logs * (f_decay / -2))
    shape.select(-2, 0).zero_()
    power = (shape * shape).sum([-2, -1], True) * (2 * (128 * 128 - 1) / 3)
    parts = drawn.to(shape.dtype).mul_(shape / power.sqrt())
    made: Tensor = torch.fft.irfft(torch.view_as_complex(parts), size, -1, "forward")
    if made.size(-2) > 1:
        end = made.narrow(-2, 0, made.size(-2) - 1).narrow(-1, size - fade, fade)
        made.narrow(-2, 1, made.size(-2) - 1).narrow(-1, 0, fade).mul_(rise).addcmul_(end, fall)
    return made.narrow(-1, 0, size - fade)


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
    scale = 0.0
    if heard > 0 and added > 0:
        scale = (heard / added) ** 0.5 * ratio
    if scale == 0:
        out.copy_(wave)
        return
    # Scaled and added in one step it would be rounded in a way that depends on the layout.
    torch.mul(body, scale, out=out.narrow(1, 0, whole).view([wave.size(0), count, new]))
    torch.mul(rest, scale, out=out.narrow(1, whole, n - whole))
    out.add_(wave)


def add_noise_to_rows(
    out: Tensor,
    waves: Tensor,
    rows: List[int],
    sizes: List[int],
    generators: List[Generator],
    f_decay: List[Tensor],
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
        f_decay: ``[1, 1, 1]``, of each of the B items.
        ratios: of root mean squares, noise to wave, likewise.
        words: int64, room for all that an item draws.
        drawn: the same memory as int8 ``[blocks, C, bins, 2]``.
        lowest: least number of 64 bits.
        odd: bits that are set in all words.
        tables: last three arguments of `noise_blocks`.
    """
    new = 2 * (tables[0].size(0) - 1) - tables[1].size(0)
    draws = drawn.select(0, 0).numel()
    for i in range(len(rows)):
        row = rows[i]
        n = sizes[row]
        count = (n + new - 1) // new
        own = words.narrow(0, 0, (count * draws + 7) // 8)
        own.random_(lowest, None, generator=generators[i]).bitwise_or_(odd)
        spectra = drawn.narrow(0, 0, count).transpose(0, 1)
        noise = noise_blocks(spectra, f_decay[row], tables[0], tables[1], tables[2])
        add_noise(out[row].narrow(1, 0, n), waves[row].narrow(1, 0, n), noise, ratios[row])


_ADD = compiled([noise_blocks, add_noise, add_noise_to_rows])(add_noise_to_rows)


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


def add_colored_noise(
    data: Tensor, lengths: Tensor, f_decay: Tensor, keys: Tensor, snr_db: Tensor, active: Tensor
) -> Tensor:
    """Returns items with noise of `colored_noise` at a ratio to the power of their valid part, 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: as in `colored_noise`.
        f_decay: likewise.
        keys: likewise.
        snr_db: float64 ``[B]``.
        active: bool ``[B]`` on the host; other items keep their valid part bit for bit.
    """
    if not applicable(data, lengths, snr_db):
        noise = colored_noise(data, lengths, f_decay, keys, active)
        scale = snr_scale(valid_power(data, lengths), valid_power(noise, lengths), per_item(snr_db, data))
        return mix(data, lengths, noise, scale, per_item(active, data) != 0)
    waves = data if data.dim() == 3 else data.unsqueeze(1)
    sizes, ratios, seeds = lengths.tolist(), db_to_amplitude(-snr_db).tolist(), keys.tolist()
    decays, tables = list(f_decay.float()[:, None, None, None].unbind()), _tables(data.device)

    def write(out: Tensor, rows: list[int]) -> None:
        words, drawn = _room(data.device, 1, max(sizes[row] for row in rows), waves.shape[1])
        generators = [rng.generator(data.device, rng.mix(seeds[row])) for row in rows]
        room = words.view(-1), drawn[0]
        _ADD(out, waves, rows, sizes, generators, decays, ratios, *room, _LOWEST, _ODD_BYTES, tables)

    return map_rows(waves, lengths, active, write, cost=4).view(data.shape)


def _noise(like: Tensor, lengths: Tensor, f_decay: Tensor, keys: Tensor, active: Tensor) -> Tensor:
    noise = torch.zeros_like(like)
    made = noise if like.dim() == 3 else noise.unsqueeze(1)
    rows = [row for row, wanted in enumerate(active.tolist()) if wanted]
    sizes = lengths.tolist() if lengths.device.type == "cpu" else [like.shape[-1]] * like.shape[0]
    seeds, tables = keys.tolist(), _tables(like.device)
    # One item at a time stays in the CPU's cache; an accelerator rather takes all at once.
    groups = [[row] for row in rows] if like.device.type == "cpu" else [rows]

    def job(number: int) -> None:
        group = groups[number]
        longest = max((sizes[row] for row in group), default=0)
        if longest == 0:
            return
        words, drawn = _room(like.device, len(group), longest, made.shape[1])
        for row, draws in zip(group, words, strict=True):
            generator = rng.generator(like.device, rng.mix(seeds[row]))
            for part in draws[: -(-sizes[row] // (_NEW * _DRAWN))]:
                part.random_(_LOWEST, None, generator=generator).bitwise_or_(_ODD_BYTES)
        decays = f_decay[group].float()[:, None, None, None, None].to(like.device, non_blocking=True)
        streams = noise_blocks(drawn.transpose(1, 2), decays, *tables).flatten(2)
        for row, stream in zip(group, streams, strict=True):
            made[row, :, : sizes[row]] = stream[:, : sizes[row]]

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


def _room(device: torch.device, items: int, longest: int, channels: int) -> tuple[Tensor, Tensor]:
    """Returns room for random words, int64 ``[items, draws, words]``, and the same as bytes.

    The parts of spectra are odd, -127 to 127, each as likely: bytes of random words cost a third of normal numbers, and
    the sum over the bins of a block is as good as normal.

    Shape of the bytes: int8 ``[items, blocks, channels, bins, 2]``.
    """
    bins = NOISE_BLOCK // 2 + 1
    draws = -(-longest // (_NEW * _DRAWN))
    words = torch.zeros(items, draws, _DRAWN * channels * bins // 4, dtype=torch.int64, device=device)
    return words, words.view(torch.int8).view(items, draws * _DRAWN, channels, bins, 2)


@functools.lru_cache(4)
def _tables(device: torch.device) -> list[Tensor]:
    """Returns the last three arguments of `noise_blocks`."""
    logs = torch.arange(NOISE_BLOCK // 2 + 1, device=device).float().clamp(min=1).log().unsqueeze(-1).repeat(1, 2)
    phase = (torch.arange(NOISE_FADE, device=device).float() + 0.5) * (math.pi / 2 / NOISE_FADE)
    return [logs, phase.sin(), phase.cos()]
