"""Every option of every step does what it can: with another value the output changes, or an error says why not.

`TABLE` holds base configurations of each class, more than one where an option decides which others count, and for each
keyword of the signature another value.
"""

from __future__ import annotations

import functools
import inspect
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import ontheflyspec as ofs
from case import BANDS, FOURIER, MEL, RATE
from families import noise
from ontheflyspec.augment.base import Augment
from ontheflyspec.transforms.base import Transform


@dataclass(frozen=True)
class Same:
    """A value that chooses how the same is computed, or one that counts for later calls of other methods only."""

    value: Any
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Raises:
    """A value that an error of this text meets, at the construction or at the call."""

    value: Any
    text: str


@dataclass(frozen=True)
class Base:
    """A configuration, and for every option of the class another value."""

    options: dict[str, Any]
    others: dict[str, Any]


OTHER_RATE: dict[str, Any] = {"sample_rate": 2 * RATE}
FIXED: dict[str, Any] = {"order": 3, "zero_phase": False, **OTHER_RATE}
FRAMES: dict[str, Any] = {
    "sample_rate": 2 * RATE,
    "n_fft": 80,
    "win_length": 40,
    "hop_length": 20,
    "window": "blackman",
    "center": False,
    "pad_mode": "constant",
}
CHOICES: dict[str, Any] = {"backend": Same("conv"), "trainable": Same(True)}
FORMS: dict[str, Any] = {"symmetric": True, "normalized": True, "drop_last": True}
BANK: dict[str, Any] = {**FRAMES, **FORMS, **CHOICES, "fmin": 700.0, "fmax": 2_500.0, "power": 1.0}
MEL_BANK: dict[str, Any] = {**BANK, "n_mels": 5, "mel_scale": "htk", "norm": None}
BINS: dict[str, Any] = {"sample_rate": RATE, "hop_length": 16, "fmin": 500.0, "n_bins": 6, "bins_per_octave": 3}
OTHER_BINS: dict[str, Any] = {
    "sample_rate": 2 * RATE,
    "hop_length": 32,
    "fmin": 600.0,
    "n_bins": 5,
    "bins_per_octave": 4,
    "filter_scale": 0.5,
    "window": "blackman",
    "norm": 2,
    "pad_mode": "reflect",
    "output": "power",
    "filters": "nnaudio",
    "method": Same("direct", 1e-4),
    "trainable": Same(True, 1e-4),
}
OCTAVES: dict[str, Any] = {"sample_rate": RATE, "hop_length": 16, "fmin": 500.0, "n_octaves": 2, "bins_per_octave": 12}


def _needs(source: str, **others: Any) -> dict[str, Any]:
    return {name: Raises(value, f"{name} only with source={source}") for name, value in others.items()}


def _chroma(kind: str) -> list[Base]:
    """Bases for each source, with all that Chroma and Tonnetz share."""
    spectral = {"n_fft": 80, "win_length": 40, "window": "blackman", "center": False, "ctroct": 4.0, "octwidth": None}
    octaves = {"fmin": 530.0, "n_octaves": 1, "bins_per_octave": 24, "threshold": 0.05}
    common = {"sample_rate": 2 * RATE, "hop_length": 32, "pad_mode": "reflect", "tuning": 0.4, "base_c": False}
    common |= {"n_chroma": 6, **({"norm": 1} if kind == "Chroma" else {})}
    smooth = _needs('"cens"', win_len_smooth=5)
    from_octaves = {**common, **octaves, **_needs('"stft"', **spectral, backend="conv")}
    return [
        Base(
            {**FOURIER, "source": "stft"},
            {**common, **spectral, **CHOICES, **_needs('"cqt" or "cens"', **octaves), **smooth}
            | {"source": Raises("cqt", 'n_fft only with source="stft"')},
        ),
        Base(
            {**OCTAVES, "source": "cqt"},
            {**from_octaves, **smooth, "trainable": Same(True, 1e-4), "source": "cens"},
        ),
        Base(
            {**OCTAVES, "source": "cens", "win_len_smooth": 3},
            {**from_octaves, "win_len_smooth": 5, **_needs('"stft" or "cqt"', trainable=True)}
            | {"source": Raises("cqt", 'win_len_smooth only with source="cens"')},
        ),
    ]


