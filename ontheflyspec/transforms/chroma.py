"""Energy of pitch classes."""

from __future__ import annotations

import math
from functools import partial
from numbers import Real
from typing import Any, Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import chroma, dct, filterbanks, stft
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms import stft_filterbank
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.cqt import CQT
from ontheflyspec.transforms.options import Backend, PadMode
from ontheflyspec.transforms.stft import STFT

Source = Literal["stft", "cqt", "cens"]
SOURCES = ("stft", "cqt", "cens")
SPECTRAL: dict[str, Any] = {"n_fft": 2048, "window": "hann", "center": True, "ctroct": 5.0}
OCTAVES: dict[str, Any] = {"fmin": 32.703, "bins_per_octave": 36, "threshold": 0.0}
MOST_OCTAVES = 7


class Chroma(FrameTransform):
    """Chroma of each item as if it stood alone: energy of each pitch class, all octaves together.

    From the power spectrum (``source="stft"``) by Gaussian filters around every pitch; or from a constant-Q transform
    (``"cqt"``), whose magnitudes around each pitch are added up; or, from the latter, CENS (``"cens"``): each class's
    share of its frame, coarsely rounded and smoothed over time, with silence beyond the item's own ends. Gradients
    through CENS are 0, as its steps have no slope.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        source: ``"stft"``, ``"cqt"`` or ``"cens"``.
        n_chroma: pitch classes of an octave.
        n_fft: samples of a frame, at least 2 (stft; None: 2048).
        win_length: samples of the window (stft; None: ``n_fft``).
        hop_length: samples between frames.
        window: as in `STFT` (stft; None: ``"hann"``).
        center: as in `STFT` (stft; None: yes; the others are centred).
        pad_mode: ``"constant"`` (zeros) or ``"reflect"``.
        norm: what is 1 in every frame: ``inf`` for the largest class, 1 for the sum, 2 for the root of the sum of
            squares; None for no change. Frames of 0 stay 0. (librosa's default for CENS is 2.)
        tuning: of A4 off 440 Hz, in pitch classes (stft) or bins of the constant-Q transform. It is not estimated, as
            librosa does where ``tuning=None``.
        ctroct: octaves above 27.5 Hz that count most (stft; None: 5).
        octwidth: octaves of the Gaussian weight around ``ctroct``, None for equal weights (stft).
        base_c: whether the first class is C, else A.
        fmin: Hz of the lowest bin (cqt, cens; None: 32.703).
        n_octaves: octaves above it (cqt, cens; None: as many as lie below ``sample_rate / 2``, at most 7).
        bins_per_octave: bins of an octave, a multiple of ``n_chroma`` (cqt, cens; None: 36).
        threshold: sums of magnitudes below it are taken as 0 (cqt, cens; None: 0). In silence next to a sound the
            constant-Q transform leaves up to 1e-6 of it, which ``norm`` makes as large as all else; a threshold above
            keeps it 0.
        win_len_smooth: frames of the Hann window to smooth with, None for none (cens).
        backend: as in `STFT` (stft).
        trainable: whether kernels and chroma filters are parameters (stft, cqt).

    Shape:
        ``[B, T]`` to ``[B, n_chroma, N]``, ``[B, C, T]`` to ``[B, C, n_chroma, N]``, a Tensor ``[T]`` to
        ``[n_chroma, N]``.

    Padding:
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, or of another source, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        ``librosa.feature.chroma_stft`` of each item alone, given the same ``tuning``; ``chroma_cqt`` and
        ``chroma_cens`` given the magnitudes of `CQT`, 1e-5 of the peak (tests/parity/test_chroma.py).

    References:
        Ellis, "Chroma feature analysis and synthesis", 2007; Mueller, Ewert, "Chroma toolbox: MATLAB implementations
        for extracting variants of chroma-based audio features", ISMIR 2011.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.sin(2 * torch.pi * 440 * torch.arange(16_000) / 16_000)
        >>> ofs.Chroma(sample_rate=16_000)(tone).mean(1).argmax()  # A, nine above C
        tensor(9)
    """

    filterbank: Tensor

    def __init__(
        self,
        *,
        sample_rate: float,
        source: Source = "stft",
        n_chroma: int = 12,
        n_fft: int | None = None,
        win_length: int | None = None,
        hop_length: int = 512,
        window: str | None = None,
        center: bool | None = None,
        pad_mode: PadMode = "constant",
        norm: float | None = math.inf,
        tuning: float = 0.0,
        ctroct: float | None = None,
        octwidth: float | None = 2.0,
        base_c: bool = True,
        fmin: float | None = None,
        n_octaves: int | None = None,
        bins_per_octave: int | None = None,
        threshold: float | None = None,
        win_len_smooth: int | None = 41,
        backend: Backend = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__()
        where = "Chroma"
        self.source = checks.choice(where, "source", source, SOURCES)
        self.n_features = self.n_chroma = checks.integer(where, "n_chroma", n_chroma)
        self.norm = _norm(where, norm)
        spectral: dict[str, Any] = {"octwidth": octwidth, "backend": backend, "center": center, "ctroct": ctroct}
        spectral |= {"n_fft": n_fft, "win_length": win_length, "window": window}
        octaves: dict[str, Any] = {"fmin": fmin, "n_octaves": n_octaves, "bins_per_octave": bins_per_octave}
        octaves |= {"threshold": threshold}
        if source == "stft":
            checks.unused(where, 'source="cqt" or "cens"', octaves)
        else:
            checks.unused(where, 'source="stft"', spectral, octwidth=2.0, backend="auto")
        if source == "cens":
            checks.unused(where, 'source="stft" or "cqt"', {"trainable": bool(trainable)}, trainable=False)
        else:
            checks.unused(where, 'source="cens"', {"win_len_smooth": win_len_smooth}, win_len_smooth=41)
        self.sample_rate = checks.positive(where, "sample_rate", sample_rate)
        common: dict[str, Any] = {"sample_rate": self.sample_rate, "hop_length": hop_length}
        common |= {"pad_mode": pad_mode, "trainable": trainable}
        tuning = checks.number(where, "tuning", tuning)
        self.front: STFT | CQT
        if source == "stft":
            maker = self._spectral(common, (tuning, bool(base_c)), **_with_defaults(spectral, SPECTRAL))
        else:
            maker = self._octaves(common, (tuning, bool(base_c)), **_with_defaults(octaves, OCTAVES))
        self.framing = self.front.framing
        self.keep("filterbank", maker, trainable=trainable)
        if source == "stft":
            self.bands = filterbanks.bands(self.filterbank.detach())
        self.smooth = source == "cens" and win_len_smooth is not None
        if win_len_smooth is not None and source == "cens":
            win_len_smooth = checks.integer(where, "win_len_smooth", win_len_smooth)
            self.keep("weights", partial(chroma.cens_weights, win_len_smooth))

    def _spectral(
        self,
        common: dict[str, Any],
        classes: tuple[float, bool],
        *,
        n_fft: int,
        ctroct: float,
        octwidth: float | None,
        **frame: Any,
    ) -> partial[Tensor]:
        """Makes the STFT and returns what makes the filters over its bins."""
        self.threshold = 0.0
        n_fft = checks.integer("Chroma", "n_fft", n_fft, low=2)
        with checks.of_part("STFT", "Chroma"):
            self.front = STFT(**common, n_fft=n_fft, **frame)
        octwidth = None if octwidth is None else checks.positive("Chroma", "octwidth", octwidth)
        octaves = (checks.number("Chroma", "ctroct", ctroct), octwidth)
        (tuning, base_c), shape = classes, (self.sample_rate, n_fft, self.n_chroma)
        return partial(chroma.chroma_filterbank, *shape, tuning, *octaves, base_c)

    def _octaves(
        self,
        common: dict[str, Any],
        classes: tuple[float, bool],
        *,
        fmin: float,
        n_octaves: int | None,
        bins_per_octave: int,
        threshold: float,
    ) -> partial[Tensor]:
        """Makes the constant-Q transform and returns what makes the matrix that folds its bins."""
        self.threshold = checks.number("Chroma", "threshold", threshold)
        tuning, base_c = classes
        n_bins = _bins(self.sample_rate, self.n_chroma, fmin, tuning, n_octaves, bins_per_octave)
        bins: dict[str, Any] = {"n_bins": n_bins, "bins_per_octave": bins_per_octave}
        with checks.of_part("CQT", "Chroma"):
            self.front = CQT(**common, **bins, fmin=fmin * 2 ** (tuning / bins_per_octave), output="magnitude")
        return partial(chroma.fold_matrix, n_bins, bins_per_octave, self.n_chroma, fmin, base_c)

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline | None:  # noqa: ARG002
        """Returns power, filters around every pitch, and their norm; None for a source other than the STFT."""
        if isinstance(self.front, CQT):
            return None
        bands = stft_filterbank.filters(self, self.front, self.bands, 2.0, like)
        return bands.then([Node(chroma.unit, {"norm": self.norm})])

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the chroma of ``[B, T]`` or ``[B, C, T]`` samples."""
        if not isinstance(self.front, CQT):
            return super().transform(data, lengths)
        valid = None if lengths is None else self.output_lengths(lengths)
        bins = self.front.transform(data, lengths)
        with stft.full_precision(bins.device):
            sums: Tensor = dct.project(bins, valid, matrix=self.constant("filterbank", bins))
        sums = sums.masked_fill(sums < self.threshold, 0)
        if self.source == "cqt":
            out: Tensor = chroma.unit(sums, valid, norm=self.norm)
            return out
        return chroma.energy_statistics(sums, valid, self.constant("weights", bins) if self.smooth else None, self.norm)


def _bins(
    sample_rate: float, n_chroma: int, fmin: float, tuning: float, n_octaves: int | None, bins_per_octave: int
) -> int:
    """Returns how many bins so many octaves have, or raises; None is as many as fit."""
    where = "Chroma"
    checks.positive(where, "fmin", fmin)
    checks.integer(where, "bins_per_octave", bins_per_octave)
    if bins_per_octave % n_chroma:
        rule = f"bins_per_octave to be a multiple of n_chroma = {n_chroma}"
        remedy = f"Take {n_chroma * (bins_per_octave // n_chroma + 1)}."
        raise ValueError(checks.message(where, rule, bins_per_octave, remedy))
    tops = {count: fmin * 2 ** (count + (tuning - 1) / bins_per_octave) for count in range(1, MOST_OCTAVES + 1)}
    if n_octaves is None:
        n_octaves = max((count for count, top in tops.items() if top <= sample_rate / 2), default=1)
    n_octaves = checks.integer(where, "n_octaves", n_octaves)
    top = fmin * 2 ** (n_octaves + (tuning - 1) / bins_per_octave)
    if top > sample_rate / 2:
        most = n_octaves - math.ceil(math.log2(top / (sample_rate / 2)))
        rule = f"top bin at or below sample_rate / 2 = {sample_rate / 2:.1f} Hz"
        remedy = f"Lower n_octaves to at most {most}" if most > 0 else "Lower fmin"
        raise ValueError(checks.message(where, rule, f"{top:.1f} Hz", f"{remedy} or raise sample_rate."))
    return n_octaves * bins_per_octave


def _with_defaults(given: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: defaults.get(name) if value is None else value for name, value in given.items()}


def _norm(where: str, norm: float | None) -> float | None:
    if norm is None:
        return None
    if isinstance(norm, Real) and norm in (1, 2, math.inf):
        return float(norm)
    raise ValueError(checks.message(where, "norm to be 1, 2, inf or None", repr(norm), "Change norm."))
