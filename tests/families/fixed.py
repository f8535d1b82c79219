"""Fixed steps of preprocessing: levels, filters, duration and coding, the same in training and evaluation."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import RATE, Case


def _case(kind: str, options: dict[str, Any], **facts: Any) -> Case:
    return Case(f"{kind}-always", functools.partial(getattr(ofs, kind), **options), **facts)


CASES: list[Case] = [
    _case("Gain", {"gain_db": -3.0}),
    _case("PeakNormalize", {"peak_db": -3.0}),
    _case("RMSNormalize", {"rms_db": -20.0}),
    _case("LoudnessNormalize", {"sample_rate": RATE}),
    _case("LowPass", {"cutoff_hz": 900.0, "order": 3, "sample_rate": RATE}),
    _case("HighPass", {"cutoff_hz": 900.0, "zero_phase": False, "sample_rate": RATE}),
    _case("BandPass", {"center_hz": 1_000.0, "bandwidth": 0.7, "sample_rate": RATE}),
    _case("Telephone", {"mu": 3.0, "sample_rate": RATE}, smooth=False),
    _case("PreEmphasis", {}),
    _case("MuLaw", {"mu": 100.0}, smooth=False),
    _case("AdjustDuration", {"seconds": 0.01, "crop": "center", "sample_rate": RATE}, steps=lambda _: 80),
    _case("TrimSilence", {"frame_length": 16, "hop_length": 5, "top_db": 3.0}, lengths="data"),
]
