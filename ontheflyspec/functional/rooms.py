"""Responses of made-up rooms: a direct path, then noise that decays exponentially."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec import rng

_NEPERS = 3 * math.log(10)
"""By which the logarithm of an amplitude falls while its level falls by 60 dB."""


def reverberation_samples(rt60: float) -> int:
    """Returns samples of a response whose level falls by 60 dB in ``rt60`` samples; the first is the direct path."""
    return 1 + math.ceil(rt60)


def room_responses(like: Tensor, rt60: Tensor, drr_db: Tensor, keys: Tensor, active: Tensor, size: int) -> Tensor:
    """Returns responses of rooms, ``[B, size]``, each of energy 1, whose first sample is the direct path.

    Noise of random signs (white, as Gaussian noise is) follows it under an exponential envelope, so that the energy
    falls by exactly 60 dB in ``rt60`` samples, and ends there. How many random numbers an item takes depends on its
    ``rt60`` alone.

    Args:
        like: for type and device.
        rt60: float64 ``[B]`` on the host, samples in which the level falls by 60 dB, above 0.
        drr_db: float64 ``[B]`` on the host, dB of the direct path's energy over that of all that follows.
        keys: int64 ``[B]`` on the host, what each item's generator is seeded by.
        active: bool ``[B]`` on the host; others get any response.
        size: samples; longer responses are cut.
    """
    make = _traced_responses if torch.compiler.is_compiling() else _responses
    return make(like.detach(), rt60, drr_db, keys, active, size)


def _responses(like: Tensor, rt60: Tensor, drr_db: Tensor, keys: Tensor, active: Tensor, size: int) -> Tensor:
    signs = torch.zeros(rt60.shape[0], size, dtype=like.dtype, device=like.device)
    for row, (seconds, key, wanted) in enumerate(zip(rt60.tolist(), keys.tolist(), active.tolist(), strict=True)):
        if wanted:
            end = min(reverberation_samples(seconds), size)
            signs[row, 1:end].random_(0, 2, generator=rng.generator(like.device, rng.mix(key))).mul_(2).sub_(1)
    slope = -_NEPERS / rt60
    ratio, steps = torch.exp(drr_db * (math.log(10) / 10)), torch.ceil(rt60)
    energy = torch.expm1(2 * slope * steps) / torch.expm1(2 * slope) * torch.exp(2 * slope)
    level = -((1 + ratio) * energy).log() / 2
    slope, level = (values.to(like.device, like.dtype, non_blocking=True).unsqueeze(-1) for values in (slope, level))
    envelope = torch.exp(slope * torch.arange(size, device=like.device) + level)
    direct = (ratio / (1 + ratio)).sqrt().to(like.device, like.dtype, non_blocking=True)
    made = signs * envelope
    made[:, 0] = direct
    return made


@torch.library.custom_op("ontheflyspec::room_responses", mutates_args=())
def _traced_responses(like: Tensor, rt60: Tensor, drr_db: Tensor, keys: Tensor, active: Tensor, size: int) -> Tensor:
    """Responses as one node of a compiled graph: generators cannot be traced."""
    return _responses(like, rt60, drr_db, keys, active, size)


@_traced_responses.register_fake
def _(like: Tensor, rt60: Tensor, drr_db: Tensor, keys: Tensor, active: Tensor, size: int) -> Tensor:  # noqa: ARG001
    return like.new_empty(rt60.shape[0], size)
