"""Mel spectrogram."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import filterbanks, scales
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.transforms.options import NOT_FRAMES, FrameOptions
from ontheflyspec.transforms.stft import STFT, BandSpectrogram


class MelSpectrogram(BandSpectrogram):
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
        symmetric, normalized, drop_last: as in `STFT`.
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
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Warns:
        UserWarning: filters too narrow to hold an FFT bin; their outputs are 0.

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

    @hands_on(STFT, without=NOT_FRAMES)
    def __init__(
        self,
        *,
        n_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        mel_scale: Literal["slaney", "htk", "kaldi"] = "slaney",
        norm: Literal["slaney"] | None = "slaney",
        power: float = 2.0,
        **frames: Unpack[FrameOptions],
    ) -> None:
        super().__init__(frames, fmin, fmax, norm=norm, power=power)
        self.n_features = self.n_mels = checks.integer("MelSpectrogram", "n_mels", n_mels)
        self.mel_scale = checks.choice("MelSpectrogram", "mel_scale", mel_scale, scales.MEL_SCALES)
        shape = (self.sample_rate, self.framing.n_fft, n_mels, self.fmin, self.fmax)
        self.keep_filters(partial(filterbanks.triangular_filterbank, *shape, mel_scale, norm), "mel", "n_mels")

    @property
    def frequencies(self) -> Tensor:
        """Hz of the filters' centres, float64 ``[n_mels]``."""
        return scales.spaced(self.n_mels + 2, self.fmin, self.fmax, self.mel_scale)[1:-1]
