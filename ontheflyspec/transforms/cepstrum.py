"""Cepstral coefficients of mel bands and of linear ones."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import blocks, cepstra, compression, filterbanks, fourier
from ontheflyspec.functional.stages import Stage
from ontheflyspec.transforms import banks
from ontheflyspec.transforms.base import Transform
from ontheflyspec.transforms.mel import MelSpectrogram
from ontheflyspec.transforms.post import AmplitudeToDB
from ontheflyspec.transforms.stft import STFT, Backend, PadMode

LOG_OFFSET = 1e-6
"""What torchaudio adds to the bands before it takes their natural logarithm."""


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

    Warns:
        UserWarning: filters so narrow that no FFT bin meets them; they count as silent.

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

    frames_of: ClassVar[str | None] = "mel"
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
        with checks.of_part("MelSpectrogram", "MFCC"):
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

    @property
    def n_features(self) -> int:
        """Coefficients."""
        return self.n_mfcc

    def stage(self, data: Tensor) -> Stage | None:
        """Returns what this makes of a Fourier stage that others may share, None if there is none."""
        return self.mel.stage(data)

    def complete(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the coefficients of mel bands."""
        return _coefficients(self, self.decibels.transform(features, lengths), lengths)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the coefficients of ``[B, T]`` or ``[B, C, T]`` samples."""
        valid = None if lengths is None else self.output_lengths(lengths)
        return self.complete(self.mel.transform(data, lengths), valid)


class LFCC(Transform):
    """Linear-frequency cepstral coefficients of each item as if it stood alone: linear filters, logarithm, cosines.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_lfcc: coefficients, at most ``n_filter``.
        n_filter: triangular filters, evenly spaced in Hz, with peaks of 1.
        log: ``"db"`` for decibels, or ``"log"`` for ``ln(x + 1e-6)``.
        top_db: dB that a band may lie below the item's own maximum, None for no floor; a value other than the default
            only with ``log="db"``, as ``"log"`` has no such floor.
        n_fft: as in `STFT`.
        win_length: as in `STFT`.
        hop_length: as in `STFT`.
        window: as in `STFT`.
        center: as in `STFT`.
        pad_mode: as in `STFT`.
        fmin: Hz of the lowest filter's lower edge.
        fmax: Hz of the highest filter's upper edge (None: ``sample_rate / 2``).
        power: exponent of the magnitude; decibels are ``10 log10`` of what it gives.
        backend: as in `STFT`.
        trainable: whether Fourier kernels and filters are parameters; the cosines stay what they are.

    Shape:
        ``[B, T]`` to ``[B, n_lfcc, N]``, ``[B, C, T]`` to ``[B, C, n_lfcc, N]``, a Tensor ``[T]`` to ``[n_lfcc, N]``.

    Padding:
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, ``top_db`` with ``log="log"``, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Warns:
        UserWarning: filters so narrow that no FFT bin meets them; they give 0.

    Matches:
        ``torchaudio.transforms.LFCC`` of each item alone, 1e-5 of the peak (tests/parity/test_cepstrum.py).

    References:
        Zhou et al., "Linear versus mel frequency cepstral coefficients for speaker recognition", ASRU 2011.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> lfcc = ofs.LFCC(sample_rate=16_000, n_lfcc=20, n_filter=64, n_fft=512, hop_length=160)
        >>> lfcc(torch.randn(2, 16_000)).shape
        torch.Size([2, 20, 101])
    """

    frames_of: ClassVar[str | None] = "stft"
    sample_rate: float
    filterbank: Tensor
    bands: list[filterbanks.Band]

    def __init__(
        self,
        *,
        sample_rate: float,
        n_lfcc: int = 40,
        n_filter: int = 128,
        log: Literal["db", "log"] = "db",
        top_db: float | None = 80.0,
        n_fft: int = 2048,
        win_length: int | None = None,
        hop_length: int | None = None,
        window: str = "hann",
        center: bool = True,
        pad_mode: PadMode = "reflect",
        fmin: float = 0.0,
        fmax: float | None = None,
        power: float = 2.0,
        backend: Backend = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__()
        where = "LFCC"
        with checks.of_part("STFT", "LFCC"):
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
        self.n_filter = checks.integer(where, "n_filter", n_filter)
        self.n_lfcc = checks.integer(where, "n_lfcc", n_lfcc, high=self.n_filter)
        self.fmin, self.fmax = banks.frequency_range(where, fmin, fmax, self.sample_rate)
        self.power = checks.positive(where, "power", power)
        self.log = checks.choice(where, "log", log, ("db", "log"))
        if self.log == "log" and top_db is not None:
            checks.unused(where, 'log="db"', {"top_db": top_db}, top_db=80.0)
        self.decibels = AmplitudeToDB(top_db=top_db)
        maker = partial(filterbanks.linear_filterbank, self.sample_rate, n_fft, n_filter, self.fmin, self.fmax)
        self.bands = banks.keep_filters(self, maker, "linear", "n_filter", trainable=trainable)
        self.keep("cosines", partial(cepstra.cosine_matrix, self.n_lfcc, n_filter, 0.0))

    @property
    def n_features(self) -> int:
        """Coefficients."""
        return self.n_lfcc

    def stage(self, data: Tensor) -> Stage | None:
        """Returns what this makes of a Fourier stage that others may share, None if there is none."""
        return banks.stage(self, self.stft, self.bands, self.power, data)

    def complete(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the coefficients of linear bands."""
        if self.log == "db":
            bands = self.decibels.transform(features, lengths)
        elif blocks.applicable(features):
            compute: Any = lambda part, own, _: compression.log_above(part, own, LOG_OFFSET)  # noqa: E731
            bands = blocks.map_items(features, lengths, compute)
        else:
            bands = compression.log_above(features, lengths, LOG_OFFSET)
        return _coefficients(self, bands, lengths)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the coefficients of ``[B, T]`` or ``[B, C, T]`` samples."""
        valid = None if lengths is None else self.output_lengths(lengths)
        return self.complete(banks.filtered(self, data, lengths), valid)


def _coefficients(owner: Transform, bands: Tensor, valid: Tensor | None) -> Tensor:
    """Returns the owner's cosines times every frame of bands."""
    with fourier.full_precision(bands.device):
        return cepstra.project(bands, valid, owner.constant("cosines", bands))
