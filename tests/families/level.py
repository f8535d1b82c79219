"""Filters, equalisers, levels and distortions of waveforms."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import Case


def _case(name: str, kind: str, options: dict[str, Any] | None = None, **facts: Any) -> Case:
    make = functools.partial(getattr(ofs.augment, kind), **(options or {}))
    return Case(f"{kind}-{name}" if name else kind, make, random=True, **facts)


CASES: list[Case] = [
    _case("", "LowPass"),
    _case("causal", "LowPass", {"cutoff_hz": (900.0, 5_000.0), "order": 1, "zero_phase": False}),
    _case("half", "HighPass", {"order": 3, "p": 0.5}),
    _case("", "BandPass"),
    _case("causal", "BandStop", {"order": 1, "zero_phase": False}),
    _case("half", "PeakingEQ", {"p": 0.5}),
    _case("", "LowShelf", {"cutoff_hz": (300.0, 1_000.0)}),
    _case("", "HighShelf"),
    _case("", "SevenBandEQ"),
    _case("", "PreEmphasis", {"coefficient": (0.5, 1.0), "p": 0.7}),
    _case("", "Clip"),
    _case("half", "TanhDistortion", {"p": 0.5, "seed": 3}),
    _case("", "BitCrush", smooth=False),
    _case("", "MuLaw", {"mu": (15.0, 255.0), "p": 0.7}, smooth=False),
    _case("", "Telephone", {"low_hz": (200.0, 400.0), "order": 2, "p": 0.7}),
    # Of few levels: samples between two of them, where rounding decides, are as few.
    _case("coded", "Telephone", {"low_hz": (200.0, 400.0), "mu": 3.0, "p": 0.7}, smooth=False),
    _case("", "GainTransition", {"duration_s": (0.0, 0.02)}),
    _case("half", "GainTransition", {"p": 0.5}),
    _case("", "Fade", {"fade_in_s": (0.0, 0.01), "shape": "logarithmic", "p": 0.8}),
    _case("half-sine", "Fade", {"fade_out_s": (0.0, 0.02), "shape": "half_sine"}),
    _case("", "PeakNormalize", {"peak_db": (-6.0, 0.0), "p": 0.7}),
    _case("", "RMSNormalize"),
    _case("", "LoudnessNormalize", {"p": 0.7}),
]
