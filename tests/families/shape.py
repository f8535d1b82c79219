"""Descriptors of a spectrum's shape, PCEN, separation of harmonic from percussive, learnable filters."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import BANDS, Case

SMOOTH: dict[str, Any] = {"sample_rate": 16_000, "hop_length": 160}


def _pcen(name: str, **options: Any) -> Case:
    return Case(f"PCEN-{name}", functools.partial(ofs.PCEN, **options), "power")


CASES: list[Case] = [
    _pcen("root", **SMOOTH),
    _pcen("first", b=0.3, start="first", bias=0.0),
    _pcen("trainable", **SMOOTH, trainable=True, n_bands=BANDS),
]
