"""Augmentations of spectrograms, of channels, and between items."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import Case


def _case(name: str, kind: str, takes: Any = "features", facts: dict[str, Any] | None = None, **options: Any) -> Case:
    make = functools.partial(getattr(ofs.augment, kind), **options)
    return Case(f"{kind}-{name}", make, takes, random=True, **(facts or {}))


CASES: list[Case] = [
    _case("warp", "SpecAugment", time_warp_param=7, max_time_share=0.3, time_mask_param=8, freq_mask_param=3, p=0.8),
    _case("mean", "FrequencyShift", shift_bands=(-2, 7), p=0.8),
    _case("bins", "VTLP", alpha=(0.5, 2.0), p=0.8),
    _case("mel", "VTLP", "power", frequencies=[200.0, 400.0, 600.0, 900.0, 1400.0, 2000.0], fmax=4_000.0),
    _case("linear", "FilterAugment", "power", min_bandwidth=1, p=0.8),
    _case("step", "FilterAugment", shape="step", stype="db", n_bands=(1, 8), p=0.8),
    _case("mean", "SpecCutout", max_frames=9, max_bands=7, p=0.8),
]