def _descriptors() -> list[Base]:
    rows = {"rolloff": {"roll_percent": 0.5}, "bandwidth": {"p": 3.0}, "flatness": {"amin": 1.0}}
    rows["contrast"] = {"n_contrast_bands": 2, "fmin": 400.0, "quantile": 0.4}
    known = {"n_contrast_bands": 3, "fmin": 300.0}
    base = {**FOURIER, **known, "features": ofs.SpectralDescriptors(**FOURIER, **known).features}
    every = Base(base, {**FRAMES, **{name: value for row in rows.values() for name, value in row.items()}})
    every.others["features"] = Raises(("rms", "centroid"), 'n_contrast_bands, fmin only with "contrast" among features')
    few = Base({**FOURIER, "features": ("rms", "centroid")}, {**FRAMES, "features": ("centroid", "rms")})
    for row, options in rows.items():
        few.others.update(
            {name: Raises(value, f'{name} only with "{row}" among features') for name, value in options.items()}
        )
    return [every, few]


def _pcen() -> list[Base]:
    common = {"gain": 0.5, "bias": 1.0, "power": 0.3, "eps": 0.1, "n_bands": Raises(5, "n_bands = 5 bands")}
    smooth = {"sample_rate": 2 * RATE, "hop_length": 32, "time_constant": 0.1}
    return [
        Base(
            {"sample_rate": RATE, "hop_length": 160, "n_bands": BANDS},
            {**smooth, **common, "start": "first", "trainable": Same(True), "b": Raises(0.1, "only with b=None")},
        ),
        Base(
            {"b": 0.2, "start": "first"},
            {**common, "b": 0.5, "start": "one", "trainable": Raises(True, "n_bands with trainable=True")}
            | {name: Raises(value, f"{name} only with b=None") for name, value in smooth.items()},
        ),
    ]


def _stft() -> list[Base]:
    scale = {"fmin": 600.0, "fmax": 2_000.0, "n_bins": 9}
    without = {name: Raises(value, "only with a freq_scale") for name, value in scale.items()}
    scaled = {**FOURIER, "freq_scale": "linear", "output": "magnitude"}
    return [
        Base({**FOURIER}, {**FRAMES, **FORMS, **CHOICES, **without, "output": "magnitude", "freq_scale": "log"}),
        Base(scaled, {**FRAMES, **FORMS, **CHOICES, **scale, "output": "phase", "freq_scale": "log"}),
    ]


AGAIN: dict[str, Any] = {"p": 0.0, "seed": 1}


def _mixing() -> list[Base]:
    kind = {"kind": Raises("features", r"data of shape .*F, N.*")}
    return [
        Base({}, {**AGAIN, **kind, "alpha": 0.7, "weight": 0.25}),
        Base(
            {"weight": (0.6, 0.8)},
            {**AGAIN, **kind, "alpha": Raises(0.7, "alpha only with weight=None"), "weight": 0.4},
        ),
    ]


LEARNED: dict[str, Any] = {
    "sample_rate": 2 * RATE,
    "n_filters": 5,
    "filter_length": 17,
    "hop_length": 32,
    "pooling_length": 31,
    "init": "linear",
    "fmin": 300.0,
    "fmax": 3_000.0,
    "trainable": Same(False),
}
LEAF: dict[str, Any] = {"sample_rate": RATE, "n_filters": 4, "filter_length": 33, "hop_length": 16}
INVERSE_MEL: dict[str, Any] = {"sample_rate": 2 * RATE, "n_fft": 80, "n_iter": 9, "power": 1.0}
INVERSE_MEL |= {"n_mels": Raises(5, "5 mel bands"), "fmin": 300.0, "fmax": 3_000.0, "mel_scale": "htk", "norm": None}
CFP: dict[str, Any] = {**FOURIER, "win_length": 49, "fmin": 250.0, "fmax": 3_000.0, "bins_per_octave": 6}
GAMMATONE: dict[str, Any] = {**BANK, "n_bins": 5, "norm": "slaney"}
NO_BACKEND = {
    "backend": Raises("conv", 'backend only with method="fft"'),
    "normalized": Raises(True, 'normalized only with method="fft"'),
}
BACK: dict[str, Any] = {
    "sample_rate": Raises(2 * RATE, "1000 frames per second"),
    "n_fft": Raises(80, "n_fft // 2 . 1 = 41 bins"),
    "hop_length": Raises(8, "1000 frames per second"),
    "win_length": 40,
    "window": "blackman",
    "center": False,
    **FORMS,
}
SCALE: dict[str, Any] = {"freq_scale": Raises("log", "freq_scale None, the FFT's own bins")}
STATISTICS = {"mean": Raises(0.5, "mean and std together"), "std": Raises(2.0, "mean and std together"), "eps": 0.1}
FITTED = {"per": "global", "mean": 0.5, "std": 2.0}
DB: dict[str, Any] = {"stype": "magnitude", "ref": 0.5, "amin": 1e-3, "top_db": 5.0}
CEPSTRA: dict[str, Any] = {"n_lfcc": 3, "n_filter": 7, "top_db": 5.0}

