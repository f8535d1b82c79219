"""Tonal centroids."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import cepstra, chroma, fourier
from ontheflyspec.functional.stages import Stage
from ontheflyspec.transforms.base import Transform
from ontheflyspec.transforms.chroma import Chroma, Source
from ontheflyspec.transforms.stft import Backend, PadMode


class Tonnetz(Transform):
    """Tonal centroids of each item as if it stood alone: where its chroma lies on circles of fifths and thirds.

    Six rows: sine and cosine on the circle of fifths, of minor thirds, and, at half the radius, of major thirds, each
    the mean over the pitch classes of a frame by their share. Frames of silence give 0.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        source: as in `Chroma`, as is everything below.
        n_chroma: as in `Chroma`.
        n_fft: as in `Chroma`.
        win_length: as in `Chroma`.
        hop_length: as in `Chroma`.
        window: as in `Chroma`.
        center: as in `Chroma`.
        pad_mode: as in `Chroma`.
        tuning: as in `Chroma`.
        ctroct: as in `Chroma`.
        octwidth: as in `Chroma`.
        base_c: as in `Chroma`.
        fmin: as in `Chroma`.
        n_octaves: as in `Chroma`.
        bins_per_octave: as in `Chroma`.
        threshold: as in `Chroma`.
        win_len_smooth: as in `Chroma`.
        backend: as in `Chroma`.
        trainable: as in `Chroma`.

    Shape:
        ``[B, T]`` to ``[B, 6, N]``, ``[B, C, T]`` to ``[B, C, 6, N]``, a Tensor ``[T]`` to ``[6, N]``.

    Padding:
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, or of another source, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        ``librosa.feature.tonnetz`` of each item alone, given the same chroma, 1e-5 of the peak
        (tests/parity/test_chroma.py).

    References:
        Harte, Sandler, Gasser, "Detecting harmonic change in musical audio", 2006.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.Tonnetz(sample_rate=22_050)(torch.randn(2, 22_050)).shape
        torch.Size([2, 6, 44])
    """

    frames_of: ClassVar[str | None] = "chroma"
    sample_rate: float

    def __init__(
        self,
        *,
        sample_rate: float,
        source: Source = "cqt",
        n_chroma: int = 12,
        n_fft: int | None = None,
        win_length: int | None = None,
        hop_length: int = 512,
        window: str | None = None,
        center: bool | None = None,
        pad_mode: PadMode = "constant",
        tuning: float = 0.0,
        ctroct: float | None = None,
        octwidth: float | None = 2.0,
        base_c: bool = True,
        fmin: float | None = None,
        n_octaves: int | None = None,
        bins_per_octave: int | None = None,
        threshold: float | None = None,
        win_len_smooth: int | None = 41,
        backend: Backend = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__()
        with checks.of_part("Chroma", "Tonnetz"):
            self.chroma = Chroma(
                sample_rate=sample_rate,
                source=source,
                n_chroma=n_chroma,
                n_fft=n_fft,
                win_length=win_length,
                hop_length=hop_length,
                window=window,
                center=center,
                pad_mode=pad_mode,
                tuning=tuning,
                ctroct=ctroct,
                octwidth=octwidth,
                base_c=base_c,
                fmin=fmin,
                n_octaves=n_octaves,
                bins_per_octave=bins_per_octave,
                threshold=threshold,
                win_len_smooth=win_len_smooth,
                backend=backend,
                trainable=trainable,
                norm=1,
            )
        self.sample_rate = self.chroma.sample_rate
        self.keep("circles", partial(chroma.tonnetz_matrix, self.chroma.n_chroma))

    @property
    def n_features(self) -> int:
        """Rows: two on each of three circles."""
        return 6

    def stage(self, data: Tensor) -> Stage | None:
        """Returns what this makes of a Fourier stage that others may share, None if there is none."""
        return self.chroma.stage(data)

    def complete(self, features: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the centroids of chroma."""
        with fourier.full_precision(features.device):
            return cepstra.project(features, lengths, self.constant("circles", features))

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the centroids of ``[B, T]`` or ``[B, C, T]`` samples."""
        valid = None if lengths is None else self.output_lengths(lengths)
        return self.complete(self.chroma.transform(data, lengths), valid)
