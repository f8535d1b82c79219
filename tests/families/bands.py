"""Filter banks over the spectrum and their cepstra."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import BANDS, FOURIER, Case, centred


def _banded(kind: str, name: str, exact: bool = True, **options: Any) -> Case:
    make = functools.partial(getattr(ofs, kind), **{**FOURIER, **options})
    return Case(f"{kind}-{name}", make, steps=centred(16), exact=exact)


def _bark() -> list[Case]:
    case = functools.partial(_banded, "BarkSpectrogram", n_bands=BANDS)
    return [
        case("fft", fmin=100.0, bark_scale="zwicker", norm="slaney"),
        case("conv", backend="conv", exact=False),
        case("trainable", trainable=True, power=1.0, exact=False),
    ]


def _lfcc() -> list[Case]:
    case = functools.partial(_banded, "LFCC", n_filter=BANDS, n_lfcc=4)
    return [
        case("fft"),
        case("log", log="log"),
        case("trainable", trainable=True, exact=False),
    ]


CASES: list[Case] = [*_bark(), *_lfcc()]
