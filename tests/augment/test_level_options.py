"""Every option of filters, levels and distortions does what it can: with another value the output changes."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs
from families.level import CASES

RATE = 8_000.0
FILTER: dict[str, Any] = {"order": 3, "zero_phase": False}
BAND: dict[str, Any] = {**FILTER, "center_hz": 700.0, "bandwidth": 0.7}
TABLE: dict[str, dict[str, Any]] = {
    "LowPass": {**FILTER, "cutoff_hz": 300.0},
    "HighPass": {**FILTER, "cutoff_hz": 300.0},
    "BandPass": BAND,
    "BandStop": BAND,
    "PeakingEQ": {"center_hz": 900.0, "gain_db": 10.0, "q": 0.7},
    "LowShelf": {"cutoff_hz": 900.0, "gain_db": 10.0, "q": 0.7},
    "HighShelf": {"cutoff_hz": 900.0, "gain_db": 10.0, "q": 0.7},
    "SevenBandEQ": {"gain_db": 10.0},
    "PreEmphasis": {"coefficient": (0.5, 0.9)},
    "Telephone": {"low_hz": (400.0, 600.0), "high_hz": 2_000.0, "order": 2, "mu": 15.0},
    "GainTransition": {"gain_db": (0.0, 20.0), "duration_s": 0.1},
    "Fade": {"fade_in_s": 0.2, "fade_out_s": 0.3, "shape": "half_sine"},
    "PeakNormalize": {"peak_db": (-20.0, -10.0)},
    "RMSNormalize": {"rms_db": -40.0},
    "LoudnessNormalize": {"loudness_lufs": -40.0},
    "Clip": {"percentile": 60.0},
    "TanhDistortion": {"amount": 0.9},
    "BitCrush": {"bits": 4},
    "MuLaw": {"mu": (15.0, 30.0)},
}
BASES: dict[str, dict[str, Any]] = {
    "PreEmphasis": {"coefficient": (0.5, 0.9)},
    "MuLaw": {"mu": (15.0, 30.0)},
    "Telephone": {"low_hz": (200.0, 600.0)},
    "PeakNormalize": {"peak_db": (-20.0, -10.0)},
}
"""Options with which something is drawn, where it is not by default."""
SHARED = {"p": 0.0, "seed": 5}
FLIPS = [(kind, option) for kind, others in TABLE.items() for option in [*others, *SHARED]]


@functools.cache
def shown(kind: str, **options: Any) -> Tensor:
    """Returns what a class makes of two items."""
    draws = torch.Generator().manual_seed(0)
    waves = [torch.randn(n, generator=draws) * torch.linspace(0.05, 0.5, n) for n in (4_000, 2_500)]
    batch = ofs.pad(waves, rate=RATE, ids=[7, 8])
    return getattr(ofs.augment, kind)(**options)(batch).data


@pytest.mark.parametrize(("kind", "option"), FLIPS)
def test_every_option_changes_something(kind: str, option: str) -> None:
    base = BASES.get(kind, {}) if option == "seed" else {}
    one, two = shown(kind, **base), shown(kind, **base, **{option: {**SHARED, **TABLE[kind]}[option]})
    assert (one - two).abs().max() > 1e-3 * one.abs().max()


@pytest.mark.parametrize("kind", TABLE)
def test_table_has_every_option_with_another_value(kind: str) -> None:
    known = inspect.signature(getattr(ofs.augment, kind)).parameters
    assert set(TABLE[kind]) | set(SHARED) == set(known)
    for name, other in {**SHARED, **TABLE[kind]}.items():
        assert other != known[name].default, name


def test_table_has_every_class_of_the_family() -> None:
    assert set(TABLE) == {case.name.split("-")[0] for case in CASES}
