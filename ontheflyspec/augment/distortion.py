"""Augmentations that bend samples: clipping, saturation, few bits, companding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.distortion import bend_items, clip, crush, mu_law, quantiles, saturate, saturation

Span = tuple[float, float]


class Clip(Augment):
    """Cuts off the peaks of each item, as an amplifier does that is driven too far.

    What share of the samples is cut is drawn, one half of it at the top and the other at the bottom; samples beyond
    these two levels are set to them. Levels are those of the item's own samples, interpolated between them.

    Args:
        percentile: range that the share of clipped samples is drawn from, evenly, in percent; within 0..100.
        p: probability that an item is changed.
        seed: makes two clippings differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one pair of levels an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside 0..100, a probability outside 0..1.

    Matches:
        ``numpy.clip`` between ``numpy.percentile`` of the item alone, 1e-6 (tests/augment/test_distortion.py).

    References:
        Range and levels are those of audiomentations' ClippingDistortion, which draws whole percents.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.Clip(percentile=50.0)(torch.tensor([-3.0, -1.0, 0.0, 1.0, 9.0]))
        tensor([-1., -1.,  0.,  1.,  1.])
    """

    def __init__(self, *, percentile: float | Span = (0.0, 40.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.percentile = checks.span("Clip", "percentile", percentile, low=0.0, high=100.0)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``percentile`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "percentile": between(unit[:, 1], self.percentile)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item clipped."""
        active, percentile = column(params["active"], torch.bool), column(params["percentile"], torch.float64)
        shares = torch.stack([percentile / 200, 1 - percentile / 200], -1)
        levels = quantiles(batch.data, batch.lengths, shares, magnitude=False)
        return batch._replace(data=bend_items(batch.data, batch.lengths, active, levels, clip))


class TanhDistortion(Augment):
    """Rounds off the peaks of each item by a hyperbolic tangent, and keeps the item's power.

    The larger the drawn amount, the more samples are bent: with amount a, the ``99 * a`` percent that are loudest come
    out above 0.46 of the level that none can pass.

    Args:
        amount: range that the amount is drawn from, evenly; within 0..1.
        p: probability that an item is changed.
        seed: makes two distortions differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside 0..1, a probability outside 0..1.

    Matches:
        audiomentations' TanhDistortion, written in numpy, on the item alone, 1e-5 of its peak
        (tests/augment/test_distortion.py).

    References:
        Range, amount and levels are those of audiomentations' TanhDistortion.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> wave = torch.linspace(-1, 1, 101)
        >>> bent = ofs.augment.TanhDistortion(amount=0.5)(wave)
        >>> round((bent.square().mean() / wave.square().mean()).item(), 4), bool(bent.max() < 1)
        (1.0, True)
    """

    def __init__(self, *, amount: float | Span = (0.01, 0.7), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.amount = checks.span("TanhDistortion", "amount", amount, low=0.0, high=1.0)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``amount`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "amount": between(unit[:, 1], self.amount)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item distorted."""
        active, amount = column(params["active"], torch.bool), column(params["amount"], torch.float64)
        loud = quantiles(batch.data, batch.lengths, 1 - 0.99 * amount.unsqueeze(-1), magnitude=True)
        return batch._replace(data=bend_items(batch.data, batch.lengths, active, saturation(loud), saturate))


class BitCrush(Augment):
    """Rounds samples to the levels of a drawn number of bits, as old samplers and cheap converters do.

    With b bits, samples become multiples of ``2 ** (1 - b)``; none is cut off. Whatever is softer than half of one
    becomes silence. Gradients are those of the samples (straight through).

    Args:
        bits: range that the number of bits is drawn from, each whole number evenly, both ends included; within 1..24.
        p: probability that an item is changed.
        seed: makes two draws differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside 1..24, a probability outside 0..1.
        TypeError: bits that are no whole numbers.

    Matches:
        ``numpy.round(samples * 2 ** (bits - 1)) / 2 ** (bits - 1)``, bitwise; 16 bits keep
        int16 samples (tests/augment/test_distortion.py).

    References:
        The range is that of audiomentations' BitCrush, which has one level more on either side of 0.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.BitCrush(bits=3)(torch.tensor([0.1, 0.2, -0.6, 1.0]))
        tensor([ 0.0000,  0.2500, -0.5000,  1.0000])
    """

    def __init__(self, *, bits: int | tuple[int, int] = (5, 14), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        low, high = bits if isinstance(bits, Sequence) and len(bits) == 2 else (bits, bits)
        high = checks.integer("BitCrush", "bits", high, high=24)
        self.bits = checks.integer("BitCrush", "bits", low, high=high), high

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``bits`` (int64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {
            "active": unit[:, 0] < self.p,
            "bits": self.bits[0] + (unit[:, 1] * (self.bits[1] - self.bits[0] + 1)).long(),
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item rounded."""
        active, bits = column(params["active"], torch.bool), column(params["bits"], torch.int64)
        steps = torch.exp2((bits - 1).to(batch.data.dtype)).unsqueeze(-1)
        return batch._replace(data=bend_items(batch.data, batch.lengths, active, steps, crush))


class MuLaw(Augment):
    """Rounds samples to levels that lie close near 0 and far apart near full scale, as telephone codecs do.

    Samples are cut off at -1 and 1, compressed by ``ln(1 + mu |x|) / ln(1 + mu)``, rounded to ``mu // 2`` even levels
    on either side of 0, and expanded. Silence stays silence. Gradients are those of the samples (straight through),
    0 where they are cut off.

    Args:
        mu: range that the compression is drawn from, evenly; 255 is that of 8 bits. Within 3..65535.
        p: probability that an item is changed.
        seed: makes two draws differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside 3..65535, a probability outside 0..1.

    Matches:
        The formula in numpy, 1e-6; off by half a level at most (tests/augment/test_distortion.py).

    References:
        ITU-T G.711, which has the continuous law in pieces of straight lines.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.MuLaw()(torch.tensor([0.0, 0.01, 0.5, -2.0]))
        tensor([ 0.0000,  0.0100,  0.4953, -1.0000])
    """

    def __init__(self, *, mu: float | Span = 255.0, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.mu = checks.span("MuLaw", "mu", mu, low=3.0, high=65535.0)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``mu`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "mu": between(unit[:, 1], self.mu)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item coded and decoded."""
        active, mu = column(params["active"], torch.bool), column(params["mu"], torch.float64)
        return batch._replace(data=bend_items(batch.data, batch.lengths, active, mu.unsqueeze(-1), mu_law))
