"""Features of pitch classes."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import blocks, chroma, filterbanks, fourier
from ontheflyspec.transforms.base import Transform
from ontheflyspec.transforms.stft import STFT, Backend, PadMode

Source = Literal["stft"]
SOURCES = ("stft",)


class Chroma(Transform):
    """Energy of each pitch class, all octaves together, of each item as if it stood alone.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        source: ``"stft"``: Gaussian filters around every pitch over the power spectrum.
        n_chroma: pitch classes of an octave.
        n_fft: samples of a frame.
        win_length: samples of the window (None: ``n_fft``).
        hop_length: samples between frames.
        window: as in `STFT`.
        center: as in `STFT`.
        pad_mode: ``"constant"`` (zeros) or ``"reflect"``.
        norm: what is 1 in every frame: ``inf`` for the largest class, 1 for the sum, 2 for the root of the sum of
            squares; None for no change. Frames of silence stay 0.
        tuning: of A4 off 440 Hz, in pitch classes. It is not estimated, as librosa does where ``tuning=None``.
        ctroct: octaves above 27.5 Hz that count most.
        octwidth: octaves of the Gaussian weight around ``ctroct``, None for equal weights.
        base_c: whether the first class is C, else A.
        backend: as in `STFT`.
        trainable: whether Fourier kernels and chroma filters are parameters.

    Shape:
        ``[B, T]`` to ``[B, n_chroma, N]``, ``[B, C, T]`` to ``[B, C, n_chroma, N]``, a Tensor ``[T]`` to
        ``[n_chroma, N]``.

    Padding:
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        ``librosa.feature.chroma_stft`` of each item alone, given the same ``tuning``, 1e-5 of the peak
        (tests/parity/test_chroma.py).

    References:
        Ellis, "Chroma feature analysis and synthesis", 2007.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.sin(2 * torch.pi * 440 * torch.arange(16_000) / 16_000)
        >>> ofs.Chroma(sample_rate=16_000)(tone).mean(1).argmax()  # A, nine above C
        tensor(9)
    """

    sample_rate: float
    filterbank: Tensor

    def __init__(
        self,
        *,
        sample_rate: float,
        source: Source = "stft",
        n_chroma: int = 12,
        n_fft: int = 2048,
        win_length: int | None = None,
        hop_length: int = 512,
        window: str = "hann",
        center: bool = True,
        pad_mode: PadMode = "constant",
        norm: float | None = math.inf,
        tuning: float = 0.0,
        ctroct: float = 5.0,
        octwidth: float | None = 2.0,
        base_c: bool = True,
        backend: Backend = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__()
        where = "Chroma"
        self.source = checks.choice(where, "source", source, SOURCES)
        self.n_chroma = checks.integer(where, "n_chroma", n_chroma)
        self.norm = _norm(where, norm)
        self.tuning = checks.number(where, "tuning", tuning)
        self.ctroct = checks.number(where, "ctroct", ctroct)
        self.octwidth = None if octwidth is None else checks.positive(where, "octwidth", octwidth)
        self.base_c = bool(base_c)
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
        options = (self.sample_rate, n_fft, n_chroma, self.tuning, self.ctroct, self.octwidth, self.base_c)
        self.keep("filterbank", partial(chroma.chroma_filterbank, *options), trainable=trainable)
        self.bands = filterbanks.bands(self.filterbank.detach())

    def output_lengths(self, lengths: Any) -> Any:
        """Returns frames for samples."""
        return self.stft.output_lengths(lengths)

    def output_rate(self, rate: float) -> float:
        """Returns frames per second."""
        return self.stft.output_rate(rate)

    @property
    def n_features(self) -> int:
        """Pitch classes."""
        return self.n_chroma

    def frame_times(self, n_frames: int) -> Tensor:
        """Returns seconds of the frames' centres, float64 ``[n_frames]``."""
        return self.stft.frame_times(n_frames)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the chroma of ``[B, T]`` or ``[B, C, T]`` samples."""
        if self.stft.backend == "fft" and blocks.applicable(data):
            like = data if data.dtype == torch.float64 else self.filterbank
            weights, window = self.constant("filterbank", like), self.stft.constant("window", like)
            runs = [(weights[first:last, low:high], low) for first, last, low, high in self.bands]
            together = filterbanks.places_agree(runs, weights.shape[1], blocks.rows(self.stft.n_fft))
            options: dict[str, Any] = {"together": together, "like": weights[:, 0], "window": window}
            compute = partial(chroma.unit_chroma, runs=runs, norm=self.norm)
            return blocks.map_frames(data, lengths, compute, **options, **self.stft.framing)
        data = as_float(data)
        with fourier.full_precision(data.device):
            energy = fourier.present(*self.stft.parts(data, lengths), "power")
            return chroma.unit(torch.matmul(self.constant("filterbank", data), energy), self.norm)


def _norm(where: str, norm: float | None) -> float | None:
    if norm is None or norm in (1, 2, math.inf):
        return None if norm is None else float(norm)
    raise ValueError(checks.message(where, "norm to be 1, 2, inf or None", repr(norm), "Change norm."))
