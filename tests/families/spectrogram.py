"""Augmentations of spectrograms, of channels, and between items."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import Case


def _case(name: str, step: str, takes: Any = "features", **options: Any) -> Case:
    make = functools.partial(getattr(ofs.augment, step), **options)
    return Case(f"{step}-{name}", make, takes, random=True)


CASES: list[Case] = [
    _case("warp", "SpecAugment", time_warp_param=7, max_time_share=0.3, time_mask_param=8, freq_mask_param=3, p=0.8),
    _case("mean", "FrequencyShift", shift_bands=(-2, 7), p=0.8),
    _case("bins", "VTLP", alpha=(0.5, 2.0), p=0.8),
    _case("mel", "VTLP", "power", frequencies=[200.0, 400.0, 600.0, 900.0, 1400.0, 2000.0], fmax=4_000.0),
    _case("linear", "FilterAugment", "power", min_bandwidth=1, p=0.8),
    _case("step", "FilterAugment", shape="step", stype="db", n_bands=(1, 8), p=0.8),
    _case("mean", "SpecCutout", max_frames=9, max_bands=7, p=0.8),
    _case("wave", "MixUp", "wave", p=0.8),
    _case("features", "MixUp", weight=(0.2, 0.7), kind="features"),
    _case("wave", "CutMix", "wave", p=0.8),
    _case("features", "CutMix", weight=(0.2, 0.7), kind="features"),
    _case("wave", "ChannelShuffle", "wave"),
    _case("features", "ChannelShuffle", kind="features", p=0.8),
    _case("wave", "ChannelDrop", "wave", n=(0, 2), p=0.8),
    _case("features", "ChannelDrop", share=(0.0, 1.0), kind="features", fill="mean"),
]
