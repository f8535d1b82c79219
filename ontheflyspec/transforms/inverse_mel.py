"""Inverse mel spectrogram: magnitude or power spectra from mel bands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import nnls, stft
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.transforms.base import Transform
from ontheflyspec.transforms.mel import MelSpectrogram
from ontheflyspec.transforms.options import ONLY_SPECTRA, MelOptions

NOT_BANDS = ("win_length", "hop_length", "window", "center", "pad_mode", *ONLY_SPECTRA, "backend", "trainable")
"""Options of `MelSpectrogram` that make no difference to its filters."""


class InverseMel(Transform):
    """Inverse of the mel spectrogram by non-negative least squares, each frame of each item by itself.

    Of all spectra nowhere below 0 it seeks one whose mel bands come nearest in least squares, by a fixed number of
    Douglas and Rachford's steps: no random start, no tolerance, no frame that waits for another.

    Args:
        sample_rate: Hz of the waveforms that the mel spectrogram was made of.
        n_fft: samples of a frame.
        n_mels: mel bands.
        fmin: as in `MelSpectrogram`.
        fmax: as in `MelSpectrogram`.
        mel_scale: as in `MelSpectrogram`.
        norm: as in `MelSpectrogram`.
        power: exponent of the magnitudes that the mel spectrogram was made of.
        output: ``"magnitude"`` or ``"power"``.
        n_iter: steps; fewer are faster and leave more.

    Shape:
        ``[B, n_mels, N]`` to ``[B, F, N]``, ``[B, C, n_mels, N]`` to ``[B, C, F, N]``, a Tensor ``[n_mels, N]`` to
        ``[F, N]``, with ``F = n_fft // 2 + 1``. Bins that no filter meets are 0.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, a spectrogram of another number of bands.
        TypeError: features that are not real floats.

    Warns:
        UserWarning: filters too narrow to hold an FFT bin; their mel bands are lost.

    Matches:
        ``scipy.optimize.nnls`` of each frame: the squares that are left are more by at most 1e-4 of the frame's own,
        and so against ``librosa.feature.inverse.mel_to_stft``, which stops earlier (tests/parity/test_inverse_mel.py).

    References:
        Eckstein, Bertsekas, "On the Douglas-Rachford splitting method and the proximal point algorithm", 1992.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> options = {"sample_rate": 16_000, "n_fft": 512, "n_mels": 40}
        >>> mel = ofs.MelSpectrogram(**options)(torch.randn(2, 16_000))
        >>> ofs.InverseMel(**options)(mel).shape
        torch.Size([2, 257, 126])
    """

    item_rank = 2

    @hands_on(MelSpectrogram, without=NOT_BANDS)
    def __init__(
        self, *, output: Literal["magnitude", "power"] = "magnitude", n_iter: int = 128, **mel: Unpack[MelOptions]
    ) -> None:
        super().__init__()
        where = "InverseMel"
        self.mel = MelSpectrogram(**mel)
        self.n_features = self.mel.stft.n_features
        self.output = checks.choice(where, "output", output, ("magnitude", "power"))
        self.n_iter = checks.integer(where, "n_iter", n_iter)
        self.keep("inverse", partial(_inverse, self.mel.makers["filterbank"]))

    def output_features(self, n_features: int) -> int:  # noqa: ARG002
        """Returns frequency bins."""
        return self.n_features

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bins, float64 ``[F]``."""
        return self.mel.stft.frequencies

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns spectra ``[B, ..., F, N]`` for ``[B, ..., n_mels, N]`` mel bands."""
        if data.shape[-2] != self.mel.n_mels:
            rule = f"{self.mel.n_mels} mel bands (its n_mels)"
            raise ValueError(checks.message("InverseMel", rule, data.shape[-2], "Build it as the mel spectrogram was."))
        data = as_float(data)
        weights, inverse = self.mel.constant("filterbank", data.dtype), self.constant("inverse", data.dtype)
        options: dict[str, Any] = {"bank": (weights, self.mel.runs("filterbank")), "inverse": inverse}
        spectra = nnls.nonnegative_least_squares(data, lengths, n_iter=self.n_iter, **options)
        return stft.raise_power(spectra, (2 if self.output == "magnitude" else 4) / self.mel.power)


def _inverse(filterbank: Callable[[], Tensor]) -> Tensor:
    """Returns `nnls.ridge_inverse` of the mel filters, float64 ``[n_mels, n_mels]``."""
    return nnls.ridge_inverse(filterbank())