MASKS: dict[str, Any] = {"n_time_masks": 1, "time_mask_param": 20, "n_freq_masks": 1, "freq_mask_param": 3}
HIDE: dict[str, Any] = {"kind": "features", "fill": 0.5}
NOISES, LONG = noise.bank(300, 500), noise.bank(6_000, 7_000)
OTHER_NOISES: dict[str, Any] = {**AGAIN, "bank": noise.bank(200, 400, 2_000)}
BURSTS: dict[str, Any] = {"bank": NOISES, "gap_s": (0.0, 0.03), "duration_s": (0.01, 0.04)}
OTHER_BURSTS = {"snr_db": 3.0, "gap_s": 0.02, "duration_s": 0.02, "fade_s": 0.002, "max_noises": 1}
ORDER: dict[str, Any] = {**AGAIN, "order": 4, "zero_phase": False}
SHELF: dict[str, Any] = {**AGAIN, "cutoff_hz": 1_000.0, "gain_db": 3.0, "q": 0.7}
LENGTH = {"sample_rate": Raises(2 * RATE, "a batch of 16000 Hz")}
QUIET: dict[str, Any] = {"frame_length": 64, "hop_length": 16}
TRIM: dict[str, Any] = {**QUIET, "top_db": 20.0, "p": 0.5, "seed": 2}
WARP: dict[str, Any] = {**AGAIN, "alpha": 0.8, "boundary": 0.3, "frequencies": [1.0, 2.0, 3.0, 4.0, 5.0, 8.0]}

