"""Chroma: energy of each pitch class, from an STFT or a constant-Q transform, and its statistics (CENS)."""

from __future__ import annotations

import math
from functools import partial
from numbers import Real
from typing import Any, Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import chroma, cqt_filters, dct
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.cqt import CQT
from ontheflyspec.transforms.options import NOT_FRAMES, ONLY_SPECTRA, FrameOptions
from ontheflyspec.transforms.stft import STFT, filters

Source = Literal["stft", "cqt", "cens"]
FRAMES: dict[str, Any] = {"n_fft": None, "hop_length": 512, "window": None, "center": None, "pad_mode": "constant"}
"""Defaults that differ from the STFT's. None stands for its own, and shows the other sources that nobody gave it."""
MOST_OCTAVES = 7
"""Octaves of the constant-Q transform where nobody says how many."""


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
        norm: order of the norm that every frame is divided by: ``inf`` for the largest class, 1 for the sum, 2 for the
            root of the sum of squares; None for none. Frames of 0 stay 0. (librosa's default for CENS is 2.)
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
        Exactly 0 past each item's frames; the input's padding has no effect.

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

    @hands_on(STFT, first=("source", "n_chroma"), without=(*NOT_FRAMES, *ONLY_SPECTRA), **FRAMES)
    def __init__(
        self,
        *,
        source: Source = "stft",
        n_chroma: int = 12,
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
        **frames: Unpack[FrameOptions],
    ) -> None:
        super().__init__()
        where = "Chroma"
        self.source = checks.choice(where, "source", source, ("stft", "cqt", "cens"))
        self.n_features = self.n_chroma = checks.integer(where, "n_chroma", n_chroma)
        self.norm = _norm(where, norm)
        self.tuning, self.base_c = checks.number(where, "tuning", tuning), checks.flag(where, "base_c", base_c)
        spectral: dict[str, Any] = {**frames}
        shared = {name: spectral.pop(name) for name in ("sample_rate", "hop_length", "pad_mode", "trainable")}
        octaves = {"fmin": fmin, "n_octaves": n_octaves, "bins_per_octave": bins_per_octave, "threshold": threshold}
        only_with = {
            'source="stft"': {"octwidth": octwidth, "ctroct": ctroct, **spectral},
            'source="cqt" or "cens"': octaves,
            'source="cens"': {"win_len_smooth": win_len_smooth},
            'source="stft" or "cqt"': {"trainable": shared["trainable"]},
        }
        for reason, options in only_with.items():
            if f'"{source}"' not in reason:
                checks.unused(where, reason, options, octwidth=2.0, backend="auto", win_len_smooth=41, trainable=False)
        self.threshold = checks.number(where, "threshold", 0.0 if threshold is None else threshold)
        self.front: STFT | CQT
        if source == "stft":
            given = {name: value for name, value in spectral.items() if value is not None}
            maker = self._over_bins({**shared, **given}, 5.0 if ctroct is None else ctroct, octwidth)
        else:
            fmin, width = 32.703 if fmin is None else fmin, 36 if bins_per_octave is None else bins_per_octave
            maker = self._over_octaves(shared, fmin, width, n_octaves)
        self.sample_rate, self.framing = self.front.sample_rate, self.front.framing
        self.keep("filterbank", maker, trainable=shared["trainable"])
        if source == "stft":
            self.runs("filterbank")  # now, on the host
        self.smooth = source == "cens" and win_len_smooth is not None
        if self.smooth:
            win_len_smooth = checks.integer(where, "win_len_smooth", win_len_smooth)
            self.keep("weights", partial(chroma.cens_weights, win_len_smooth))

    def _over_bins(self, frames: dict[str, Any], ctroct: float, octwidth: float | None) -> partial[Tensor]:
        """Makes the STFT; returns the maker of the filters over its bins."""
        self.front = STFT(**frames)
        n_fft = checks.integer("Chroma", "n_fft", self.front.framing.n_fft, low=2)
        ctroct = checks.number("Chroma", "ctroct", ctroct)
        octwidth = None if octwidth is None else checks.positive("Chroma", "octwidth", octwidth)
        shape = (self.front.sample_rate, n_fft, self.n_chroma)
        return partial(chroma.chroma_filterbank, *shape, self.tuning, ctroct, octwidth, self.base_c)

    def _over_octaves(
        self, frames: dict[str, Any], fmin: float, bins_per_octave: int, n_octaves: int | None
    ) -> partial[Tensor]:
        """Makes the constant-Q transform; returns the maker of the matrix that adds up its octaves."""
        where, n_chroma = "Chroma", self.n_chroma
        nyquist = checks.positive(where, "sample_rate", frames["sample_rate"]) / 2
        fmin = checks.positive(where, "fmin", fmin)
        if checks.integer(where, "bins_per_octave", bins_per_octave) % n_chroma:
            rule = f"bins_per_octave to be a multiple of n_chroma = {n_chroma}"
            remedy = f"Take {n_chroma * (bins_per_octave // n_chroma + 1)}."
            raise ValueError(checks.message(where, rule, bins_per_octave, remedy))
        lowest = fmin * 2 ** (self.tuning / bins_per_octave)
        most = cqt_filters.most_bins(nyquist, lowest, bins_per_octave) // bins_per_octave
        n_octaves = min(max(most, 1), MOST_OCTAVES) if n_octaves is None else n_octaves
        n_bins = bins_per_octave * checks.integer(where, "n_octaves", n_octaves)
        if n_octaves > most:
            rule, top = f"top bin at or below sample_rate / 2 = {nyquist:.1f} Hz", n_octaves - 1 / bins_per_octave
            remedy = f"Lower n_octaves to at most {most}" if most > 0 else "Lower fmin"
            got = f"{lowest * 2**top:.1f} Hz"
            raise ValueError(checks.message(where, rule, got, f"{remedy} or raise sample_rate."))
        with checks.of_part("CQT", where):
            self.front = CQT(**frames, fmin=lowest, n_bins=n_bins, bins_per_octave=bins_per_octave, output="magnitude")
        return partial(chroma.fold_matrix, n_bins, bins_per_octave, n_chroma, fmin, self.base_c)

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline | None:  # noqa: ARG002
        """Returns power, filters around every pitch, and their norm; None for a source other than the STFT."""
        if isinstance(self.front, CQT):
            return None
        bands = filters(self, self.front, 2.0, like)
        return bands.then([Node(chroma.unit, {"norm": self.norm})])

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the chroma of ``[B, T]`` or ``[B, C, T]`` samples."""
        if not isinstance(self.front, CQT):
            return super().transform(data, lengths)
        valid = None if lengths is None else self.output_lengths(lengths)
        bins = self.front.transform(data, lengths)
        sums = dct.project(bins, valid, matrix=self.constant("filterbank", bins.dtype))
        sums = sums.masked_fill(sums < self.threshold, 0)
        if self.source == "cqt":
            return chroma.unit(sums, valid, norm=self.norm)
        return chroma.energy_statistics(
            sums, valid, self.constant("weights", bins.dtype) if self.smooth else None, self.norm
        )


def _norm(where: str, norm: float | None) -> float | None:
    """Returns the order of a norm, or raises."""
    if norm is None:
        return None
    if isinstance(norm, Real) and norm in (1, 2, math.inf):
        return float(norm)
    raise ValueError(checks.message(where, "norm to be 1, 2, inf or None", repr(norm), "Change norm."))
