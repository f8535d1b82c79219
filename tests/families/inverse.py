"""Back from spectra to waves, and STFTs at other frequencies."""

from __future__ import annotations

import functools
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


CASES: list[Case] = _nonuniform()