TABLE: dict[str, list[Base]] = {
    "AddBackgroundNoise": [
        Base(
            {"bank": NOISES},
            {**OTHER_NOISES, "snr_db": 3.0, "level_db": -20.0, "noise_transform": ofs.LowPass(cutoff_hz=500.0)},
        )
    ],
    "AddColoredNoise": [Base({}, {**AGAIN, "snr_db": 3.0, "f_decay": 0.5})],
    "AdjustDuration": [
        Base({"seconds": 0.2, "position": "random"}, {**AGAIN, **LENGTH, "seconds": 0.1, "position": "end"})
    ],
    "AmplitudeToDB": [Base({}, DB), Base({"ref": "max", "top_db": 20.0}, {**DB, "amin": 0.5})],
    "ApplyImpulseResponse": [Base({"bank": LONG}, {**OTHER_NOISES, "tail": True, "part": "early"})],
    "Babble": [Base({"bank": NOISES}, {**OTHER_NOISES, "n_speakers": 2, "snr_db": 3.0})],
    "BandPass": [Base({}, {**ORDER, "center_hz": 1_000.0, "bandwidth": 0.3})],
    "BandStop": [Base({}, {**ORDER, "center_hz": 1_000.0, "bandwidth": 0.3})],
    "BarkSpectrogram": [
        Base({**FOURIER, "n_bands": BANDS}, {**BANK, "n_bands": 5, "bark_scale": "wang", "norm": "slaney"})
    ],
    "BitCrush": [Base({}, {**AGAIN, "bits": 3})],
    "CFP": [
        Base(
            CFP,
            {**FRAMES, "fmin": 300.0, "fmax": 2_000.0, "bins_per_octave": 12, "gamma": (0.5, 0.6, 1.0)}
            | {"sample_rate": 7_000, "filters": "published", "output": "spectrum", "pad_mode": "reflect"},
        )
    ],
    "CQT": [Base(BINS, OTHER_BINS)],
    "ChannelDrop": [
        Base({}, {**AGAIN, "n": 2, "share": 0.9, "kind": "features", "fill": 0.5}),
        Base({"share": 0.5}, {**AGAIN, "n": Raises(2, "n only with share=None"), "share": 0.9, **HIDE}),
    ],
    "ChannelShuffle": [Base({}, {**AGAIN, "kind": "features"})],
    "Chroma": _chroma("Chroma"),
    "ChunkSwap": [Base({}, {**AGAIN, "n_chunks": 3})],
    "Clip": [Base({}, {**AGAIN, "percentile": 60.0})],
    "CutMix": _mixing(),
    "Deltas": [Base({}, {"width": 5, "order": 2})],
    "Fade": [Base({}, {**AGAIN, "fade_in_s": 0.02, "fade_out_s": 0.02, "shape": "half_sine"})],
    "GainTransition": [
        Base({}, {**AGAIN, "gain_db": -6.0, "duration_s": 0.02}),
        Base(
            {"gain_db": -6.0},
            {"gain_db": 3.0, "duration_s": Raises(0.02, "only with a range of gains"), "p": 0.0, "seed": Same(1)},
        ),
    ],
    "Gammatonegram": [
        Base({**FOURIER, "n_bins": BANDS, "fmin": 300.0}, {**GAMMATONE, "method": "impulse"}),
        Base(
            {**FOURIER, "n_bins": BANDS, "fmin": 300.0, "method": "impulse"},
            {**GAMMATONE, **NO_BACKEND, "method": "fft"},
        ),
    ],
    "FilterAugment": [
        Base({}, {**AGAIN, "n_bands": 2, "gain_db": 3.0, "shape": "step", "stype": "db", "min_bandwidth": 1})
    ],
    "FrequencyShift": [Base({}, {**AGAIN, "shift_bands": 1, "fill": "zero"})],
    "Gain": [Base({}, {**AGAIN, "gain_db": 3.0})],
    "GriffinLim": [
        Base({**FOURIER, "n_iter": 3}, {**BACK, "pad_mode": "constant", "n_iter": 4, "momentum": 0.5, "init": "zero"})
    ],
    "HPSS": [
        Base(
            {"kernel_size": 5},
            {"kernel_size": 3, "power": 1.0, "margin": 2.0, "output": "percussive", "mask": True},
        )
    ],
    "HarmonicCQT": [
        Base({**BINS, "n_bins": 3, "harmonics": (1, 2)}, {**OTHER_BINS, "n_bins": 4, "harmonics": (0.5, 1)})
    ],
    "HighPass": [Base({}, {**ORDER, "cutoff_hz": 1_000.0})],
    "HighShelf": [Base({}, SHELF)],
    "InverseCQT": [
        Base(
            {**BINS, "fmin": 400.0, "n_iter": 4},
            {
                "sample_rate": Raises(2 * RATE, "1000 frames per second"),
                "hop_length": Raises(8, "1000 frames per second"),
                "fmin": 300.0,
                "n_bins": Raises(5, "spectra of 5 bins"),
                "bins_per_octave": 4,
                "gamma": 8.0,
                "filter_scale": 2.0,
                "window": "blackman",
                "norm": 2,
                "filters": "nnaudio",
                "n_iter": 2,
            },
        )
    ],
    "InverseMel": [
        Base({"sample_rate": RATE, "n_fft": 64, "n_mels": BANDS, "n_iter": 8}, {**INVERSE_MEL, "output": "power"})
    ],
    "InverseSTFT": [Base(FOURIER, {**BACK, **SCALE})],
    "LFCC": [
        Base({**FOURIER, "n_filter": BANDS, "n_lfcc": 4, "fmax": 3_000.0}, {**BANK, **CEPSTRA, "log": "log"}),
        Base(
            {**FOURIER, "n_filter": BANDS, "n_lfcc": 4, "fmax": 3_000.0, "log": "log"},
            {**BANK, **CEPSTRA, "log": "db", "top_db": Raises(5.0, 'top_db only with log="db"')},
        ),
    ],
    "LearnableFilterbank": [
        Base(
            {**LEAF, "pooling_length": 41},
            {**LEARNED, "kind": "sinc", "pooling": "mean", "pcen": False},
        ),
        Base(
            {**LEAF, "pooling_length": 41, "kind": "sinc", "pooling": "mean", "pcen": False},
            {**LEARNED, "kind": "gabor", "pooling": "gaussian", "pcen": True},
        ),
    ],
    "Log": [Base({}, {"floor": 1e-2})],
    "LoudnessNormalize": [Base({}, {**AGAIN, "loudness_lufs": -40.0})],
    "LowPass": [Base({}, {**ORDER, "cutoff_hz": 1_000.0})],
    "LowShelf": [Base({}, SHELF)],
    "MFCC": [Base({**MEL, "n_mfcc": 4, "top_db": 20.0}, {**MEL_BANK, "n_mfcc": 3, "lifter": 5.0, "top_db": 5.0})],
    "MelSpectrogram": [Base(MEL, MEL_BANK)],
    "MixUp": _mixing(),
    "MuLaw": [Base({"mu": (100.0, 300.0)}, {**AGAIN, "mu": 20.0})],
    "Normalize": [
        Base({}, {**STATISTICS, "per": "feature", "ddof": 1}),
        Base({"per": "feature"}, {**STATISTICS, "per": "item", "ddof": 1}),
        # Where statistics are given, the divisor counts for a later fit only.
        Base(FITTED, {"mean": 1.0, "std": 3.0, "eps": 0.1, "ddof": Same(1), "per": Raises("item", "mean and std")}),
    ],
    "PCEN": _pcen(),
    "PeakNormalize": [Base({"peak_db": (-6.0, 0.0)}, {**AGAIN, "peak_db": -9.0})],
    "PeakingEQ": [Base({}, {**AGAIN, "center_hz": 1_000.0, "gain_db": 3.0, "q": 0.7})],
    "PitchShift": [Base({}, {**AGAIN, "semitones": (2.0, 3.0)})],
    "PolarityInversion": [Base({}, {"p": 0.0, "seed": Same(1)}), Base({"p": 0.5}, {"p": 1.0, "seed": 2})],
    "PreEmphasis": [Base({"coefficient": (0.9, 1.0)}, {**AGAIN, "coefficient": 0.5})],
    "RMSNormalize": [Base({}, {**AGAIN, "rms_db": -40.0})],
    "RandomCrop": [Base({"seconds": 0.1}, {**AGAIN, **LENGTH, "seconds": 0.12})],
    "Resample": [
        Base({"sample_rate": RATE, "new_sample_rate": 4_000}, {"sample_rate": 16_000, "new_sample_rate": RATE})
    ],
    "STFT": _stft(),
    "SevenBandEQ": [Base({}, {**AGAIN, "gain_db": 3.0})],
    "ShortNoises": [Base(BURSTS, {**OTHER_NOISES, **OTHER_BURSTS})],
    "SimulateRoom": [Base({}, {**AGAIN, "rt60_s": 0.02, "drr_db": 20.0})],
    "SpecAugment": [
        Base({"freq_mask_param": 2}, {**AGAIN, **MASKS, "fill": "zero", "max_time_share": 0.1, "time_warp_param": 8}),
    ],
    "SpecCutout": [
        Base({"max_bands": 5}, {**AGAIN, "n_holes": 1, "max_frames": 10, "max_bands": 2, "fill": "zero"}),
    ],
    "SpectralDescriptors": _descriptors(),
    "Speed": [Base({}, {**AGAIN, "factor": 1.3})],
    "TanhDistortion": [Base({}, {**AGAIN, "amount": 0.9})],
    "Telephone": [
        Base({"low_hz": (200.0, 400.0)}, {**AGAIN, "low_hz": 500.0, "high_hz": 2_000.0, "order": 2, "mu": 30.0})
    ],
    "TimeInversion": [Base({"p": 0.5}, {"p": 1.0, "seed": 2})],
    "TimeMask": [Base({}, {**AGAIN, "n_masks": 2, "fraction": (0.5, 0.6), "fade_s": 0.005, "fill": "noise"})],
    "TimeShift": [Base({}, {**AGAIN, "shift_s": 0.05, "mode": "zero", "fade_s": 0.005})],
    "TimeStretch": [Base({}, {**AGAIN, "rate": 1.4})],
    "Tonnetz": _chroma("Tonnetz"),
    "TrimSilence": [Base(TRIM, {"frame_length": 200, "hop_length": 40, "top_db": 6.0, "p": 1.0, "seed": 0})],
    "VTLP": [
        Base({}, {**WARP, "fmax": Raises(4_000.0, "fmax only with frequencies")}),
        Base({"frequencies": [1.0, 2.0, 3.0, 4.0, 5.0, 7.0]}, {**WARP, "fmax": 8.0}),
    ],
    "VQT": [
        Base({**BINS, "gamma": 10.0}, {**OTHER_BINS, "gamma": 0.0}),
        Base(
            {**BINS, "method": "direct", "filters": "nnaudio"},
            {**OTHER_BINS, "gamma": 0.0, "filters": "librosa", "method": Same("octaves", 1e-4)},
        ),
    ],
}

