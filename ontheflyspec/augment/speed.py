"""Augmentation of speed: pace and pitch together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks, threads
from ontheflyspec.augment.base import Augment, Params, between, column
from ontheflyspec.augment.moving import as_given, last_axis, pieces, row, table_for
from ontheflyspec.batch import PaddedBatch, as_tensor
from ontheflyspec.functional import blocks, fourier, resampling
from ontheflyspec.functional.framing import cut
from ontheflyspec.targets import Pieces

FASTEST = 8.0
"""Highest factor, and 1 over the lowest."""


class Speed(Augment):
    """Plays each item faster or slower by a drawn factor, as a tape does: pitch and pace rise together.

    Resampling by the fraction of the smallest whole numbers within 0.1 % (1.7 cents) of the drawn factor: filters stay
    small, of numbers up to 501 next to a factor of 1 and of about 45 in the mean. The filter is that of `Resample`,
    flat to 0.01 dB up to 0.88 of the lower Nyquist frequency, 100 dB down from 1.0 of it on. An item of n samples comes
    out with ``ceil(n / factor)`` of that fraction; the rate of the batch stays.

    Args:
        factor: range that the factor is drawn from, evenly, within 1/8..8; above 1 is faster and shorter.
        p: probability that an item is changed.
        seed: makes two speeds differ.

    Shape:
        ``[B, T]`` to the longest result, ``[B, C, T]`` likewise, a Tensor ``[T]`` to its own; all channels of an item
        together. With lengths on a device, which nobody asks for them, the last axis is as long as the slowest item
        could be.

    Padding:
        Beyond its ends an item goes on with zeros, whatever stands in the padding; exactly 0 past each new length.

    Raises:
        ValueError: a range with low above high or beyond 8 times; `output_lengths` without the table of a draw where
            they differ.

    Matches:
        `Resample` by the same fraction within 1e-5, sines at their new frequency (tests/augment/test_speed.py).

    References:
        Ko et al., "Audio augmentation for speech recognition", Interspeech 2015.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(9_900), torch.randn(4_500)], rate=8_000)
        >>> ofs.augment.Speed(factor=1.1)(batch).lengths.tolist()
        [9000, 4091]
    """

    def __init__(self, *, factor: float | tuple[float, float] = (0.9, 1.1), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.factor = checks.span("Speed", "factor", factor, low=1 / FASTEST, high=FASTEST)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``factor`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "factor": between(unit[:, 1], self.factor)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item at its drawn speed."""
        data, lengths = batch.data, batch.lengths
        fractions = _fractions(params)
        sizes = _sped(lengths, fractions)
        size = last_axis(sizes, _sped(torch.full((len(fractions),), data.shape[-1], device="cpu"), fractions))
        active = column(params["active"], torch.bool)
        if blocks.applicable(data, lengths):
            return batch._replace(data=_by_items(data, lengths, sizes, size, active, fractions), lengths=sizes)
        if data.shape[-1] == 0 or size == 0:
            return batch._replace(data=data[..., :0], lengths=sizes)
        wave = cut(data, lengths)
        there = sizes.to(data.device, non_blocking=True)
        with fourier.full_precision(data.device):
            made = resampling.resample_each(wave, there, size, fractions)
        kept = torch.nn.functional.pad(wave, (0, max(size - wave.shape[-1], 0)))[..., :size]
        chosen = active.to(data.device, non_blocking=True).reshape(-1, *[1] * (data.dim() - 1))
        return batch._replace(data=torch.where(chosen, made, kept), lengths=sizes)

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns ``ceil(n / factor)``, for one table of `draw` if factors differ."""
        table = table_for(self, params, fixed=self.factor[0] == self.factor[1])
        if table is None:
            return lengths
        return as_given(_sped(as_tensor(lengths, torch.int64), _fractions(table)), lengths, params)

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns each item as one piece at its speed."""
        old, new = _rates(_fractions(params), batch.lengths)
        nothing = torch.zeros_like(batch.lengths)
        return pieces(batch, nothing, batch.lengths, nothing, new.double() / old)


def _fractions(params: Params) -> list[tuple[int, int]]:
    """Returns old and new rate of each item; 1 to 1 for those that are not active."""
    factors = row(params, "factor", 1.0, torch.empty(0, device="cpu"))
    return [resampling.fraction(factor) for factor in factors.tolist()]


def _rates(fractions: list[tuple[int, int]], like: Tensor) -> tuple[Tensor, Tensor]:
    pairs = torch.tensor(fractions, dtype=torch.int64, device="cpu").reshape(-1, 2).to(like.device, non_blocking=True)
    return pairs[:, 0], pairs[:, 1]


def _sped(lengths: Tensor, fractions: list[tuple[int, int]]) -> Tensor:
    old, new = _rates(fractions, lengths)
    return -(-lengths * new // old)


def _by_items(
    data: Tensor, lengths: Tensor, sizes: Tensor, size: int, active: Tensor, fractions: list[tuple[int, int]]
) -> Tensor:
    """Returns the same, item by item, each in blocks."""
    out = data.new_zeros(*data.shape[:-1], size)
    ends, news, wanted = lengths.tolist(), sizes.tolist(), active.tolist()

    def job(row: int) -> None:
        old, new = fractions[row]
        part, target = data[row, ..., : ends[row]], out[row, ..., : news[row]]
        if not wanted[row] or old == new or not ends[row]:
            target.copy_(part)
            return
        rows = part.reshape(-1, ends[row])
        kernels = resampling.kept_kernel(old, new, data.dtype)
        made = resampling.resample_rows(rows, [ends[row]] * len(rows), kernels, old=old, new=new)
        target.copy_(made.view(target.shape))

    threads.each(job, len(ends), sum(news) * 256)
    return out
