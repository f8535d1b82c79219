"""Filter banks over the spectrum and their cepstra."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

import ontheflyspec as ofs
from case import BANDS, FOURIER, RATE, Case, centred, uncentred


def _banded(
    kind: str, name: str, exact: bool = True, steps: Callable[[int], int] | None = None, **options: Any
) -> Case:
    make = functools.partial(getattr(ofs, kind), **{**FOURIER, **options})
    return Case(f"{kind}-{name}", make, steps=steps or centred(16), exact=exact)


def _bark() -> list[Case]:
    case = functools.partial(_banded, "BarkSpectrogram", n_bands=BANDS)
    return [
        case("fft", fmin=100.0, bark_scale="zwicker", norm="slaney"),
        case("constant", pad_mode="constant", bark_scale="wang"),
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


def _inverse_mel() -> list[Case]:
    def case(name: str, **options: Any) -> Case:
        make = functools.partial(ofs.InverseMel, sample_rate=RATE, n_fft=64, n_mels=BANDS, n_iter=8, **options)
        magnitude = options.get("output") != "power"
        undo = torch.square if magnitude else torch.positive
        return Case(f"InverseMel-{name}", make, "power", undo=undo, smooth=not magnitude)

    return [case("magnitude"), case("power", output="power", fmin=300.0)]


CASES: list[Case] = [*_bark(), *_lfcc(), *_gammatone(), *_inverse_mel()]