KINDS: dict[str, Any] = {
    f"fixed {name}" if space is ofs and name in ofs.augment.__all__ else name: value
    for space, base in ((ofs, Transform), (ofs.augment, Augment))
    for name, value in vars(space).items()
    if name in space.__all__ and isinstance(value, type) and issubclass(value, base) and value is not base
}
TABLE |= {
    "fixed AdjustDuration": [
        Base(
            {"seconds": 0.1, "sample_rate": RATE},
            {"seconds": 0.12, "crop": "end", "position": Same("end"), **OTHER_RATE},
        ),
        Base(
            {"seconds": 0.2, "sample_rate": RATE},
            {"seconds": 0.22, "crop": Same("end"), "position": "end", **OTHER_RATE},
        ),
    ],
    "fixed BandPass": [
        Base(
            {"center_hz": 800.0, "bandwidth": 0.5, "sample_rate": RATE}, {**FIXED, "center_hz": 900.0, "bandwidth": 1.0}
        ),
    ],
    "fixed Gain": [Base({"gain_db": 3.0}, {"gain_db": -3.0})],
    "fixed HighPass": [Base({"cutoff_hz": 800.0, "sample_rate": RATE}, {**FIXED, "cutoff_hz": 900.0})],
    "fixed LoudnessNormalize": [Base({"sample_rate": RATE}, {"loudness_lufs": -30.0, **OTHER_RATE})],
    "fixed LowPass": [Base({"cutoff_hz": 800.0, "sample_rate": RATE}, {**FIXED, "cutoff_hz": 900.0})],
    "fixed MuLaw": [Base({}, {"mu": 20.0})],
    "fixed PeakNormalize": [Base({}, {"peak_db": -9.0})],
    "fixed PreEmphasis": [Base({}, {"coefficient": 0.5})],
    "fixed RMSNormalize": [Base({}, {"rms_db": -40.0})],
    "fixed Telephone": [
        Base({"sample_rate": RATE}, {"low_hz": 500.0, "high_hz": 2_000.0, "order": 2, "mu": 30.0, **OTHER_RATE}),
    ],
    "fixed TrimSilence": [Base({**QUIET, "top_db": 20.0}, {"frame_length": 200, "hop_length": 40, "top_db": 6.0})],
}
ROWS = [(kind, place) for kind, bases in TABLE.items() for place in range(len(bases))]
FLIPS = [(kind, place, option) for kind, place in ROWS for option in TABLE[kind][place].others]
pytestmark = pytest.mark.filterwarnings("ignore:.*filter to meet an FFT bin:UserWarning")


