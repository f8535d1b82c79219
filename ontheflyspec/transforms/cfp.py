"""Combined frequency and periodicity (CFP), for pitch in polyphonic music."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from torch import Tensor

from ontheflyspec import checks, windows
from ontheflyspec.functional import cfp
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.precision import wide
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.options import NOT_FRAMES, ONLY_SPECTRA, FrameOptions
from ontheflyspec.transforms.stft import STFT, frequency_range

FRAMES: dict[str, Any] = {"n_fft": None, "win_length": 2049, "hop_length": 320, "window": "blackmanharris"}
FRAMES |= {"pad_mode": "constant"}
"""Defaults other than the STFT's."""


class CFP(FrameTransform):
    """Combined frequency and periodicity of each item as if it stood alone: peaks of spectrum and cepstrum alike.

    The magnitude spectrum to the power ``gamma[0]`` is Fourier transformed to a generalised cepstrum, this, to the
    power ``gamma[1]``, back to a spectrum, and so on; negative values, lags below ``sample_rate / fmax`` and
    frequencies below ``fmin`` count as 0. Triangular filters bring spectrum and cepstrum to one axis of log frequency,
    where their product keeps a fundamental: harmonics are no peaks of the cepstrum, subharmonics none of the spectrum.
    The transforms are done in float64, as powers below 1 blow up rounding errors.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_fft: samples of a frame (None: bins of 2 Hz, ``sample_rate // 2``, or ``win_length`` if that is more).
        win_length: samples of the window, centred in the frame.
        hop_length: samples between frames.
        window: a name as in `STFT`, but symmetric; scaled to unit energy.
        center: as in `STFT`.
        pad_mode: as in `STFT`.
        fmin: Hz of the lowest band, at least ``2 * sample_rate / n_fft``.
        fmax: Hz that all bands lie below, at most ``sample_rate / 2``.
        bins_per_octave: bands of an octave.
        gamma: power of the spectrum (above 0), then of each further transform in turn, 0 for a logarithm.
        filters: ``"triangular"`` with peaks of 1, interpolating where bands lie closer than bins or lags; or
            ``"published"`` as in the authors' code, where bands between two lags are empty, as is the first one, and
            the last one is left out; for three bands or more.
        output: ``"cfp"``, or one of its parts on the same bands: ``"spectrum"`` (the first), ``"cepstrum"`` (the last
            one) or ``"gcos"`` (the last spectrum of a cepstrum, which needs a third power in ``gamma``). With two
            powers ``"cfp"`` is the first spectrum times the cepstrum.

    Shape:
        ``[B, T]`` to ``[B, F, N]``, ``[B, C, T]`` to ``[B, C, F, N]``, a Tensor ``[T]`` to ``[F, N]``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, a batch of another rate.
        TypeError: samples that are neither float nor int16, a ``gamma`` that is no sequence.

    Matches:
        with ``filters="published"`` nnAudio's ``CFP`` and, but for its missing first and last frame,
        ``Combined_Frequency_Periodicity``; else the formulas in numpy, 1e-5 of the peak
        (tests/parity/test_cfp.py).

    References:
        Su, Yang, "Combining spectral and temporal representations for multipitch estimation of polyphonic music",
        IEEE/ACM TASLP 2015; Su, "Vocal melody extraction using patch-based CNN", ICASSP 2018.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> cfp = ofs.CFP(sample_rate=16_000, fmin=80.0, fmax=1000.0)
        >>> cfp(torch.randn(2, 16_000)).shape
        torch.Size([2, 175, 51])
    """

    window: Tensor
    kept: Tensor
    over_bins: Tensor
    over_lags: Tensor

    @hands_on(STFT, without=(*NOT_FRAMES, *ONLY_SPECTRA, "backend", "trainable"), **FRAMES)
    def __init__(
        self,
        *,
        fmin: float = 80.0,
        fmax: float = 1000.0,
        bins_per_octave: int = 48,
        gamma: Sequence[float] = (0.24, 0.6, 1.0),
        filters: Literal["triangular", "published"] = "triangular",
        output: Literal["cfp", "spectrum", "cepstrum", "gcos"] = "cfp",
        **frames: Unpack[FrameOptions],
    ) -> None:
        super().__init__()
        where = "CFP"
        self.sample_rate = rate = checks.positive(where, "sample_rate", frames["sample_rate"])
        win_length = checks.integer(where, "win_length", frames["win_length"])
        n_fft: Any = frames["n_fft"]
        n_fft = max(int(rate / 2), win_length) if n_fft is None else n_fft
        frames["n_fft"] = checks.integer(where, "n_fft", n_fft, low=4)
        self.stft = STFT(**frames)
        self.framing = self.stft.framing
        self.fmin, self.fmax = frequency_range(where, fmin, fmax, rate, lowest=rate / (n_fft // 2))
        self.bins_per_octave = checks.integer(where, "bins_per_octave", bins_per_octave)
        powers = checks.sequence(where, "gamma", gamma)
        self.gamma = tuple(checks.number(where, "gamma", power, low=0.0) for power in powers)
        if len(self.gamma) < 2 or self.gamma[0] == 0:
            rule = "gamma to be two or more powers, the first above 0"
            raise ValueError(checks.message(where, rule, self.gamma, "Give a power for each transform."))
        self.output = checks.choice(where, "output", output, ("cfp", "spectrum", "cepstrum", "gcos"))
        if self.output == "gcos" and len(self.gamma) < 3:
            rule = 'gamma of three or more powers with output="gcos"'
            raise ValueError(checks.message(where, rule, self.gamma, "Give a third power, or take another output."))
        self.filters = checks.choice(where, "filters", filters, ("triangular", "published"))
        count = len(cfp.centres(self.fmin, self.fmax, self.bins_per_octave))
        if self.filters == "published" and count < 3:
            rule = 'three or more bands between fmin and fmax with filters="published"'
            raise ValueError(checks.message(where, rule, count, "Raise bins_per_octave or fmax."))
        self._keep_constants()

    def _keep_constants(self) -> None:
        n_fft = self.framing.n_fft
        frame = (self.framing.window, self.framing.win_length, n_fft)
        self.keep("window", partial(_window, *frame))
        cut_lag, cut_bin = round(self.sample_rate / self.fmax), round(self.fmin * n_fft / self.sample_rate)
        self.keep("kept", partial(cfp.cuts, n_fft, cut_lag, cut_bin))
        options = (self.sample_rate, n_fft, self.fmin, self.fmax, self.bins_per_octave, self.filters == "published")
        self.keep("over_bins", partial(cfp.filters, "bins", *options))
        self.keep("over_lags", partial(cfp.filters, "lags", *options))
        self.n_features = len(self.over_bins)
        self.runs("over_bins"), self.runs("over_lags")  # now, on the host

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bands, float64 ``[F]``."""
        return cfp.centres(self.fmin, self.fmax, self.bins_per_octave)[: self.n_features]

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:  # noqa: ARG002
        """Returns windowed frames, then the features of their spectra and cepstra."""
        precise = wide(like.device)  # powers below 1 need the window in float64
        window = self.constant("window", precise)
        banks = tuple((self.constant(name, like.dtype), self.runs(name)) for name in ("over_bins", "over_lags"))
        kept = self.constant("kept", precise)
        options = {"banks": banks, "gamma": self.gamma, "kept": kept, "output": self.output}
        node = Node(cfp.combine, options, banks[0][0][:, 0])
        return Pipeline((node,), self.framing, "frames", window)


def _window(shape: windows.Window, win_length: int, n_fft: int) -> Tensor:
    """Returns a symmetric window of unit energy, float64 ``[n_fft]``."""
    values = windows.window(shape, win_length, n_fft, symmetric=True)
    return values / values.square().sum().sqrt()
