"""Recordings, rooms and short noises on waveforms."""

from __future__ import annotations

import functools
from typing import Any

import torch

import ontheflyspec as ofs
from case import RATE, Case


def bank(*sizes: int, channels: int | None = None, rate: float = RATE) -> ofs.WaveformBank:
    """Returns a bank of noises of these many samples."""
    draws = torch.Generator().manual_seed(len(sizes))
    lead = () if channels is None else (channels,)
    return ofs.WaveformBank([0.1 * torch.randn(*lead, size, generator=draws) for size in sizes], rate=rate)


def _case(name: str, kind: str, sizes: tuple[int, ...], options: dict[str, Any] | None = None, **facts: Any) -> Case:
    make = functools.partial(getattr(ofs.augment, kind), bank(*sizes), **(options or {}))
    return Case(f"{kind}-{name}" if name else kind, make, random=True, **facts)


CASES: list[Case] = [
    _case("", "AddBackgroundNoise", (1, 30, 171, 9_000)),
    _case("half", "AddBackgroundNoise", (40, 2_000), {"p": 0.5, "snr_db": 10.0}),
    _case("level", "AddBackgroundNoise", (1, 30, 9_000), {"level_db": (-40.0, -10.0), "p": 0.7}),
    _case("steps", "AddBackgroundNoise", (30, 9_000), {"noise_transform": ofs.HighPass(cutoff_hz=500.0)}),
    _case("", "Babble", (1, 30, 171, 9_000), {"n_speakers": (1, 3), "p": 0.8}),
    _case("", "ShortNoises", (1, 30, 171, 9_000), {"gap_s": (0.0, 0.02), "duration_s": (0.0, 0.03), "fade_s": 0.003}),
    _case("half", "ShortNoises", (40, 900), {"gap_s": 0.01, "max_noises": 1, "p": 0.5}),
    _case("", "ApplyImpulseResponse", (1, 7, 300, 5_000)),
    _case("half", "ApplyImpulseResponse", (40, 1_500), {"p": 0.5}),
    _case("early", "ApplyImpulseResponse", (1, 300, 5_000), {"part": "early"}),
    _case("tail", "ApplyImpulseResponse", (1, 7, 300, 2_000), {"tail": True, "p": 0.7}, lengths="drawn"),
    Case("SimulateRoom", functools.partial(ofs.augment.SimulateRoom, rt60_s=(0.001, 0.4)), random=True, noise=True),
]
