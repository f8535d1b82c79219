"""The short-time Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import blocks, fourier, windows
from ontheflyspec.functional.framing import cut, frame_count
from ontheflyspec.transforms.base import Pointwise, Transform

Backend = Literal["auto", "fft", "conv"]
PadMode = Literal["reflect", "constant"]
Output = Literal["complex", "magnitude", "power", "phase"]


class STFT(Transform):
    """Short-time Fourier transform of each item as if it stood alone.

    Frame t has its centre at sample ``t * hop_length`` (``center``) or begins there. Reflection happens at each
    item's own end, repeated where a clip is shorter than half a window.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_fft: samples of a frame.
        win_length: samples of the window, at most ``n_fft`` (None: ``n_fft``), centred in the frame.
        hop_length: samples between frames (None: ``n_fft // 4``).
        window: ``"hann"``, ``"hamming"``, ``"blackman"``, ``"blackmanharris"``, ``"bartlett"`` or ``"rectangular"``,
            periodic.
        center: whether frames are centred, with ``n_fft // 2`` samples of padding at both ends.
        pad_mode: ``"reflect"`` or ``"constant"`` (zeros).
        output: ``"complex"``, ``"magnitude"``, ``"power"`` or ``"phase"`` (radians).
        backend: ``"fft"``, ``"conv"`` (a strided convolution with Fourier kernels) or ``"auto"``: conv if trainable.
        trainable: whether the Fourier kernels are parameters.

    Shape:
        ``[B, T]`` to ``[B, F, N]``, ``[B, C, T]`` to ``[B, C, F, N]``, a Tensor ``[T]`` to ``[F, N]``, with
        ``F = n_fft // 2 + 1`` and ``N = output_lengths(T)``.

    Padding:
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, ``backend="fft"`` with ``trainable=True``, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        ``torch.stft`` and ``librosa.stft`` within 1e-5 of the peak (tests/parity/test_stft.py).

    References:
        Cheuk et al., "nnAudio: An on-the-fly GPU audio to spectrogram conversion toolbox", IEEE Access 2020.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> stft = ofs.STFT(sample_rate=16_000, n_fft=512, hop_length=128, output="magnitude")
        >>> stft(torch.randn(2, 16_000)).shape
        torch.Size([2, 257, 126])
    """

    sample_rate: float
    window: Tensor

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
        output: Output = "complex",
        backend: Backend = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__()
        where = "STFT"
        self.sample_rate = checks.positive(where, "sample_rate", sample_rate)
        self.n_fft = checks.integer(where, "n_fft", n_fft)
        win_length = self.n_fft if win_length is None else win_length
        self.win_length = checks.integer(where, "win_length", win_length, high=self.n_fft)
        hop_length = max(self.n_fft // 4, 1) if hop_length is None else hop_length
        self.hop_length = checks.integer(where, "hop_length", hop_length)
        self.window_name = checks.choice(where, "window", window, windows.NAMES)
        self.center = bool(center)
        self.pad_mode = checks.choice(where, "pad_mode", pad_mode, ("reflect", "constant"))
        self.output = checks.choice(where, "output", output, fourier.OUTPUTS)
        self.trainable = bool(trainable)
        self.backend = choose_backend(where, backend, self.trainable)
        make_window = partial(windows.window, window, self.win_length, self.n_fft)
        if self.backend == "fft":
            self.keep("window", make_window)
        else:
            self.keep("kernels", partial(_kernels, make_window), trainable=self.trainable)

    def output_lengths(self, lengths: Any) -> Any:
        """Returns frames for samples."""
        return frame_count(lengths, self.n_fft, self.hop_length, self.center)

    def output_rate(self, rate: float) -> float:
        """Returns frames per second."""
        return rate / self.hop_length

    @property
    def n_features(self) -> int:
        """Frequency bins."""
        return self.n_fft // 2 + 1

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bins, float64 ``[F]``."""
        return torch.arange(self.n_features, dtype=torch.float64) * (self.sample_rate / self.n_fft)

    def frame_times(self, n_frames: int) -> Tensor:
        """Returns seconds of the frames' centres, float64 ``[n_frames]``."""
        first = 0 if self.center else self.n_fft // 2
        return (torch.arange(n_frames, dtype=torch.float64) * self.hop_length + first) / self.sample_rate

    def finishes(self, data: Tensor) -> bool:
        """Returns whether items go through in blocks, where pointwise steps can follow at once."""
        return self.backend == "fft" and self.output != "complex" and blocks.applicable(data)

    def transform(self, data: Tensor, lengths: Tensor | None, after: Sequence[Pointwise] = ()) -> Tensor:
        """Returns the spectrogram of ``[B, T]`` or ``[B, C, T]`` samples."""
        if self.backend == "fft" and blocks.applicable(data):
            window = self.constant("window", data if data.dtype == torch.float64 else self.window)
            kind = window.dtype.to_complex() if self.output == "complex" else window.dtype
            like = window.new_empty(self.n_features, dtype=kind)
            compute = partial(fourier.present_frames, output=self.output)
            options: dict[str, Any] = {
                "together": self.output != "phase",
                "like": like,
                "window": window,
                "after": after,
            }
            return blocks.map_frames(data, lengths, compute, **options, **self.framing)
        data = as_float(data)
        with fourier.full_precision(data.device):
            return fourier.present(*self.parts(data, lengths), self.output)

    def parts(self, data: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns real and imaginary part of float samples, ``[..., F, N]``, 0 past each item's frames."""
        if self.backend == "fft":
            real, imaginary = fourier.fft_parts(data, lengths, self.constant("window", data), **self.framing)
        else:
            real, imaginary = fourier.conv_parts(data, lengths, self.constant("kernels", data), **self.framing)
        if lengths is None:
            return real, imaginary
        valid = self.output_lengths(lengths)
        return cut(real, valid), cut(imaginary, valid)

    @property
    def framing(self) -> dict[str, Any]:
        """The arguments that say where frames lie."""
        return {"hop_length": self.hop_length, "center": self.center, "pad_mode": self.pad_mode}


def choose_backend(where: str, backend: str, trainable: bool) -> str:
    """Returns ``"fft"`` or ``"conv"`` for what was asked, or raises."""
    checks.choice(where, "backend", backend, ("auto", "fft", "conv"))
    if backend == "fft" and trainable:
        raise ValueError(
            checks.message(where, 'backend "conv" or "auto" with trainable=True', '"fft"', 'Use backend="conv".')
        )
    if backend == "auto":
        return "conv" if trainable else "fft"
    return backend


def _kernels(make_window: partial[Tensor]) -> Tensor:
    return fourier.fourier_kernels(make_window())
