"""Mel-frequency cepstral coefficients."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import cepstra, fourier
from ontheflyspec.transforms.base import Transform
from ontheflyspec.transforms.mel import MelSpectrogram
from ontheflyspec.transforms.post import AmplitudeToDB
from ontheflyspec.transforms.stft import Backend, PadMode


class MFCC(Transform):
    """Mel-frequency cepstral coefficients of each item as if it stood alone: mel spectrogram, decibels, cosines.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_mfcc: coefficients, at most ``n_mels``.
        lifter: L of HTK's liftering, ``1 + L / 2 sin(pi (k + 1) / L)``, 0 for none.
        top_db: dB that a band may lie below the item's own maximum, None for no floor.
        n_fft: as in `MelSpectrogram`.
        win_length: as in `MelSpectrogram`.
        hop_length: as in `MelSpectrogram`.
        window: as in `MelSpectrogram`.
        center: as in `MelSpectrogram`.
        pad_mode: as in `MelSpectrogram`.
        n_mels: as in `MelSpectrogram`.
        fmin: as in `MelSpectrogram`.
        fmax: as in `MelSpectrogram`.
        mel_scale: as in `MelSpectrogram`.
        norm: as in `MelSpectrogram`.
        power: as in `MelSpectrogram`; decibels are ``10 log10`` of what it gives.
        backend: as in `MelSpectrogram`.
        trainable: as in `MelSpectrogram`; the cosines stay what they are.

    Shape:
        ``[B, T]`` to ``[B, n_mfcc, N]``, ``[B, C, T]`` to ``[B, C, n_mfcc, N]``, a Tensor ``[T]`` to ``[n_mfcc, N]``.

    Padding:
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        ``librosa.feature.mfcc`` of each item alone, with librosa's zeros at the ends for ``pad_mode="constant"``, 1e-5
        of the peak (tests/parity/test_cepstrum.py).

    References:
        Davis, Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> mfcc = ofs.MFCC(sample_rate=16_000, n_mfcc=13, n_fft=512, hop_length=160, n_mels=40)
        >>> mfcc(torch.randn(2, 16_000)).shape
        torch.Size([2, 13, 101])
    """

    sample_rate: float

    def __init__(
        self,
        *,
        sample_rate: float,
        n_mfcc: int = 20,
        lifter: float = 0.0,
        top_db: float | None = 80.0,
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
        self.mel = MelSpectrogram(
            sample_rate=sample_rate,
            n_fft=n_fft,
            win_length=win_length,
            hop_length=hop_length,
            window=window,
            center=center,
            pad_mode=pad_mode,
            n_mels=n_mels,
            fmin=fmin,
            fmax=fmax,
            mel_scale=mel_scale,
            norm=norm,
            power=power,
            backend=backend,
            trainable=trainable,
        )
        self.sample_rate = self.mel.sample_rate
        self.decibels = AmplitudeToDB(top_db=top_db)
        self.n_mfcc = checks.integer("MFCC", "n_mfcc", n_mfcc, high=n_mels)
        self.lifter = checks.number("MFCC", "lifter", lifter, low=0.0)
        self.keep("cosines", partial(cepstra.cosine_matrix, self.n_mfcc, n_mels, self.lifter))

    def output_lengths(self, lengths: Any) -> Any:
        """Returns frames for samples."""
        return self.mel.output_lengths(lengths)

    def output_rate(self, rate: float) -> float:
        """Returns frames per second."""
        return self.mel.output_rate(rate)

    def frame_times(self, n_frames: int) -> Tensor:
        """Returns seconds of the frames' centres, float64 ``[n_frames]``."""
        return self.mel.frame_times(n_frames)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the coefficients of ``[B, T]`` or ``[B, C, T]`` samples."""
        valid = None if lengths is None else self.output_lengths(lengths)
        bands = self.decibels.transform(self.mel.transform(data, lengths), valid)
        with fourier.full_precision(bands.device):
            return cepstra.project(bands, valid, self.constant("cosines", bands))
