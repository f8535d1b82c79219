"""Waves of exactly the lengths that are asked for: what the ways back from spectra have in common."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, as_tensor, lift


class Resynthesis(Protocol):
    """A transform from spectra to waves."""

    item_rank: ClassVar[int]

    def check(self, x: Tensor | PaddedBatch) -> None:
        """See `Transform`."""

    def output_rate(self, rate: float) -> float:
        """See `Transform`."""

    def frame_lengths(self, sizes: Tensor) -> Tensor:
        """Returns frames of waves of so many samples."""

    def waves(self, data: Tensor, lengths: Tensor | None, sizes: Tensor | None, size: int) -> Tensor:
        """Returns waves of ``sizes`` samples, of ``size`` in all."""


def at_lengths(owner: Resynthesis, x: Any, lengths: Any) -> Any:
    """Returns the waves of what loaders yield, each of the samples that ``lengths`` asks for, int64 ``[B]``."""
    sizes = as_tensor(lengths)
    if sizes.dtype.is_floating_point or sizes.dtype.is_complex or sizes.dtype == torch.bool:
        got = str(sizes.dtype).removeprefix("torch.")
        raise TypeError(checks.message(type(owner).__name__, "lengths in whole samples", got, "Pass integers."))
    sizes = sizes.to(torch.int64).reshape(-1)
    on_batch, on_tensor = partial(_on_batch, owner, sizes=sizes), partial(_on_tensor, owner, sizes=sizes)
    return lift(type(owner).__name__, x, on_batch, on_tensor)


def _on_batch(owner: Resynthesis, batch: PaddedBatch, sizes: Tensor) -> PaddedBatch:
    where, data = type(owner).__name__, batch.data
    owner.check(batch)
    rate = owner.output_rate(batch.rate)
    if sizes.shape != batch.lengths.shape or sizes.device.type != "cpu":
        rule = f"lengths as int64 [{data.shape[0]}] on the host"
        raise ValueError(checks.message(where, rule, f"{list(sizes.shape)} on {sizes.device}", "Pass one an item."))
    if batch.lengths.device.type == "cpu":
        rows = zip(sizes.tolist(), owner.frame_lengths(sizes).tolist(), batch.lengths.tolist(), strict=True)
        for place, (n, made, held) in enumerate(rows):
            if n < 0 or made != held:
                rule = f"a length of item {place} whose spectrum has its {held} frames"
                raise ValueError(checks.message(where, rule, f"{n} with {made}", "Pass the samples of the wave."))
    return PaddedBatch(owner.waves(data, batch.lengths, sizes, max(sizes.tolist(), default=0)), sizes, rate, batch.ids)


def _on_tensor(owner: Resynthesis, data: Tensor, sizes: Tensor) -> Tensor:
    owner.check(data)
    items = data.unsqueeze(0) if data.dim() == owner.item_rank else data
    full = torch.full((items.shape[0],), items.shape[-1], device="cpu")
    out = _on_batch(owner, PaddedBatch(items, full, math.nan), sizes).data
    return out[0] if data.dim() == owner.item_rank else out


def waves_rate(where: str, sample_rate: float, hop_length: int, rate: float) -> float:
    """Returns ``sample_rate``, or raises if ``rate`` is not that of its frames."""
    frames = sample_rate / hop_length
    if abs(rate - frames) > 1e-6 * frames:
        rule = f"a batch of {frames:g} frames per second (sample_rate / hop_length)"
        raise ValueError(checks.message(where, rule, f"{rate:g}", "Build it with the options of the STFT."))
    return sample_rate
