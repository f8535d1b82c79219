"""Synthetic room impulse responses: a direct path, then exponentially decaying noise (RT60, DRR)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ontheflyspec import rng
from ontheflyspec.kept import count_up, where

_NEPERS = 3 * math.log(10)
"""Decrease of an amplitude's natural logarithm while its level falls by 60 dB."""


def reverberation_samples(rt60: float) -> int:
    """Returns samples of a response whose level falls by 60 dB in ``rt60`` samples; the first is the direct path."""
    return 1 + math.ceil(rt60)


class Rooms(NamedTuple):
    """Synthetic rooms of items, see `room_responses`.

    Args:
        rt60: reverberation times, samples in which the level falls by 60 dB, above 0, float64 ``[B]`` on any device.
        drr_db: direct-to-reverberant ratios in dB, float64 ``[B]`` on any device.
        keys: of the items' random streams, int64 ``[B]`` on any device.
        longest: upper limit of ``rt60``, for compilers and devices, whose values are not asked for.
    """

    rt60: Tensor
    drr_db: Tensor
    keys: Tensor
    longest: float

    def together(self, like: Tensor, active: Tensor) -> tuple[Tensor, int]:
        """Returns the responses of all active items, ``[B, 1, m]``, and the sample of their time 0."""
        known = self.rt60.device.type == "cpu" and not torch.compiler.is_compiling()
        size = reverberation_samples(max(self.rt60.tolist()) if known else self.longest)
        return room_responses(like, *self[:3], active, size).unsqueeze(1), 0

    def alone(self, like: Tensor, row: int, most: int) -> tuple[Tensor, int]:
        """Returns the response of an item, ``[1, m]``, up to delay ``most``, and the sample of its time 0."""
        rt60, drr_db, keys = (one[row : row + 1] for one in self[:3])
        size, active = min(reverberation_samples(float(rt60)), most), torch.ones(1, dtype=torch.bool, device="cpu")
        return room_responses(like, rt60, drr_db, keys, active, size), 0


def room_responses(like: Tensor, rt60: Tensor, drr_db: Tensor, keys: Tensor, active: Tensor, size: int) -> Tensor:
    """Returns room impulse responses ``[B, size]``, each of energy 1; the first sample is the direct path.

    Noise of random signs (white, like Gaussian noise) follows it under an exponential envelope, whose energy falls by
    exactly 60 dB in ``rt60`` samples and ends there. The CPU draws signs by generator, as many as ``rt60`` says, other
    devices by counter.

    Args:
        like: for type and device.
        rt60: as in `Rooms`.
        drr_db: as in `Rooms`.
        keys: as in `Rooms`.
        active: bool ``[B]``; others get any response.
        size: samples; longer responses are cut.
    """
    rt60, drr_db, keys = (one.to(like.device, non_blocking=True) for one in (rt60, drr_db, keys))
    if like.device.type != "cpu":
        return _counted_responses(like, rt60, drr_db, keys, size)
    make = _traced_responses if torch.compiler.is_compiling() else _responses
    return make(like.detach(), rt60, drr_db, keys, active, size)


def _counted_responses(like: Tensor, rt60: Tensor, drr_db: Tensor, keys: Tensor, size: int) -> Tensor:
    steps = count_up(size, like.device)
    inside = (steps > 0) & (steps <= torch.ceil(rt60).unsqueeze(-1))
    signs = (rng.counted_bytes(keys, 1, size)[:, 0] & 2).to(like.dtype) - 1
    return _decaying(where(inside, signs, 0), rt60, drr_db)


def _responses(like: Tensor, rt60: Tensor, drr_db: Tensor, keys: Tensor, active: Tensor, size: int) -> Tensor:
    signs = torch.zeros(rt60.shape[0], size, dtype=like.dtype, device=like.device)
    for row, (seconds, key, wanted) in enumerate(zip(rt60.tolist(), keys.tolist(), active.tolist(), strict=True)):
        if wanted:
            end = min(reverberation_samples(seconds), size)
            signs[row, 1:end].random_(0, 2, generator=rng.generator(like.device, rng.mix(key))).mul_(2).sub_(1)
    return _decaying(signs, rt60, drr_db)


def _decaying(signs: Tensor, rt60: Tensor, drr_db: Tensor) -> Tensor:
    """Returns responses of signs ``[B, size]``, 0 at and past their ends."""
    slope = -_NEPERS / rt60
    ratio, steps = torch.exp(drr_db * (math.log(10) / 10)), torch.ceil(rt60)
    energy = torch.expm1(2 * slope * steps) / torch.expm1(2 * slope) * torch.exp(2 * slope)
    level = -((1 + ratio) * energy).log() / 2
    slope, level = (values.to(signs.dtype).unsqueeze(-1) for values in (slope, level))
    envelope = torch.exp(slope * count_up(signs.shape[1], signs.device) + level)
    made = signs * envelope
    made[:, 0] = (ratio / (1 + ratio)).sqrt().to(signs.dtype)
    return made


# As one node of a compiled graph: generators cannot be traced.
_traced_responses = torch.library.custom_op("ontheflyspec::room_responses", _responses, mutates_args=())


@_traced_responses.register_fake
def _alike(like: Tensor, rt60: Tensor, *others: Any) -> Tensor:
    return like.new_empty(rt60.shape[0], others[-1])
