"""Coloured noise (white, pink, brown, blue, violet), and its addition to waveforms at a signal-to-noise ratio."""
# ruff: noqa: UP006, UP035

from __future__ import annotations

import math
from typing import List

import torch
from torch import Tensor

from ontheflyspec import rng
from ontheflyspec.functional.snr import mix
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.kept import kept
from ontheflyspec.op import Op

NOISE_BLOCK = 4096
"""Samples of one block of noise, and points of its spectrum."""
NOISE_FADE = 512
"""Samples over which each block fades into the next."""
NEW = NOISE_BLOCK - NOISE_FADE
"""Samples from the start of one block to that of the next."""
_DRAWN = 4
"""Blocks that are drawn at a time."""
LOWEST, ODD_BYTES = -(2**63), 0x0101010101010101
"""Least random word, and the bits set in all words: their bytes are odd numbers -127 to 127, all equally likely."""


def noise_blocks(drawn: Tensor, f_decay: Tensor, tables: List[Tensor]) -> Tensor:
    """Returns blocks of coloured noise of about unit power, ``[..., blocks, new]``, each faded into the next.

    Args:
        drawn: real and imaginary parts of random spectra, odd int8 ``[..., blocks, bins, 2]``.
        f_decay: see `colored_noise`, float32 ``[..., 1, 1, 1]``.
        tables: of `noise_tables`.
    """
    logs, rise, fall = tables[0], tables[1], tables[2]
    fade, size = rise.size(0), 2 * (logs.size(0) - 1)
    shape = torch.exp(logs * (f_decay / -2))
    shape.select(-2, 0).zero_()
    power = (shape * shape).sum([-2, -1], True) * (2 * (128 * 128 - 1) / 3)
    parts = drawn.to(shape.dtype).mul_(shape / power.sqrt())
    parts.select(-2, -1).select(-1, 1).zero_()  # spectra of real signals have no imaginary part there
    made: Tensor = torch.fft.irfft(torch.view_as_complex(parts), size, -1, "forward")
    if made.size(-2) > 1:
        end = made.narrow(-2, 0, made.size(-2) - 1).narrow(-1, size - fade, fade)
        made.narrow(-2, 1, made.size(-2) - 1).narrow(-1, 0, fade).mul_(rise).addcmul_(end, fall)
    return made.narrow(-1, 0, size - fade)


def colored_noise(like: Tensor, lengths: Tensor, f_decay: Tensor, keys: Tensor, active: Tensor) -> Tensor:
    """Returns coloured noise with a power spectrum of ``1 / f ** f_decay``, an independent stream for each item.

    Blocks of `NOISE_BLOCK` samples are drawn in the frequency domain, one after the other, and fade into each other
    over `NOISE_FADE` samples at constant power. The first n samples do not depend on how many follow: an item has the
    same noise alone as in a longer batch. The noise has no components below ``rate / NOISE_BLOCK``: no DC, no rumble
    that would use up the power of brown noise. The CPU draws by generator at the item's own length, other devices by
    counter for the whole batch at once.

    Args:
        like: ``[B, T]`` or ``[B, C, T]``: shape, type and device of the noise; each channel has its own samples.
        lengths: int64 ``[B]``.
        f_decay: float64 ``[B]``: 0 white, 1 pink, 2 brown, -1 blue, -2 violet.
        keys: of the items' streams, int64 ``[B]``.
        active: bool ``[B]``; other items get any noise.

    Returns:
        Noise of about unit power, arbitrary past an item's length.
    """
    if like.device.type != "cpu":
        return _counted_noise(like, f_decay, keys)
    make = _traced_noise if torch.compiler.is_compiling() else _drawn_noise
    return make(like.detach(), lengths, f_decay, keys, active)


@Op
def add_colored_noise(
    data: Tensor, lengths: Tensor, *, active: Tensor, f_decay: Tensor, keys: Tensor, snr_db: Tensor
) -> Tensor:
    """Adds coloured noise to items at an SNR to the power of their valid part, 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: as in `colored_noise`.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        f_decay: as in `colored_noise`.
        keys: as in `colored_noise`.
        snr_db: float64 ``[B]``.
    """
    noise = colored_noise(data, lengths, f_decay, keys, active)
    return mix(data, lengths, active, noise, valid_power(noise, lengths), snr_db)


def _counted_noise(like: Tensor, f_decay: Tensor, keys: Tensor) -> Tensor:
    """Returns the noise of a device: each sample depends on its key, channel and place alone."""
    made = like if like.dim() == 3 else like.unsqueeze(1)
    items, channels, size = made.shape
    keys, f_decay = (one.to(like.device, non_blocking=True) for one in (keys, f_decay))
    blocks, bins = -(-size // NEW), NOISE_BLOCK // 2 + 1
    drawn = rng.counted_bytes(keys, blocks * channels, 2 * bins) | 1
    drawn = drawn.view(items, blocks, channels, bins, 2).transpose(1, 2)
    streams = noise_blocks(drawn, f_decay.float()[:, None, None, None, None], noise_tables(like.device))
    return streams.flatten(2)[..., :size].reshape(like.shape).to(like.dtype)


def _drawn_noise(like: Tensor, lengths: Tensor, f_decay: Tensor, keys: Tensor, active: Tensor) -> Tensor:
    noise = torch.zeros_like(like)
    made = noise if like.dim() == 3 else noise.unsqueeze(1)
    channels, bins = made.shape[1], NOISE_BLOCK // 2 + 1
    sizes, tables = lengths.tolist(), noise_tables(like.device)
    for row, wanted in enumerate(active.tolist()):  # one item at a time stays in the cache
        draws = -(-sizes[row] // (NEW * _DRAWN)) if wanted else 0
        if not draws:
            continue
        # Bytes of random words cost a third of normal numbers, and the sum over a block's bins is as good as normal.
        words = torch.empty(draws, _DRAWN * channels * bins // 4, dtype=torch.int64, device="cpu")
        words.random_(LOWEST, None, generator=rng.generator(like.device, rng.mix(int(keys[row])))).bitwise_or_(
            ODD_BYTES
        )
        drawn = words.view(torch.int8).view(-1, channels, bins, 2).transpose(0, 1)
        stream = noise_blocks(drawn, f_decay[row].float(), tables).flatten(1)
        made[row, :, : sizes[row]] = stream[:, : sizes[row]]
    return noise


# As one node of a compiled graph: generators cannot be traced.
_traced_noise = torch.library.custom_op("ontheflyspec::colored_noise", _drawn_noise, mutates_args=())


@_traced_noise.register_fake
def _alike(like: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(like)


def noise_tables(device: torch.device) -> List[Tensor]:
    """Returns logarithms of bin numbers, twice, ``[bins, 2]``, and the fade-in and fade-out of blocks, ``[fade]``.

    The value for bin 0 does not matter, as noise has no DC.
    """
    return list(_kept_tables(device))


@kept(4)
def _kept_tables(device: torch.device) -> tuple[Tensor, ...]:
    logs = torch.arange(NOISE_BLOCK // 2 + 1, device=device).float().clamp(min=1).log().unsqueeze(-1).repeat(1, 2)
    phase = (torch.arange(NOISE_FADE, device=device).float() + 0.5) * (math.pi / 2 / NOISE_FADE)
    return logs, phase.sin(), phase.cos()
