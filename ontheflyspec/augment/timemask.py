"""Augmentation that hides spans of time."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column, known_rate
from ontheflyspec.augment.moving import pieces
from ontheflyspec.batch import PaddedBatch, per_item
from ontheflyspec.functional.masking import spans
from ontheflyspec.functional.noises import colored_noise
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.functional.stretches import blend, span_gain
from ontheflyspec.targets import Pieces


class TimeMask(Augment):
    """Silences spans of each item, or hides them behind white noise.

    Widths are drawn as shares of the item, starts evenly from where the span fits into it.

    Args:
        n_masks: how many spans; they may overlap.
        fraction: range of a span's share of the item, drawn evenly, within 0..1.
        fade_s: seconds over which the sound fades out and in, in a straight line, within each end of a span; 0 for
            none. Any other needs batches that know their rate.
        fill: ``"zero"``, or ``"noise"`` of the item's own power, no sample of which any other item or channel has.
        p: probability that an item is changed.
        seed: makes two masks differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item have the same spans.

    Padding:
        Left out of spans and power; 0 past each length.

    Raises:
        ValueError: fewer than 1 mask, shares outside 0..1, an unknown fill, a batch without a rate where there is a
            fade.

    Matches:
        Spans written one by one in numpy, 1e-6 (tests/augment/test_timemask.py).

    References:
        Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition", 2019.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> int(ofs.augment.TimeMask(fraction=0.25)(torch.ones(400)).sum())
        300
    """

    def __init__(
        self,
        *,
        n_masks: int = 1,
        fraction: float | tuple[float, float] = (0.0, 0.2),
        fade_s: float = 0.0,
        fill: str = "zero",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.n_masks = checks.integer("TimeMask", "n_masks", n_masks)
        self.fraction = checks.span("TimeMask", "fraction", fraction, low=0.0, high=1.0)
        self.fade_s = checks.number("TimeMask", "fade_s", fade_s, low=0.0)
        self.fill = checks.choice("TimeMask", "fill", fill, ("zero", "noise"))

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``noise_key``, ``[B]``; ``width`` and ``start``, float64 ``[B, n_masks]``."""
        unit = self.uniform(ids, key, 3 + 2 * self.n_masks)
        high, low = (unit[:, 1:3] * 2**26).long().unbind(-1)
        width, start = unit[:, 3 : 3 + self.n_masks], unit[:, 3 + self.n_masks :]
        return {
            "active": unit[:, 0] < self.p,
            "width": between(width, self.fraction),
            "start": start,
            "noise_key": high * 2**26 + low,
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with spans of each active item hidden."""
        data, lengths = batch.data, batch.lengths
        fade = round(self.fade_s * known_rate("TimeMask", batch, "a fade in seconds")) if self.fade_s else 0
        start, end = (one.to(data.device, non_blocking=True) for one in self._spans(batch, params))
        gain = span_gain(data.shape[-1], start, end, fade, data.dtype)
        return batch._replace(data=blend(data, lengths, gain, self._noise(batch, params)))

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns what lies between the spans of each item."""
        start, end = self._spans(batch, params)
        start, order = start.sort(stable=True)
        end = end.gather(-1, order).cummax(-1).values
        n, nothing = batch.lengths.unsqueeze(-1), torch.zeros_like(start[:, :1])
        begin, stop = torch.cat([nothing, end], 1), torch.cat([start, n], 1)
        return pieces(batch, begin, torch.maximum(begin, stop), begin, torch.ones_like(begin))

    def _spans(self, batch: PaddedBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Returns first samples of the spans and those after them, int64 ``[B, n_masks]``; empty if not active."""
        n = batch.lengths
        active = column(params["active"], torch.bool).unsqueeze(-1)
        share = torch.where(active, column(params["width"], torch.float64), 0).to(n.device, non_blocking=True)
        widths = torch.round(share * n.unsqueeze(-1)).long()
        return spans(widths, column(params["start"], torch.float64), n)

    def _noise(self, batch: PaddedBatch, params: Params) -> Tensor | None:
        """Returns white noise of each item's power, ``[B, ..., T]``."""
        if self.fill == "zero":
            return None
        data = batch.data
        active = column(params["active"], torch.bool).cpu()
        white = torch.zeros(active.shape, dtype=torch.float64, device="cpu")
        noise = colored_noise(data, batch.lengths, white, column(params["noise_key"], torch.int64).cpu(), active)
        power = valid_power(data, batch.lengths)
        return noise * torch.where(power > 0, power, 1).sqrt() * per_item(active, data) * (power > 0)
