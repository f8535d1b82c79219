"""Bases of transforms from spectra to waveforms, whose lengths follow from the frames or are asked for."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, as_tensor, lift
from ontheflyspec.framing import Framing
from ontheflyspec.functional.istft import sample_count
from ontheflyspec.precision import without_autocast
from ontheflyspec.transfer import Placed
from ontheflyspec.transforms.base import Transform, check


class WaveTransform(Transform):
    """A transform of frames to waves, whose lengths and rate follow from its ``frames``."""

    item_rank = 2
    makes_waves = True
    sample_rate: float
    frames: Framing
    """Where the frames that come in lie in the waves."""

    def output_lengths(self, lengths: Any) -> Any:
        """Returns samples for frames, an int for an int and a tensor for a tensor."""
        return sample_count(lengths, self.frames)

    def output_rate(self, rate: float | None) -> float:
        """Returns ``sample_rate``, or raises if frames of another rate come in."""
        return waves_rate(type(self).__name__, self.sample_rate, self.frames.hop_length, rate)


class InverseTransform(WaveTransform):
    """A transform of spectra to waves, of the lengths that follow or of others with as many frames."""

    dtypes: ClassVar[tuple[torch.dtype, ...] | None] = (torch.complex64, torch.complex128)

    @abstractmethod
    def waves(self, data: Tensor, lengths: Tensor | None, sizes: Tensor | None, size: int) -> Tensor:
        """Returns waves for spectra.

        Args:
            data: ``[B, ..., F, N]``.
            lengths: frames of each item, None if all are full.
            sizes: samples of each item, likewise.
            size: samples in all.
        """

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns waves ``[B, ..., T]`` for spectra ``[B, ..., F, N]``."""
        sizes = None if lengths is None else self.output_lengths(lengths)
        return self.waves(data, lengths, sizes, self.output_lengths(data.shape[-1]))

    def __call__(self, x: Any, *, lengths: Any = None) -> Any:
        """Transforms a Tensor or a batch to waves, of ``lengths`` samples if given; see the class."""
        return nn.Module.__call__(self, x, lengths=lengths)

    def forward(self, x: Any, *, lengths: Any = None) -> Any:
        """Transforms a Tensor or a batch to waves, of ``lengths`` samples if given; see the class."""
        if lengths is None:
            return super().forward(x)
        where = type(self).__name__
        sizes = whole_lengths(where, lengths)

        def on_batch(batch: PaddedBatch) -> PaddedBatch:
            check(self, batch)
            rate = self.output_rate(batch.rate)
            check_sizes(where, self.frames, batch, sizes)
            there = Placed(batch.data.device, batch.lengths, sizes)
            with without_autocast(batch.data.device):
                data = self.waves(batch.data, there(batch.lengths), there(sizes), max(sizes.tolist(), default=0))
            return PaddedBatch(data, sizes, rate, batch.ids)

        def on_tensor(data: Tensor) -> Tensor:
            check(self, data)
            single = data.dim() == self.item_rank
            items = data.unsqueeze(0) if single else data
            full = torch.full((items.shape[0],), items.shape[-1], device="cpu")
            out = on_batch(PaddedBatch(items, full, None)).data
            return out[0] if single else out

        return lift(where, x, on_batch, on_tensor)


def whole_lengths(where: str, lengths: Any) -> Tensor:
    """Returns lengths as int64 ``[B]``, or raises unless they are whole numbers."""
    sizes = as_tensor(lengths)
    if sizes.dtype.is_floating_point or sizes.dtype.is_complex or sizes.dtype == torch.bool:
        got = str(sizes.dtype).removeprefix("torch.")
        raise TypeError(checks.message(where, "lengths in whole samples", got, "Pass integers."))
    return sizes.to(torch.int64).reshape(-1)


def check_sizes(where: str, framing: Framing, batch: PaddedBatch, sizes: Tensor) -> None:
    """Raises unless waves of so many samples have the frames of a batch of spectra."""
    if sizes.shape != batch.lengths.shape or sizes.device.type != "cpu":
        rule = f"lengths as int64 [{batch.data.shape[0]}] on the host"
        raise ValueError(checks.message(where, rule, f"{list(sizes.shape)} on {sizes.device}", "Pass one an item."))
    if batch.lengths.device.type == "cpu":
        rows = zip(sizes.tolist(), framing.count(sizes).tolist(), batch.lengths.tolist(), strict=True)
        for place, (n, made, held) in enumerate(rows):
            if n < 0 or made != held:
                rule = f"a length of item {place} whose spectrum has its {held} frames"
                raise ValueError(checks.message(where, rule, f"{n} with {made}", "Pass the samples of the wave."))


def waves_rate(where: str, sample_rate: float, hop_length: int, rate: float | None) -> float:
    """Returns ``sample_rate``, or raises if ``rate`` is known and not that of its frames."""
    frames = sample_rate / hop_length
    if rate is not None and abs(rate - frames) > 1e-6 * frames:
        rule = f"a batch of {frames:g} frames per second (sample_rate / hop_length)"
        raise ValueError(checks.message(where, rule, f"{rate:g}", "Build it with the options of the STFT."))
    return sample_rate
