"""Inverse short-time Fourier transform (ISTFT) by overlap-add."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.framing import Framing
from ontheflyspec.functional import istft
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.transforms.options import NOT_FRAMES, FrameOptions
from ontheflyspec.transforms.stft import STFT
from ontheflyspec.transforms.synthesis import InverseTransform


class InverseSTFT(InverseTransform):
    """Inverse short-time Fourier transform of each item as if it stood alone: overlap-add, exact for `STFT`.

    Frames are windowed again and added where they overlap, over the sum of the squared windows of the item's own
    frames there: of all waves the one whose frames come closest to the spectra. It takes the FFT's own bins; those of
    ``STFT(freq_scale=...)`` have no such inverse.

    An item of n frames gives ``(n - 1) * hop_length`` samples, ``n_fft + (n - 1) * hop_length`` without ``center``,
    ``n * hop_length`` with ``center="same"`` or where the last frame was dropped.
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
        symmetric, normalized, drop_last: as in `STFT`.
        freq_scale: None; any other raises, as spectra at other frequencies do not determine a wave.

    Shape:
        ``[B, F, N]`` to ``[B, T]``, ``[B, C, F, N]`` to ``[B, C, T]``, a Tensor ``[F, N]`` to ``[T]``, with
        ``F = n_fft // 2 + 1`` and ``T = output_lengths(N)``.

    Padding:
        Exactly 0 past each item's samples; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, a window and hop from which samples cannot be known, another number of
            bins, a batch of another rate, ``lengths`` that do not belong to the frames.
        TypeError: spectra that are not complex.

    Matches:
        ``torch.istft`` and ``librosa.istft``, and `STFT` there and back, within 1e-5 of the peak
        (tests/parity/test_inverse_stft.py).

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

    window: Tensor

    @hands_on(STFT, without=(*NOT_FRAMES, "pad_mode", "backend", "trainable"))
    def __init__(self, *, freq_scale: str | None = None, **frames: Unpack[FrameOptions]) -> None:
        super().__init__()
        where = "InverseSTFT"
        if freq_scale is not None:
            remedy = "Spectra at other frequencies do not determine a wave: make the STFT without freq_scale."
            raise ValueError(checks.message(where, "freq_scale None, the FFT's own bins", repr(freq_scale), remedy))
        self.frames = STFT(**frames).framing
        self.sample_rate, hop_length = self.frames.sample_rate, self.frames.hop_length
        sums = istft.window_sums(self.frames.taper(), hop_length)[0, -1]
        if float(sums.min()) <= istft.FLOOR * float(sums.max()):
            name, size = self.frames.window, self.frames.win_length
            rule = f"hop_length at which {name!r} windows of {size} samples overlap to more than 0 everywhere"
            remedy = f"Lower hop_length to {max(size // 2, 1)} or less, or choose another window."
            raise ValueError(checks.message(where, rule, hop_length, remedy))
        self.keep("window", self.frames.taper)
        self.keep("inverse", partial(_inverse, self.frames))

    def waves(self, data: Tensor, lengths: Tensor | None, sizes: Tensor | None, size: int) -> Tensor:
        """Returns waves of ``sizes`` samples, of ``size`` in all; see `functional.istft.overlap_add`."""
        check_bins("InverseSTFT", self.frames.n_fft, data)
        like = data.real if data.dtype == torch.complex128 else self.window
        options = {"window": self.constant("window", like.dtype), "inverse": self.constant("inverse", like.dtype)}
        return istft.overlap_add(data, lengths, sizes=sizes, size=size, framing=self.frames, **options)


def check_bins(where: str, n_fft: int, data: Tensor) -> None:
    """Raises unless ``[..., F, N]`` data has the bins of the FFT."""
    if data.shape[-2] != n_fft // 2 + 1:
        rule = f"n_fft // 2 + 1 = {n_fft // 2 + 1} bins for n_fft = {n_fft}"
        remedy = "Pass the spectra of an STFT without freq_scale, or set n_fft."
        raise ValueError(checks.message(where, rule, data.shape[-2], remedy))


def _inverse(framing: Framing) -> Tensor:
    """Returns 1 over the sums of squared windows that overlap, see `istft.inverse_sums`."""
    return istft.inverse_sums(framing.taper(), framing.hop_length)
