"""Filter banks over the spectrum and their cepstra."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ontheflyspec as ofs
from case import BANDS, FOURIER, Case, centred, uncentred


def _banded(
    kind: str, name: str, exact: bool = True, steps: Callable[[int], int] | None = None, **options: Any
) -> Case:
    make = functools.partial(getattr(ofs, kind), **{**FOURIER, **options})
    return Case(f"{kind}-{name}", make, steps=steps or centred(16), exact=exact)


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


def _gammatone() -> list[Case]:
    case = functools.partial(_banded, "Gammatonegram", n_bins=BANDS, fmin=100.0)
    return [
        case("fft", norm="slaney"),
        case("conv", backend="conv", exact=False),
        case("trainable", trainable=True, power=1.0, exact=False),
        case("impulse", method="impulse"),
        case("impulse-uncentred", method="impulse", center=False, power=1.0, steps=uncentred(64, 16)),
        case("impulse-trainable", method="impulse", trainable=True, pad_mode="constant", exact=False),
    ]


CASES: list[Case] = [*_bark(), *_lfcc(), *_gammatone()]
