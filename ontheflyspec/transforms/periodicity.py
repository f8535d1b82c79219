"""Combined frequency and periodicity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import blocks, filterbanks, fourier, periodicity, windows
from ontheflyspec.functional.framing import cut
from ontheflyspec.transforms.base import Transform
from ontheflyspec.transforms.stft import STFT, PadMode


class CFP(Transform):
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
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, a batch of another rate.
        TypeError: samples that are neither float nor int16, a ``gamma`` that is no sequence.

    Matches:
        with ``filters="published"`` nnAudio's ``CFP`` and, but for its missing first and last frame,
        ``Combined_Frequency_Periodicity``; else the formulas in numpy, 1e-5 of the peak
        (tests/parity/test_periodicity.py).

    References:
        Su, Yang, "Combining spectral and temporal representations for multipitch estimation of polyphonic music",
        IEEE/ACM TASLP 2015; Su, "Vocal melody extraction using patch-based CNN", ICASSP 2018.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> cfp = ofs.CFP(sample_rate=16_000, fmin=80.0, fmax=1000.0)
        >>> cfp(torch.randn(2, 16_000)).shape
        torch.Size([2, 175, 51])
    """

    frames_of: ClassVar[str | None] = "stft"
    sample_rate: float
    window: Tensor
    window_rest: Tensor
    kept: Tensor
    over_bins: Tensor
    over_lags: Tensor

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int | None = None,
        win_length: int = 2049,
        hop_length: int = 320,
        window: str = "blackmanharris",
        center: bool = True,
        pad_mode: PadMode = "constant",
        fmin: float = 80.0,
        fmax: float = 1000.0,
        bins_per_octave: int = 48,
        gamma: Sequence[float] = (0.24, 0.6, 1.0),
        filters: Literal["triangular", "published"] = "triangular",
        output: Literal["cfp", "spectrum", "cepstrum", "gcos"] = "cfp",
    ) -> None:
        super().__init__()
        where = "CFP"
        rate = checks.positive(where, "sample_rate", sample_rate)
        win_length = checks.integer(where, "win_length", win_length)
        n_fft = max(int(rate / 2), win_length) if n_fft is None else n_fft
        n_fft = checks.integer(where, "n_fft", n_fft, low=4)
        with checks.of_part("STFT", "CFP"):
            self.stft = STFT(
                sample_rate=rate,
                n_fft=n_fft,
                win_length=win_length,
                hop_length=hop_length,
                window=window,
                center=center,
                pad_mode=pad_mode,
            )
        self.sample_rate = rate
        self.fmax = checks.number(where, "fmax", fmax, low=0.0, high=rate / 2)
        self.fmin = checks.number(where, "fmin", fmin, low=rate / (n_fft // 2))
        if self.fmin >= self.fmax:
            rule = f"fmin below fmax = {self.fmax} Hz"
            raise ValueError(checks.message(where, rule, f"{self.fmin} Hz", "Lower fmin or raise fmax."))
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
        count = len(periodicity.centres(self.fmin, self.fmax, self.bins_per_octave))
        if self.filters == "published" and count < 3:
            rule = 'three or more bands between fmin and fmax with filters="published"'
            raise ValueError(checks.message(where, rule, count, "Raise bins_per_octave or fmax."))
        self._keep_constants()

    def _keep_constants(self) -> None:
        n_fft, frame = self.stft.n_fft, (self.stft.window_name, self.stft.win_length, self.stft.n_fft)
        self.keep("window", partial(_window, *frame))
        self.keep("window_rest", partial(_window_rest, *frame))
        cut_lag, cut_bin = round(self.sample_rate / self.fmax), round(self.fmin * n_fft / self.sample_rate)
        self.keep("kept", partial(periodicity.cuts, n_fft, cut_lag, cut_bin))
        options = (self.sample_rate, n_fft, self.fmin, self.fmax, self.bins_per_octave, self.filters == "published")
        self.keep("over_bins", partial(periodicity.filters, "bins", *options))
        self.keep("over_lags", partial(periodicity.filters, "lags", *options))
        self.bands = {name: filterbanks.bands(getattr(self, name)) for name in ("over_bins", "over_lags")}

    @property
    def n_features(self) -> int:
        """Bands."""
        return self.over_bins.shape[0]

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bands, float64 ``[F]``."""
        return periodicity.centres(self.fmin, self.fmax, self.bins_per_octave)[: self.n_features]

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the features of ``[B, T]`` or ``[B, C, T]`` samples."""
        wide = torch.float32 if data.device.type == "mps" else torch.float64
        like = data if data.dtype == torch.float64 else self.over_bins
        window = self.window.to(wide) + self.window_rest.to(wide)
        compute = partial(periodicity.combine, gamma=self.gamma, kept=self.kept.to(wide), output=self.output)
        if blocks.applicable(data):
            over: dict[str, Any] = {name: self._in_runs(name, like) for name in self.bands}
            options: dict[str, Any] = {"together": False, "like": like.new_empty(self.n_features), "window": window}
            return blocks.map_frames(data, lengths, partial(compute, **over), **options, **self.stft.framing)
        with fourier.full_precision(data.device):
            pieces, count = fourier.windowed(as_float(data, wide), lengths, window, **self.stft.framing)
            over = {name: partial(_filtered, weights=self.constant(name, like)) for name in self.bands}
            out: Tensor = compute(pieces, **over)[..., :count]
            return out if lengths is None else cut(out, self.output_lengths(lengths))

    def _in_runs(self, name: str, like: Tensor) -> Callable[[Tensor], Tensor]:
        weights = self.constant(name, like)
        runs = [(weights[first:last, low:high], low) for first, last, low, high in self.bands[name]]
        return lambda values: filterbanks.products(values.to(like.dtype), runs, values.shape[0])


def _filtered(values: Tensor, weights: Tensor) -> Tensor:
    return torch.matmul(weights, values.to(weights.dtype).transpose(-1, -2))


def _window(name: str, win_length: int, n_fft: int) -> Tensor:
    values = windows.symmetric(name, win_length, n_fft)
    return values / values.square().sum().sqrt()


def _window_rest(name: str, win_length: int, n_fft: int) -> Tensor:
    """Returns what float32 leaves out of the window."""
    values = _window(name, win_length, n_fft)
    return values - values.float().double()
