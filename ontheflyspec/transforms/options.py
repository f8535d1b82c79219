"""Options that several transforms share: their types, and the choice between a fast and a trainable way."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from ontheflyspec import checks
from ontheflyspec.framing import Center

Backend = Literal["auto", "fft", "conv"]
PadMode = Literal["reflect", "constant"]
Output = Literal["complex", "magnitude", "power", "phase"]
NOT_FRAMES = ("output", "freq_scale", "fmin", "fmax", "n_bins")
"""Options of `STFT` that other transforms do not hand on."""
ONLY_SPECTRA = ("symmetric", "normalized", "drop_last")
"""Options of `STFT` that only spectrograms hand on, and what inverts them."""


class FrameOptions(TypedDict, total=False):
    """Options of `STFT` that say how a signal is cut into frames, and how these are transformed."""

    sample_rate: float
    n_fft: int
    win_length: int | None
    hop_length: int | None
    window: Any
    center: Center
    pad_mode: PadMode
    symmetric: bool
    normalized: bool | Literal["frame_length", "window"]
    drop_last: bool
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
    window: Any
    norm: float | None
    pad_mode: PadMode
    output: Output
    filters: Literal["librosa", "nnaudio"]
    method: Literal["auto", "direct", "octaves"]
    trainable: bool


class ChromaOptions(FrameOptions, total=False):
    """Options of `Chroma`."""

    source: Literal["stft", "cqt", "cens"]
    n_chroma: int
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


def chosen_way(where: str, name: str, value: str, ways: tuple[str, str], *, trainable: bool) -> str:
    """Resolves ``"auto"`` into the trainable way if ``trainable``, else into the fast one; raises for other values.

    Args:
        where: whose option it is.
        name: of the option.
        value: one of the ways, or ``"auto"``.
        ways: the fast one, then the one that has parameters.
        trainable: whether there are to be parameters, which the fast way has not.
    """
    fixed, learned = ways
    checks.choice(where, name, value, ("auto", *ways))
    if value == fixed and trainable:
        rule = f'{name} "{learned}" or "auto" with trainable=True'
        raise ValueError(checks.message(where, rule, f'"{value}"', f'Use {name}="{learned}".'))
    if value == "auto":
        return learned if trainable else fixed
    return value
