"""The mel spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import filterbanks, scales
from ontheflyspec.functional.stages import Stage
from ontheflyspec.transforms import banks
from ontheflyspec.transforms.base import Pointwise, Transform
from ontheflyspec.transforms.stft import STFT, Backend, PadMode


class MelSpectrogram(Transform):
    """Mel spectrogram of each item as if it stood alone: STFT, power, mel filters.

    On a CPU, where nothing requires grad, each item's valid frames go through window, real FFT, square and filters in
    blocks that stay in the cache; elsewhere the same is done for the whole batch at once.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_fft: samples of a frame.
        win_length: samples of the window (None: ``n_fft``).
        hop_length: samples between frames (None: ``n_fft // 4``).
        window: as in `STFT`.
        center: as in `STFT`.
        pad_mode: as in `STFT`.
        n_mels: mel bands.
        fmin: Hz of the lowest filter's lower edge.
        fmax: Hz of the highest filter's upper edge (None: ``sample_rate / 2``).
        mel_scale: ``"slaney"``, ``"htk"``, or ``"kaldi"`` (with triangles over mels).
        norm: ``"slaney"`` for filters of unit area over Hz, or None for peaks of 1.
        power: exponent of the magnitude, 2.0 for power, 1.0 for magnitude.
        backend: as in `STFT`.
        trainable: whether Fourier kernels and mel filters are parameters.

    Shape:
        ``[B, T]`` to ``[B, n_mels, N]``, ``[B, C, T]`` to ``[B, C, n_mels, N]``, a Tensor ``[T]`` to ``[n_mels, N]``.

    Padding:
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Warns:
        UserWarning: filters so narrow that no FFT bin meets them; they give 0.

    Matches:
        ``librosa.feature.melspectrogram`` and ``torchaudio.transforms.MelSpectrogram`` within 1e-5 of the peak
        (tests/parity/test_mel.py).

    References:
        Slaney, "Auditory Toolbox", 1998; Young et al., "The HTK Book", 2006.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> mel = ofs.MelSpectrogram(sample_rate=16_000, n_fft=400, hop_length=160, n_mels=80)
        >>> batch = ofs.pad([torch.randn(16_000), torch.randn(8_000)], rate=16_000)
        >>> out = mel(batch)
        >>> out.data.shape, out.lengths.tolist(), out.rate
        (torch.Size([2, 80, 101]), [101, 51], 100.0)
    """

    frames_of: ClassVar[str | None] = "stft"
    sample_rate: float
    filterbank: Tensor
    bands: list[filterbanks.Band]

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        win_length: int | None = None,
        hop_length: int | None = None,
        window: str = "hann",
        center: bool = True,
        pad_mode: PadMode = "reflect",
        n_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        mel_scale: Literal["slaney", "htk", "kaldi"] = "slaney",
        norm: Literal["slaney"] | None = "slaney",
        power: float = 2.0,
        backend: Backend = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__()
        where = "MelSpectrogram"
        with checks.of_part("STFT", "MelSpectrogram"):
            self.stft = STFT(
                sample_rate=sample_rate,
                n_fft=n_fft,
                win_length=win_length,
                hop_length=hop_length,
                window=window,
                center=center,
                pad_mode=pad_mode,
                backend=backend,
                trainable=trainable,
            )
        self.sample_rate = self.stft.sample_rate
        self.n_mels = checks.integer(where, "n_mels", n_mels)
        self.fmin, self.fmax = banks.frequency_range(where, fmin, fmax, self.sample_rate)
        self.mel_scale = checks.choice(where, "mel_scale", mel_scale, scales.MEL_SCALES)
        if norm is not None:
            checks.choice(where, "norm", norm, ("slaney",))
        self.norm = norm
        self.power = checks.positive(where, "power", power)
        maker = partial(
            filterbanks.mel_filterbank, self.sample_rate, n_fft, n_mels, self.fmin, self.fmax, mel_scale, norm
        )
        self.bands = banks.keep_filters(self, maker, "mel", "n_mels", trainable=trainable)

    @property
    def n_features(self) -> int:
        """Mel bands."""
        return self.n_mels

    @property
    def frequencies(self) -> Tensor:
        """Hz of the filters' centres, float64 ``[n_mels]``."""
        return filterbanks.mel_frequencies(self.n_mels, self.fmin, self.fmax, self.mel_scale)[1:-1]

    def stage(self, data: Tensor) -> Stage | None:
        """Returns what this makes of a Fourier stage that others may share, None if there is none."""
        return banks.stage(self, self.stft, self.bands, self.power, data)

    def finishes(self, data: Tensor) -> bool:
        """Returns whether items go through in blocks, where pointwise steps can follow at once."""
        return banks.finishes(self.stft, data)

    def transform(self, data: Tensor, lengths: Tensor | None, after: Sequence[Pointwise] = ()) -> Tensor:
        """Returns the mel spectrogram of ``[B, T]`` or ``[B, C, T]`` samples."""
        return banks.filtered(self, data, lengths, after)
