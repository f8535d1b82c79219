"""Augmentations that move time, or pitch without it."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import RATE, Case


def _case(name: str, kind: str, options: dict[str, Any] | None = None, **facts: Any) -> Case:
    make = functools.partial(getattr(ofs.augment, kind), **(options or {}))
    return Case(f"{kind}-{name}" if name else kind, make, random=True, **facts)


CASES: list[Case] = [
    _case("", "PitchShift", {"p": 0.8}, smooth=False),
    _case("", "TimeStretch", {"p": 0.8}, smooth=False, lengths="drawn"),
    _case("", "Speed", {"p": 0.8}, lengths="drawn"),
    _case("circular", "TimeShift", {"shift_s": (-0.02, 0.02), "fade_s": 0.002, "p": 0.8}),
    _case("faded", "TimeShift", {"shift_s": (-0.02, 0.02), "mode": "zero", "fade_s": 0.002}),
    _case("", "TimeInversion", {"p": 0.5}),
    _case("", "ChunkSwap", {"n_chunks": 3, "p": 0.8}),
    _case("", "TimeMask", {"n_masks": 2, "fraction": (0.0, 0.5), "fade_s": 0.001, "p": 0.8}),
    _case("noise", "TimeMask", {"fraction": 0.3, "fill": "noise", "p": 0.7}, noise=True),
    _case("", "RandomCrop", {"seconds": 0.008, "sample_rate": RATE, "p": 0.7}, lengths="drawn"),
    _case(
        "",
        "AdjustDuration",
        {"seconds": 0.01, "position": "random", "sample_rate": RATE, "p": 0.7},
        lengths="drawn",
    ),
    _case("", "TrimSilence", {"frame_length": 16, "hop_length": 5, "top_db": 3.0, "p": 0.5}, lengths="data"),
]
