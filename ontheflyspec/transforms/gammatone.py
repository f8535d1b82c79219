"""Gammatonegram: gammatone filters over the power of an STFT, or on the samples."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import gammatone
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.pipeline import Pipeline
from ontheflyspec.transforms.options import NOT_FRAMES, FrameOptions
from ontheflyspec.transforms.stft import STFT, BandSpectrogram


class Gammatonegram(BandSpectrogram):
    """Gammatonegram of each item as if it stood alone: energies of fourth-order gammatone filters in each frame.

    Centres stand evenly in bandwidths of the ear, from ``fmin`` to below ``fmax``. ``method="fft"`` weighs the bins of
    an STFT with the filters' responses, ``method="impulse"`` filters the signal itself.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_fft: samples of a frame.
        win_length: samples of the window (None: ``n_fft``).
        hop_length: samples between frames (None: ``n_fft // 4``).
        window: as in `STFT`.
        center: as in `STFT`.
        pad_mode: as in `STFT`; filters run over the extended signal.
        symmetric, normalized, drop_last: as in `STFT`.
        n_bins: filters.
        fmin: Hz of the lowest centre.
        fmax: Hz that the highest centre stays below (None: ``sample_rate / 2``).
        norm: ``"slaney"`` to divide each filter's output by its bandwidth in Hz, or None for gains of 1 at the centres.
        power: exponent of the magnitude, 2.0 for power, 1.0 for magnitude. With ``"fft"`` responses are raised to it
            too, and products summed over bins; with ``"impulse"`` it is that of a frame's root mean square, weighted
            with the window.
        method: ``"fft"``, or ``"impulse"`` for impulse responses in time, down to 120 dB below their peak: right for
            frames shorter than a filter rings, but slower. Nothing makes up for the filters' delay.
        backend: as in `STFT`, for ``method="fft"``.
        trainable: whether Fourier kernels and filters, or impulse responses, are parameters.

    Shape:
        ``[B, T]`` to ``[B, n_bins, N]``, ``[B, C, T]`` to ``[B, C, n_bins, N]``, a Tensor ``[T]`` to ``[n_bins, N]``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, a ``backend`` for ``method="impulse"``, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        Item by item within 1e-5 of the peak (tests/parity/test_gammatone.py): ``"fft"`` the weights of nnAudio times
        ``n_fft``, and its ``Gammatonegram(power=1.0)``, but not its default, which multiplies squared magnitudes with
        responses that are not squared; ``"impulse"`` ``scipy.signal.gammatone(ftype="fir")`` with ``lfilter``.

    References:
        Slaney, "An efficient implementation of the Patterson-Holdsworth auditory filter bank", 1993; Ellis,
        "Gammatone-like spectrograms", 2009.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> gammatone = ofs.Gammatonegram(sample_rate=16_000, n_fft=512, hop_length=160)
        >>> gammatone(torch.randn(2, 16_000)).shape
        torch.Size([2, 64, 101])
    """

    @hands_on(STFT, without=NOT_FRAMES)
    def __init__(
        self,
        *,
        n_bins: int = 64,
        fmin: float = 20.0,
        fmax: float | None = None,
        norm: Literal["slaney"] | None = None,
        power: float = 2.0,
        method: Literal["fft", "impulse"] = "fft",
        **frames: Unpack[FrameOptions],
    ) -> None:
        where = "Gammatonegram"
        checks.choice(where, "method", method, ("fft", "impulse"))
        if method == "impulse":
            given = {"backend": frames["backend"], "normalized": frames["normalized"]}
            checks.unused(where, 'method="fft"', given, backend="auto", normalized=False)
        trainable = checks.flag("Gammatonegram", "trainable", frames["trainable"])
        frames["trainable"] = trainable and method == "fft"
        super().__init__(frames, fmin, fmax, norm=norm, power=power)
        self.method = method
        self.n_features = self.n_bins = checks.integer(where, "n_bins", n_bins)
        options: dict[str, Any] = {"centres": self.frequencies, "power": self.power, "norm": self.norm}
        if self.method == "fft":
            maker = partial(gammatone.gammatone_filterbank, self.sample_rate, self.framing.n_fft, **options)
            self.keep_filters(maker, "gammatone", "n_bins")
        else:
            maker = partial(gammatone.impulse_responses, self.sample_rate, **options)
            self.keep("responses", maker, trainable=trainable)

    @property
    def frequencies(self) -> Tensor:
        """Hz of the filters' centres, float64 ``[n_bins]``."""
        return gammatone.erb_frequencies(self.n_bins, self.fmin, self.fmax)

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline | None:  # noqa: ARG002
        """Returns power, then gammatone filters, None for filters in time."""
        return self.filtered(like) if self.method == "fft" else None

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the gammatonegram of ``[B, T]`` or ``[B, C, T]`` samples."""
        if self.method == "fft":
            return super().transform(data, lengths)
        data = as_float(data)
        responses, window = self.constant("responses", data.dtype), self.stft.constant("window", data.dtype)
        return gammatone.magnitudes(
            data, lengths, responses=responses, window=window, framing=self.stft.framing, power=self.power
        )
