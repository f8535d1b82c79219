"""Constant-Q and variable-Q transforms and their inverse."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import RATE, Case, centred

SMALL: dict[str, Any] = {"sample_rate": RATE, "hop_length": 16, "fmin": 200.0, "n_bins": 12, "bins_per_octave": 3}


def _case(name: str, kind: Any = ofs.CQT, hop: int = 16, **facts: Any) -> Case:
    plain = ("exact", "smooth", "magnitude")
    options = {**SMALL, "hop_length": hop, **{key: value for key, value in facts.items() if key not in plain}}
    known = {key: value for key, value in facts.items() if key in plain}
    return Case(f"{kind.__name__}-{name}", functools.partial(kind, **options), steps=centred(hop), **known)


INVERSE: dict[str, Any] = {**SMALL, "fmin": 400.0, "n_bins": 4, "n_iter": 3}
CASES: list[Case] = [
    Case(
        "InverseCQT",
        functools.partial(ofs.InverseCQT, **INVERSE),
        "complex",
        bands=4,
        steps=lambda frames: max(frames - 1, 0) * 16,
    ),
    _case("octaves"),
    _case("octaves-odd-hop", hop=21, output="magnitude"),
    _case("octaves-reflect", output="power", pad_mode="reflect"),
    _case(
        "octaves-phase", output="phase", smooth=False, magnitude=functools.partial(ofs.CQT, **SMALL, output="magnitude")
    ),
    _case("direct", method="direct", filters="nnaudio", window="hamming"),
    _case("trainable", trainable=True, exact=False, n_bins=6, fmin=800.0),
    _case("erb", ofs.VQT, output="magnitude"),
]
