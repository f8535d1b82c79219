"""Back from the short-time Fourier transform to waves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.functional import fourier, overlap, windows
from ontheflyspec.functional.framing import frame_count
from ontheflyspec.transforms.base import Pointwise, Transform
from ontheflyspec.transforms.sized import at_lengths, waves_rate
from ontheflyspec.transforms.stft import checked_frames


class InverseSTFT(Transform):
    """Waves from complex spectra, of each item as if it stood alone: the exact inverse of `STFT`.

    Frames are windowed again and added where they overlap, over the sum of the squared windows of the item's own
    frames there: of all waves the one whose frames come closest to the spectra. It takes the FFT's own bins; those of
    ``STFT(freq_scale=...)`` have no such inverse.

    An item of n frames gives ``(n - 1) * hop_length`` samples, or ``n_fft + (n - 1) * hop_length`` without ``center``.
    Called as ``inverse(spectra, lengths=samples)`` it gives exactly so many, int64 ``[B]`` on the host, as the waves
    had. Samples that windows cover with less than 1e-10 of their full sum are 0: without ``center`` the first and last
    few, and with a wide hop those after the last frame.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate than ``sample_rate / hop_length`` raise.
        n_fft: samples of a frame, as in `STFT`.
        win_length: samples of the window, as in `STFT`.
        hop_length: samples between frames, as in `STFT`.
        window: as in `STFT`.
        center: as in `STFT`. How the ends were padded makes no difference.
        freq_scale: None; any other raises, as spectra at other frequencies do not determine a wave.

    Shape:
        ``[B, F, N]`` to ``[B, T]``, ``[B, C, F, N]`` to ``[B, C, T]``, a Tensor ``[F, N]`` to ``[T]``, with
        ``F = n_fft // 2 + 1`` and ``T = output_lengths(N)``.

    Padding:
        Exactly 0 past each item's samples; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, a window and hop from which samples cannot be known, another number of
            bins, a batch of another rate, ``lengths`` that do not belong to the frames.
        TypeError: spectra that are not complex.

    Matches:
        ``torch.istft`` and ``librosa.istft``, and `STFT` there and back, within 1e-5 of the peak
        (tests/parity/test_inverse.py).

    References:
        Griffin, Lim, "Signal estimation from modified short-time Fourier transform", IEEE Trans. ASSP 1984.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> options = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 128}
        >>> stft, inverse = ofs.STFT(**options), ofs.InverseSTFT(**options)
        >>> batch = ofs.pad([torch.randn(16_000), torch.randn(8_001)], rate=16_000)
        >>> back = inverse(stft(batch), lengths=batch.lengths)
        >>> back.lengths.tolist(), bool((back.data - batch.data).abs().max() < 1e-5)
        ([16000, 8001], True)
    """

    item_rank: ClassVar[int] = 2
    makes_waves: ClassVar[bool] = True
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.complex64, torch.complex128)
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
        freq_scale: str | None = None,
    ) -> None:
        super().__init__()
        where = "InverseSTFT"
        if freq_scale is not None:
            remedy = "Spectra at other frequencies do not determine a wave: make the STFT without freq_scale."
            raise ValueError(checks.message(where, "freq_scale None, the FFT's own bins", repr(freq_scale), remedy))
        self.sample_rate = checks.positive(where, "sample_rate", sample_rate)
        self.n_fft, self.win_length, self.hop_length = checked_frames(where, n_fft, win_length, hop_length)
        self.window_name = checks.choice(where, "window", window, windows.NAMES)
        self.center = bool(center)
        make_window = partial(windows.window, window, self.win_length, self.n_fft)
        sums = overlap.window_sums(make_window(), self.hop_length)[0, -1]
        if float(sums.min()) <= overlap.FLOOR * float(sums.max()):
            rule = (
                f"hop_length at which {window!r} windows of {self.win_length} samples overlap to more than 0 everywhere"
            )
            remedy = f"Lower hop_length to {max(self.win_length // 2, 1)} or less, or choose another window."
            raise ValueError(checks.message(where, rule, self.hop_length, remedy))
        self.keep("window", make_window)
        self.keep("inverse", partial(_inverse, make_window, self.hop_length))

    def output_lengths(self, lengths: Any) -> Any:
        """Returns samples for frames."""
        return overlap.sample_count(lengths, self.n_fft, self.hop_length, self.center)

    def output_rate(self, rate: float) -> float:
        """Returns the sample rate, if ``rate`` is that of its frames."""
        return waves_rate("InverseSTFT", self.sample_rate, self.hop_length, rate)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the waves of ``[B, F, N]`` or ``[B, C, F, N]`` spectra."""
        sizes = None if lengths is None else self.output_lengths(lengths)
        return self.waves(data, lengths, sizes, self.output_lengths(data.shape[-1]))

    def waves(self, data: Tensor, lengths: Tensor | None, sizes: Tensor | None, size: int) -> Tensor:
        """Returns waves of ``sizes`` samples, of ``size`` in all; see `functional.overlap.waves`."""
        check_bins("InverseSTFT", self.n_fft, data)
        like = data.real if data.dtype == torch.complex128 else self.window
        window, inverse = self.constant("window", like), self.constant("inverse", like)
        with fourier.full_precision(data.device):
            return overlap.waves(
                data, lengths, sizes, size, window, inverse, hop_length=self.hop_length, center=self.center
            )

    def frame_lengths(self, sizes: Tensor) -> Tensor:
        """Returns frames of waves of so many samples."""
        frames: Tensor = frame_count(sizes, self.n_fft, self.hop_length, self.center)
        return frames

    def __call__(self, x: Any, *, lengths: Any = None) -> Any:
        """Transforms what loaders yield; ``lengths`` asks for so many samples of each item."""
        return nn.Module.__call__(self, x, lengths=lengths)

    def forward(self, x: Any, after: Sequence[Pointwise] = (), *, lengths: Any = None) -> Any:
        """Transforms what loaders yield; ``lengths`` asks for so many samples of each item."""
        return super().forward(x, after) if lengths is None else at_lengths(self, x, lengths)


def check_bins(where: str, n_fft: int, data: Tensor) -> None:
    """Raises unless ``[..., F, N]`` data has the bins of the FFT."""
    if data.shape[-2] != n_fft // 2 + 1:
        rule = f"n_fft // 2 + 1 = {n_fft // 2 + 1} bins for n_fft = {n_fft}"
        remedy = "Pass the spectra of an STFT without freq_scale, or set n_fft."
        raise ValueError(checks.message(where, rule, data.shape[-2], remedy))


def _inverse(make_window: partial[Tensor], hop_length: int) -> Tensor:
    return overlap.inverse_sums(make_window(), hop_length)
