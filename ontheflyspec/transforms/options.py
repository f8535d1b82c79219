"""Options of transforms, typed, for those that hand them on."""

from __future__ import annotations

from typing import Literal, TypedDict

Backend = Literal["auto", "fft", "conv"]
PadMode = Literal["reflect", "constant"]
Output = Literal["complex", "magnitude", "power", "phase"]
NOT_FRAMES = ("output", "freq_scale", "fmin", "fmax", "n_bins")
"""Options of `STFT` that other transforms do not hand on."""


class FrameOptions(TypedDict, total=False):
    """Options of `STFT` that say how a signal is cut into frames, and by what they are transformed."""

    sample_rate: float
    n_fft: int
    win_length: int | None
    hop_length: int | None
    window: str
    center: bool
    pad_mode: PadMode
    backend: Backend
    trainable: bool


class MelOptions(FrameOptions, total=False):
    """Options of `MelSpectrogram`."""

    n_mels: int
    fmin: float
    fmax: float | None
    mel_scale: Literal["slaney", "htk", "kaldi"]
    norm: Literal["slaney"] | None
    power: float


class VQTOptions(TypedDict, total=False):
    """Options of `VQT`."""

    sample_rate: float
    hop_length: int
    fmin: float
    n_bins: int
    bins_per_octave: int
    gamma: float | None
    filter_scale: float
    window: str
    norm: float | None
    pad_mode: PadMode
    output: Output
    filters: Literal["librosa", "nnaudio"]
    method: Literal["auto", "direct", "octaves"]
    trainable: bool


class ChromaOptions(TypedDict, total=False):
    """Options of `Chroma`."""

    sample_rate: float
    source: Literal["stft", "cqt", "cens"]
    n_chroma: int
    n_fft: int | None
    win_length: int | None
    hop_length: int
    window: str | None
    center: bool | None
    pad_mode: PadMode
    norm: float | None
    tuning: float
    ctroct: float | None
    octwidth: float | None
    base_c: bool
    fmin: float | None
    n_octaves: int | None
    bins_per_octave: int | None
    threshold: float | None
    win_len_smooth: int | None
    backend: Backend
    trainable: bool
