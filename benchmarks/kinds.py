"""The 34 types of spectrogram of nnAudio's MusicNet experiment: ours, librosa's, nnAudio's and in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import ontheflyspec as ofs
from benchmarks import exact
from benchmarks.peers import peer

RATE, HOP, FMIN = 44_100, 512, 32.7
LOG = {"fmin": 50.0, "fmax": 6000.0}
SIZES = (256, 512, 1024, 2048, 4096)


class Kind(NamedTuple):
    """One type of spectrogram; ``size`` is the mel bands, or the 84ths of the constant-Q bins."""

    family: str
    n_fft: int
    size: int = 0

    @property
    def name(self) -> str:
        return "_".join(str(part) for part in self if part)


KINDS = (
    *(Kind("stft", n_fft) for n_fft in SIZES),
    *(Kind("log", n_fft) for n_fft in SIZES),
    *(Kind("mel", n_fft, bands) for n_fft in SIZES[1:] for bands in (128, 256, 512, 1024, 2048) if bands < n_fft),
    *(Kind("cqt", 0, r) for r in range(1, 11)),
)


def ours(kind: Kind) -> Any:
    options: dict[str, Any] = {"sample_rate": RATE, "hop_length": HOP}
    if kind.family == "mel":
        return ofs.MelSpectrogram(n_fft=kind.n_fft, n_mels=kind.size, **options)
    if kind.family == "cqt":
        options |= {"n_bins": 84 * kind.size, "bins_per_octave": 12 * kind.size, "fmin": FMIN, "filters": "nnaudio"}
        return ofs.CQT(output="magnitude", **options)
    if kind.family == "log":
        options |= {"freq_scale": "log", **LOG}
    return ofs.STFT(n_fft=kind.n_fft, output="magnitude", **options)


def nnaudio(kind: Kind) -> Any:
    module = peer("nnAudio.features")
    if module is None:
        return None
    options: dict[str, Any] = {"sr": RATE, "hop_length": HOP, "verbose": False}
    if kind.family == "mel":
        return module.MelSpectrogram(n_fft=kind.n_fft, n_mels=kind.size, **options)
    if kind.family == "cqt":
        options |= {"n_bins": 84 * kind.size, "bins_per_octave": 12 * kind.size, "fmin": FMIN}
        return module.CQT1992v2(pad_mode="constant", **options)
    if kind.family == "log":
        options |= {"freq_scale": "log", **LOG}
    return module.STFT(n_fft=kind.n_fft, output_format="Magnitude", **options)


def librosa(kind: Kind) -> Callable[[Tensor], Tensor] | None:
    module = peer("librosa")
    if module is None or kind.family == "log":
        return None
    frames = {"hop_length": HOP, "n_fft": kind.n_fft, "pad_mode": "reflect"}
    bins = {"n_bins": 84 * kind.size, "bins_per_octave": 12 * kind.size, "fmin": FMIN}
    compute: Callable[[Any], Any] = {
        "stft": lambda y: np.abs(module.stft(y, **frames)),
        "mel": lambda y: module.feature.melspectrogram(y=y, sr=RATE, n_mels=kind.size, **frames),
        "cqt": lambda y: np.abs(module.cqt(y, sr=RATE, hop_length=HOP, **bins)),
    }[kind.family]
    return lambda wave: torch.from_numpy(compute(wave.numpy()))


MAKERS: dict[str, Callable[[Kind], Any]] = {"ours": ours, "librosa": librosa, "nnAudio": nnaudio}


def parallel(kinds: Sequence[Kind]) -> Any:
    return ofs.Parallel(**{kind.name: ours(kind) for kind in kinds})


def reference(kind: Kind, waves: Sequence[Any], places: Sequence[Any], filters: str) -> list[Any]:
    """Returns the spectrogram of each wave in float64, at the frames given."""
    if kind.family == "cqt":
        bins = {"fmin": FMIN, "bins": 84 * kind.size, "per_octave": 12 * kind.size, "filters": filters}
        return exact.cqt(waves, places, rate=RATE, hop=HOP, **bins)
    compute: Callable[[Any], Any] = {
        "stft": lambda wave: exact.stft(wave, kind.n_fft, HOP),
        "log": lambda wave: exact.log_stft(wave, RATE, kind.n_fft, HOP, **LOG),
        "mel": lambda wave: exact.mel(wave, RATE, kind.n_fft, HOP, kind.size),
    }[kind.family]
    return [compute(wave)[:, own] for wave, own in zip(waves, places, strict=True)]
