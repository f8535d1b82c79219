"""Inverse constant-Q transform: waveforms from CQT or VQT spectra."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import cqt_filters, inverse_cqt
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.transforms.cqt import VQT
from ontheflyspec.transforms.options import VQTOptions
from ontheflyspec.transforms.synthesis import InverseTransform


class InverseCQT(InverseTransform):
    """Inverse constant-Q transform of each item as if it stood alone: waves from complex `CQT` or `VQT` spectra.

    Of all waves with zeros around, the one whose spectrum comes closest, every bin scaled to gain 1: least squares, by
    conjugate gradients. What it gives back is the part of the signal in the bins' band. That part is determined only if
    frames follow each other closely enough for the shortest filter, that of the highest bin; a warning says so if they
    do not.

    An item of n frames gives ``(n - 1) * hop_length`` samples. Called as ``inverse(spectra, lengths=samples)`` it gives
    exactly so many, int64 ``[B]`` on the host, as the waves had.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate than ``sample_rate / hop_length`` raise.
        hop_length: as in `CQT`; at most 2/3 of the shortest filter.
        fmin: as in `CQT`.
        n_bins: as in `CQT`.
        bins_per_octave: as in `CQT`.
        gamma: as in `VQT`; 0 for spectra of `CQT`.
        filter_scale: as in `CQT`.
        window: as in `CQT`.
        norm: as in `CQT`.
        filters: as in `CQT`.
        n_iter: steps of conjugate gradients.

    Shape:
        ``[B, n_bins, N]`` to ``[B, T]``, ``[B, C, n_bins, N]`` to ``[B, C, T]``, a Tensor ``[n_bins, N]`` to ``[T]``,
        with ``T = output_lengths(N)``.

    Padding:
        Exactly 0 past each item's samples; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, another number of bins, a batch of another rate, ``lengths`` that do not
            belong to the frames.
        TypeError: spectra that are not complex.

    Warns:
        UserWarning: frames too far apart for the shortest filter.

    Matches:
        `CQT` there and back, noise in the bins' band: at least 40 dB of signal to error where hop_length is at most 2/3
        of the shortest filter (tests/parity/test_inverse_cqt.py).

    References:
        Groechenig, "Acceleration of the frame algorithm", IEEE Trans. Signal Processing 1993.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> options = {"sample_rate": 22_050, "hop_length": 128, "n_bins": 60}
        >>> wave = torch.sin(2 * torch.pi * 440 * torch.arange(22_050) / 22_050)
        >>> back = ofs.InverseCQT(**options)(ofs.CQT(**options)(wave), lengths=len(wave))
        >>> bool((back - wave)[2_000:-2_000].abs().max() < 0.01)
        True
    """

    gains: Tensor

    @hands_on(VQT, last=("n_iter",), without=("pad_mode", "output", "method", "trainable"), gamma=0.0)
    def __init__(self, *, n_iter: int = 16, **options: Unpack[VQTOptions]) -> None:
        super().__init__()
        where = "InverseCQT"
        self.sample_rate = checks.positive(where, "sample_rate", options["sample_rate"])
        self.n_iter = checks.integer(where, "n_iter", n_iter)
        self.vqt = VQT(**options)
        self.frames = self.vqt.framing
        shortest, hop_length = float(self.vqt.wavelets.lengths.min()), self.frames.hop_length
        if hop_length > 2 / 3 * shortest:
            rule = f"hop_length of at most 2/3 of the shortest filter, {shortest:.0f} samples at the top bin"
            remedy = "The signal is not determined there: lower hop_length, or n_bins."
            checks.warn(checks.message(where, rule, hop_length, remedy))
        self.keep("gains", partial(cqt_filters.gains, self.vqt.wavelets))

    def waves(self, data: Tensor, lengths: Tensor | None, sizes: Tensor | None, size: int) -> Tensor:
        """Returns waves of ``sizes`` samples, of ``size`` in all; see `functional.inverse_cqt.resynthesise`."""
        if data.shape[-2] != self.vqt.n_bins:
            rule = f"spectra of {self.vqt.n_bins} bins (n_bins)"
            raise ValueError(checks.message("InverseCQT", rule, data.shape[-2], "Use the options of the CQT."))
        like = data.real if data.dtype == torch.complex128 else self.gains
        gains, bank = self.constant("gains", like.dtype), self.vqt.filter_bank(like)
        scaled = [
            kernel / gains[group.first : group.last].repeat(2).unsqueeze(-1)
            for kernel, group in zip(bank.kernels, bank.plan.groups, strict=True)
        ]
        options: dict[str, Any] = {"bank": bank._replace(kernels=scaled), "gains": gains, "n_iter": self.n_iter}
        return inverse_cqt.resynthesise(data, lengths, sizes=sizes, size=size, **options)
