"""Back from spectra to waves, and STFTs at other frequencies."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import ontheflyspec as ofs
from case import FOURIER, Case, centred, uncentred


def _nonuniform() -> list[Case]:
    def case(name: str, steps: Any = None, **extra: Any) -> Case:
        options = {**FOURIER, "output": "power", "freq_scale": "linear", "fmin": 0.0, "fmax": 4_000.0, **extra}
        weight = functools.partial(ofs.STFT, **{**options, "output": "magnitude"})
        return Case(
            f"STFT-{name}",
            functools.partial(ofs.STFT, **options),
            steps=steps or centred(16),
            exact=options.get("backend") != "conv" and not options.get("trainable"),
            magnitude=weight if options["output"] == "phase" else None,
            smooth=options["output"] != "phase",
        )

    return [
        case("linear"),
        case("linear-conv", backend="conv", output="complex"),
        case("log", freq_scale="log", fmin=60.0, n_bins=20, output="complex"),
        case("log-phase", freq_scale="log", fmin=60.0, n_bins=20, output="phase"),
        case("log-odd", freq_scale="log", fmin=300.0, n_fft=51, n_bins=70, output="magnitude"),
        case("linear-small", n_fft=5, hop_length=7, center=False, steps=uncentred(5, 7)),
        case("log-trainable", freq_scale="log", fmin=60.0, n_bins=9, trainable=True),
    ]


def _hops(frames: int) -> int:
    return max(frames - 1, 0) * 16


def _inverse() -> list[Case]:
    def case(name: str, steps: Callable[[int], int], n_fft: int = 64, **extra: Any) -> Case:
        make = functools.partial(ofs.InverseSTFT, **{**FOURIER, "n_fft": n_fft, **extra})
        return Case(f"InverseSTFT-{name}", make, "complex", bands=n_fft // 2 + 1, steps=steps)

    return [
        case("centred", _hops),
        case("uncentred", lambda n: (n - 1) * 16 + 64 if n else 0, center=False, window="hamming"),
        case("odd", _hops, n_fft=51, win_length=40),
        case("same", lambda n: n * 16, center="same"),
        case("drop-last", lambda n: n * 16, drop_last=True, normalized="window", symmetric=True),
    ]


def _griffin_lim() -> list[Case]:
    """Centred, where a single frame gives no samples; uncentred, the gradient at its faintest bin is all rounding."""

    def case(name: str, n_fft: int = 64, **extra: Any) -> Case:
        make = functools.partial(ofs.GriffinLim, **{**FOURIER, "n_fft": n_fft, "n_iter": 3, **extra})
        return Case(f"GriffinLim-{name}", make, "power", bands=n_fft // 2 + 1, steps=_hops, smooth=False)

    return [case("random"), case("odd", n_fft=51, win_length=40, momentum=0.0, pad_mode="constant")]


CASES: list[Case] = [*_nonuniform(), *_inverse(), *_griffin_lim()]
