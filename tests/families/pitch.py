"""Chroma, tonnetz and other features of pitch."""

from __future__ import annotations

import functools
from typing import Any

import ontheflyspec as ofs
from case import FOURIER, RATE, Case, centred, uncentred


def _cfp() -> list[Case]:
    def case(name: str, steps: Any = None, **extra: Any) -> Case:
        options = {**FOURIER, "win_length": 49, "fmin": 250.0, "fmax": 3_000.0, "bins_per_octave": 6, **extra}
        return Case(f"CFP-{name}", functools.partial(ofs.CFP, **options), steps=steps or centred(16))

    return [
        case("cfp"),
        case("published", filters="published"),
        case("logarithm", gamma=(0.5, 0.0), output="cepstrum"),
        case("power-of-a-logarithm", gamma=(0.5, 0.0, 0.6)),
        case("spectrum", output="spectrum"),
        case("uncentred", center=False, gamma=(1.0, 0.6, 0.5, 1.0), steps=uncentred(64, 16)),
    ]


def _chroma() -> list[Case]:
    def case(name: str, kind: Any = ofs.Chroma, exact: bool = True, **extra: Any) -> Case:
        frames = FOURIER if extra.get("source", "stft") == "stft" else {"sample_rate": RATE, "hop_length": 16}
        make = functools.partial(kind, **frames, **extra)
        return Case(f"{kind.__name__}-{name}", make, steps=centred(16), exact=exact)

    octaves = {"fmin": 500.0, "n_octaves": 2, "bins_per_octave": 6, "n_chroma": 6}

    return [
        case("stft"),
        case("stft-2", norm=2, win_length=40),
        case("stft-conv", norm=1, backend="conv", exact=False),
        case("stft-trainable", norm=None, trainable=True, exact=False),
        case("cqt", source="cqt", **octaves),
        case("cqt-threshold", source="cqt", threshold=0.01, **octaves),
        case("cens", source="cens", win_len_smooth=4, norm=2, **octaves),
        case("stft", ofs.Tonnetz, source="stft"),
        case("cqt", ofs.Tonnetz, source="cqt", **octaves),
    ]


def _harmonic() -> list[Case]:
    options: dict[str, Any] = {"sample_rate": RATE, "hop_length": 16, "fmin": 800.0, "n_bins": 3, "bins_per_octave": 3}
    make = functools.partial(ofs.HarmonicCQT, **options, harmonics=(0.5, 1, 3))
    return [Case("HarmonicCQT", make, steps=centred(16))]


CASES: list[Case] = [*_cfp(), *_chroma(), *_harmonic()]
