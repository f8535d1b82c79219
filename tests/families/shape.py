"""Descriptors of a spectrum's shape, PCEN, separation of harmonic from percussive, learnable filters."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

import ontheflyspec as ofs
from case import BANDS, FOURIER, RATE, Case, centred, uncentred

SMOOTH: dict[str, Any] = {"sample_rate": RATE, "hop_length": 16, "time_constant": 0.08}


def _pcen(name: str, **options: Any) -> Case:
    return Case(f"PCEN-{name}", functools.partial(ofs.PCEN, **options), "power")


def _descriptors(name: str, steps: Callable[[int], int], *features: str, **options: Any) -> Case:
    if "contrast" in features:
        options = {"n_contrast_bands": 3, **options}
    make = functools.partial(ofs.SpectralDescriptors, **FOURIER, features=features, **options)
    # Contrast is compared as the valley's share of the peak. It and the bandwidth are left out where a frame is a
    # constant, as that of one reflected sample is: most bins hold rounding errors alone, and all of them count there.
    undo = _valley if features == ("contrast",) else lambda values: values
    return Case(f"SpectralDescriptors-{name}", make, steps=steps, undo=undo)


def _valley(values: Tensor) -> Tensor:
    return 10 ** (-values / 10)


def _hpss(name: str, takes: Literal["power", "complex"], **options: Any) -> Case:
    return Case(f"HPSS-{name}", functools.partial(ofs.HPSS, **options), takes)


def _learned(name: str, **options: Any) -> Case:
    sizes = {"sample_rate": RATE, "n_filters": 4, "filter_length": 33, "hop_length": 16, "pooling_length": 41}
    make = functools.partial(ofs.LearnableFilterbank, **sizes, **options)
    return Case(f"LearnableFilterbank-{name}", make, steps=centred(16), exact=False)


CASES: list[Case] = [
    _pcen("root", **SMOOTH),
    _pcen("first", b=0.3, start="first", bias=0.0),
    _pcen("trainable", **SMOOTH, trainable=True, n_bands=BANDS),
    _descriptors("contrast", centred(16), "contrast", pad_mode="constant"),
    _descriptors("centred", centred(16), "rolloff", "flatness", "rms", "zero_crossing_rate"),
    _descriptors("uncentred", uncentred(64, 16), "rms", "bandwidth", "zero_crossing_rate", "centroid", center=False),
    _hpss("harmonic", "power", kernel_size=(7, 4)),
    _hpss("percussive", "complex", kernel_size=5, output="percussive", margin=(1.0, 2.0), power=0.5),
    _hpss("hard", "power", kernel_size=3, power=math.inf),
    _hpss("masks", "complex", kernel_size=3, output="both", mask=True),
    _learned("leaf"),
    _learned("sinc", kind="sinc", pcen=False, fmax=3_900.0),  # away from the limit, whose slope is that inside
    _learned("frozen", pooling="mean", trainable=False),
]
