"""Chroma, tonnetz and other features of pitch."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import FOURIER, Case, centred, uncentred


def _cfp() -> list[Case]:
    def case(name: str, steps: Any = None, **extra: Any) -> Case:
        options = {**FOURIER, "win_length": 49, "fmin": 250.0, "fmax": 3_000.0, "bins_per_octave": 6, **extra}
        return Case(f"CFP-{name}", functools.partial(ofs.CFP, **options), steps=steps or centred(16))

    return [
        case("cfp"),
        case("published", filters="published"),
        case("logarithm", gamma=(0.5, 0.0), output="cepstrum"),
        case("uncentred", center=False, gamma=(1.0, 0.6, 0.5, 1.0), steps=uncentred(64, 16)),
    ]


CASES: list[Case] = [*_cfp()]
