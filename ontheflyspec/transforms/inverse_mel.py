"""Back from mel spectrograms to spectra."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import filterbanks, fourier, nonnegative, scales
from ontheflyspec.transforms import banks
from ontheflyspec.transforms.base import Transform


class InverseMel(Transform):
    """Spectra of which a mel spectrogram may have been made, each frame of each item by itself.

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
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, a spectrogram of another number of bands.
        TypeError: features that are not real floats.

    Warns:
        UserWarning: filters so narrow that no FFT bin meets them; what they hold is lost.

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

    item_rank: ClassVar[int] = 2
    dtypes: ClassVar[tuple[torch.dtype, ...]] = checks.FEATURE_DTYPES
    filterbank: Tensor

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        n_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        mel_scale: Literal["slaney", "htk", "kaldi"] = "slaney",
        norm: Literal["slaney"] | None = "slaney",
        power: float = 2.0,
        output: Literal["magnitude", "power"] = "magnitude",
        n_iter: int = 128,
    ) -> None:
        super().__init__()
        where = "InverseMel"
        hertz = checks.positive(where, "sample_rate", sample_rate)
        self.n_fft = checks.integer(where, "n_fft", n_fft)
        self.n_mels = checks.integer(where, "n_mels", n_mels)
        self.fmin, self.fmax = banks.frequency_range(where, fmin, fmax, hertz)
        self.mel_scale = checks.choice(where, "mel_scale", mel_scale, scales.MEL_SCALES)
        self.norm = norm if norm is None else checks.choice(where, "norm", norm, ("slaney",))
        self.power = checks.positive(where, "power", power)
        self.output = checks.choice(where, "output", output, ("magnitude", "power"))
        self.n_iter = checks.integer(where, "n_iter", n_iter)
        self.bins = (hertz, self.n_fft)
        maker = partial(filterbanks.mel_filterbank, hertz, n_fft, n_mels, self.fmin, self.fmax, mel_scale, norm)
        self.keep("inverse", partial(_inverse, maker))
        self.bands = banks.keep_filters(self, maker, "mel", "n_mels", trainable=False)

    @property
    def n_features(self) -> int:
        """Frequency bins."""
        return self.n_fft // 2 + 1

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bins, float64 ``[F]``."""
        return scales.bin_frequencies(*self.bins)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns spectra ``[B, ..., F, N]`` for ``[B, ..., n_mels, N]`` mel bands."""
        if data.shape[-2] != self.n_mels:
            rule = f"{self.n_mels} mel bands (its n_mels)"
            raise ValueError(checks.message("InverseMel", rule, data.shape[-2], "Build it as the mel spectrogram was."))
        data = as_float(data)
        with fourier.full_precision(data.device):
            weights, inverse = self.constant("filterbank", data), self.constant("inverse", data)
            spectra = nonnegative.solve(data, lengths, weights, inverse, self.bands, self.n_iter)
            return fourier.raise_power(spectra, (2 if self.output == "magnitude" else 4) / self.power)


def _inverse(maker: Callable[[], Tensor]) -> Tensor:
    return nonnegative.ridge_inverse(maker())