def sample(kind: str) -> Tensor:
    """Returns two items of what a class takes."""
    draws = torch.Generator().manual_seed(0)
    if kind in ("InverseSTFT", "InverseCQT"):
        return torch.randn(2, 33 if kind == "InverseSTFT" else 6, 20, generator=draws, dtype=torch.complex64)
    if kind.startswith("Channel"):
        return torch.randn(2, 5, 60, generator=draws)
    if KINDS[kind].item_rank == 2:
        bands = 33 if kind == "GriffinLim" else BANDS
        return torch.randn(2, bands, 60, generator=draws).square() * torch.linspace(0.1, 2, 60)
    loud = torch.hann_window(1_200) if kind.endswith("TrimSilence") else torch.linspace(0.05, 0.5, 1_200)
    return torch.randn(2, 1_200, generator=draws) * loud


def shown(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Returns what can be seen of a transform: its output, lengths, rate and frequencies."""
    module, data = KINDS[kind](**options), sample(kind)
    rate = RATE if module.item_rank == 1 else RATE / FOURIER["hop_length"]
    if isinstance(module, Augment) or kind.endswith("TrimSilence"):
        out = module(ofs.PaddedBatch(data, torch.tensor([data.shape[-1]] * 2), rate, torch.arange(2)))
        return {"data": out.data, "lengths": out.lengths}
    seen = {"data": module(data).detach(), "lengths": module.output_lengths(data.shape[-1])}
    if kind != "PCEN":  # which takes frames of the rate that it was built for only, and leaves it
        seen["rate"] = module.output_rate(rate)
    if hasattr(module, "frequencies"):
        seen["frequencies"] = module.frequencies
    return seen


@functools.cache
def shown_by(kind: str, place: int) -> dict[str, Any]:
    """Returns what can be seen of a base configuration."""
    return shown(kind, TABLE[kind][place].options)


def apart(one: Any, other: Any, *, by_row: bool) -> float:
    """Returns by what share of the peak, or of a row's own, two things differ; ``inf`` for unlike shapes or types."""
    if not isinstance(one, Tensor):
        return abs(one - other) / max(abs(one), abs(other))
    if one.shape != other.shape or one.dtype != other.dtype:
        return math.inf
    gap, peak = (one - other).abs(), torch.maximum(one.abs(), other.abs())
    if by_row and one.dim() > 1:
        gap, peak = gap.amax(-1), peak.amax(-1)
    return float(((gap if by_row else gap.amax()) / (peak if by_row else peak.amax()).clamp(min=1e-30)).max())


@pytest.mark.parametrize(("kind", "place", "option"), FLIPS)
def test_every_option_changes_something(kind: str, place: int, option: str) -> None:
    base = TABLE[kind][place]
    other = base.others[option]
    if isinstance(other, Raises):
        with pytest.raises(ValueError, match=rf"^\w+: expected .*{other.text}.*, got .*\. [A-Z].*\.$"):
            shown(kind, {**base.options, option: other.value})
        return
    one, two = shown_by(kind, place), shown(kind, {**base.options, option: getattr(other, "value", other)})
    same = isinstance(other, Same)
    gap = max(apart(one[name], two[name], by_row=not same) for name in one)
    if isinstance(other, Same):
        assert gap <= other.tolerance
    else:
        assert gap > 1e-3, "an option without effect"


@pytest.mark.parametrize(("kind", "place"), ROWS)
def test_trainable_makes_parameters(kind: str, place: int) -> None:
    base = TABLE[kind][place]
    made = {}
    for trainable in (False, True):
        options = {**base.options, "trainable": trainable}
        if "trainable" not in base.others or isinstance(base.others["trainable"], Raises):
            options.pop("trainable")
        made[trainable] = [name for name, _ in KINDS[kind](**options).named_parameters()]
    assert not made[False]
    assert bool(made[True]) == isinstance(base.others.get("trainable"), Same)


@pytest.mark.parametrize(("kind", "place"), ROWS)
def test_table_has_every_option_with_another_value(kind: str, place: int) -> None:
    known = inspect.signature(KINDS[kind]).parameters
    base = TABLE[kind][place]
    assert set(base.others) == set(known), "options that the table lacks, or that the class lacks"
    for name, other in base.others.items():
        value = getattr(other, "value", other)
        assert value != base.options.get(name, known[name].default), name


def test_table_has_every_transform_and_augmentation() -> None:
    assert set(TABLE) == set(KINDS)


FLAGS = [
    (kind, name)
    for kind, value in KINDS.items()
    for name, option in inspect.signature(value).parameters.items()
    if isinstance(option.default, bool)
]


@pytest.mark.parametrize("value", ["False", "no", 0, None])
@pytest.mark.parametrize(("kind", "name"), FLAGS)
def test_truth_values_are_bools(kind: str, name: str, value: Any) -> None:
    """No other value stands for one: ``center="False"`` would be true."""
    with pytest.raises((TypeError, ValueError), match=rf"{name} to be True"):
        KINDS[kind](**{**TABLE[kind][0].options, name: value})
