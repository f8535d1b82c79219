"""Bark spectrogram: triangular filters evenly spaced in bark, over the power of an STFT."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import filterbanks, scales
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.transforms.options import NOT_FRAMES, FrameOptions
from ontheflyspec.transforms.stft import STFT, BandSpectrogram


class BarkSpectrogram(BandSpectrogram):
    """Bark spectrogram of each item as if it stood alone: STFT, power, triangular filters evenly spaced in bark.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_fft: samples of a frame.
        win_length: samples of the window (None: ``n_fft``).
        hop_length: samples between frames (None: ``n_fft // 4``).
        window: as in `STFT`.
        center: as in `STFT`.
        pad_mode: as in `STFT`.
        symmetric, normalized, drop_last: as in `STFT`.
        n_bands: bark bands.
        fmin: Hz of the lowest filter's lower edge.
        fmax: Hz of the highest filter's upper edge (None: ``sample_rate / 2``).
        bark_scale: ``"traunmuller"``, ``"zwicker"``, ``"schroeder"`` or ``"wang"``; filters are triangles over Hz.
        norm: ``"slaney"`` for filters of unit area over Hz, or None for peaks of 1.
        power: exponent of the magnitude, 2.0 for power, 1.0 for magnitude.
        backend: as in `STFT`.
        trainable: whether Fourier kernels and bark filters are parameters.

    Shape:
        ``[B, T]`` to ``[B, n_bands, N]``, ``[B, C, T]`` to ``[B, C, n_bands, N]``, a Tensor ``[T]`` to
        ``[n_bands, N]``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Warns:
        UserWarning: filters too narrow to hold an FFT bin; their outputs are 0.

    Matches:
        The papers' formulas, written out in numpy and solved with scipy, on ``librosa.stft`` of each item alone, 1e-5
        of the peak (tests/parity/test_bark.py).

    References:
        Traunmueller, "Analytical expressions for the tonotopic sensory scale", 1990; Zwicker, Terhardt, "Analytical
        expressions for critical-band rate and critical bandwidth as a function of frequency", 1980; Schroeder et al.,
        "Optimizing digital speech coders by exploiting masking properties of the human ear", 1979; Wang et al., "An
        objective measure for predicting subjective quality of speech coders", 1992.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> bark = ofs.BarkSpectrogram(sample_rate=16_000, n_fft=512, hop_length=160)
        >>> bark(torch.randn(2, 16_000)).shape
        torch.Size([2, 24, 101])
    """

    @hands_on(STFT, without=NOT_FRAMES)
    def __init__(
        self,
        *,
        n_bands: int = 24,
        fmin: float = 0.0,
        fmax: float | None = None,
        bark_scale: Literal["traunmuller", "zwicker", "schroeder", "wang"] = "traunmuller",
        norm: Literal["slaney"] | None = None,
        power: float = 2.0,
        **frames: Unpack[FrameOptions],
    ) -> None:
        super().__init__(frames, fmin, fmax, norm=norm, power=power)
        self.n_features = self.n_bands = checks.integer("BarkSpectrogram", "n_bands", n_bands)
        self.bark_scale = checks.choice("BarkSpectrogram", "bark_scale", bark_scale, scales.BARK_SCALES)
        shape = (self.sample_rate, self.framing.n_fft, n_bands, self.fmin, self.fmax)
        self.keep_filters(partial(filterbanks.triangular_filterbank, *shape, bark_scale, norm), "bark", "n_bands")

    @property
    def frequencies(self) -> Tensor:
        """Hz of the filters' centres, float64 ``[n_bands]``."""
        return scales.spaced(self.n_bands + 2, self.fmin, self.fmax, self.bark_scale)[1:-1]
