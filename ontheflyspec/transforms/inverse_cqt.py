"""Back from constant-Q spectra to waves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.functional import constant_q, fourier, overlap, resynthesis
from ontheflyspec.functional.framing import frame_count
from ontheflyspec.transforms.base import Pointwise, Transform
from ontheflyspec.transforms.constant_q import VQT, Filters
from ontheflyspec.transforms.sized import at_lengths, waves_rate


class InverseCQT(Transform):
    """Waves from complex `CQT` or `VQT` spectra with zeros around each clip, each item as if it stood alone.

    Of all waves the one whose spectrum comes closest, every bin scaled to gain 1: least squares, by conjugate
    gradients. What it gives back is the part of the signal in the bins' band. That part is determined only if frames
    follow each other closely enough for the shortest filter, that of the highest bin; a warning says so if they do not.

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
        Exactly 0 past each item's samples; what stands in the input's padding changes nothing.

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

    item_rank: ClassVar[int] = 2
    makes_waves: ClassVar[bool] = True
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.complex64, torch.complex128)
    sample_rate: float
    gains: Tensor

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int = 512,
        fmin: float = 32.703,
        n_bins: int = 84,
        bins_per_octave: int = 12,
        gamma: float | None = 0.0,
        filter_scale: float = 1.0,
        window: str = "hann",
        norm: float | None = 1,
        filters: Filters = "librosa",
        n_iter: int = 16,
    ) -> None:
        super().__init__()
        where = "InverseCQT"
        self.sample_rate = checks.positive(where, "sample_rate", sample_rate)
        self.n_iter = checks.integer(where, "n_iter", n_iter)
        with checks.of_part("VQT", "InverseCQT"):
            self.vqt = VQT(
                sample_rate=sample_rate,
                hop_length=hop_length,
                fmin=fmin,
                n_bins=n_bins,
                bins_per_octave=bins_per_octave,
                gamma=gamma,
                filter_scale=filter_scale,
                window=window,
                norm=norm,
                filters=filters,
            )
        shortest = float(self.vqt.filter_lengths.min())
        if hop_length > 2 / 3 * shortest:
            rule = f"hop_length of at most 2/3 of the shortest filter, {shortest:.0f} samples at the top bin"
            remedy = "The signal is not determined there: lower hop_length, or n_bins."
            checks.warn(checks.message(where, rule, hop_length, remedy))
        self.keep("gains", partial(constant_q.gains, self.vqt.filter_lengths, window, norm, filters))

    def output_lengths(self, lengths: Any) -> Any:
        """Returns samples for frames."""
        return overlap.sample_count(lengths, 0, self.vqt.hop_length, True)

    def output_rate(self, rate: float) -> float:
        """Returns the sample rate, if ``rate`` is that of its frames."""
        return waves_rate("InverseCQT", self.sample_rate, self.vqt.hop_length, rate)

    def frame_lengths(self, sizes: Tensor) -> Tensor:
        """Returns frames of waves of so many samples."""
        frames: Tensor = frame_count(sizes, 1, self.vqt.hop_length, True)
        return frames

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the waves of ``[B, n_bins, N]`` or ``[B, C, n_bins, N]`` spectra."""
        sizes = None if lengths is None else self.output_lengths(lengths)
        return self.waves(data, lengths, sizes, self.output_lengths(data.shape[-1]))

    def waves(self, data: Tensor, lengths: Tensor | None, sizes: Tensor | None, size: int) -> Tensor:
        """Returns waves of ``sizes`` samples, of ``size`` in all; see `functional.resynthesis.waves`."""
        if data.shape[-2] != self.vqt.n_bins:
            rule = f"spectra of {self.vqt.n_bins} bins (n_bins)"
            raise ValueError(checks.message("InverseCQT", rule, data.shape[-2], "Use the options of the CQT."))
        like = data.real if data.dtype == torch.complex128 else self.gains
        gains, plan = self.constant("gains", like), self.vqt.plan
        kernels, filters = self.vqt.taps(like)
        for place, group in enumerate(plan.groups):
            kernels[place] = kernels[place] / gains[group.first : group.last].repeat(2).unsqueeze(-1)
        options: dict[str, Any] = {"hop_length": self.vqt.hop_length, "n_iter": self.n_iter}
        with fourier.full_precision(data.device):
            return resynthesis.waves(data, lengths, sizes, size, kernels, gains, plan, filters, **options)

    def __call__(self, x: Any, *, lengths: Any = None) -> Any:
        """Transforms what loaders yield; ``lengths`` asks for so many samples of each item."""
        return nn.Module.__call__(self, x, lengths=lengths)

    def forward(self, x: Any, after: Sequence[Pointwise] = (), *, lengths: Any = None) -> Any:
        """Transforms what loaders yield; ``lengths`` asks for so many samples of each item."""
        return super().forward(x, after) if lengths is None else at_lengths(self, x, lengths)
