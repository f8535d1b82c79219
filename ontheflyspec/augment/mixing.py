"""MixUp and CutMix of the items of a batch, with their targets; shuffling and dropping of channels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, fraction, integers, key, uniform
from ontheflyspec.augment.spectrogram_masks import checked_fill
from ontheflyspec.batch import as_tensor
from ontheflyspec.functional.channels import channel_orders, hide_channels, order_channels
from ontheflyspec.functional.mixing import mix_pairs, partners, segments, swap_segments, symmetric_beta
from ontheflyspec.labels import mix_labels
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info

KINDS = {"wave": 1, "features": 2}
"""Axes of one item."""


class _Mix(Augment):
    """Each item mixed with another one of its batch, in shares that are drawn."""

    mixes_items: ClassVar[bool] = True

    def __init__(
        self, *, alpha: float, weight: float | Span | None, default: float, kind: str, p: float, seed: int
    ) -> None:
        super().__init__(p=p, seed=seed)
        where = type(self).__name__
        self.item_rank = KINDS[checks.choice(where, "kind", kind, KINDS)]
        self.alpha, self.weight = checks.positive(where, "alpha", alpha), None
        if weight is not None:
            checks.unused(where, "weight=None", {"alpha": alpha}, alpha=default)
            self.weight = checks.span(where, "weight", weight, low=0.0, high=1.0)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``partner``, positions in the batch, and of ``weight``, the item's own share."""
        return {"partner": partner_range(), "weight": weight_range(self.alpha, self.weight)}

    def targets(self, labels: Tensor, params: Params, *, n_classes: int | None = None) -> Tensor:
        """Returns targets mixed as a table of `draw` mixed the items, float ``[B, K]``.

        Args:
            labels: class indices, int64 ``[B]``, or one row an item, ``[B, K]``: one-hot, multi-hot, or shares.
            params: the table that was drawn for the batch; of a chain's table, the part under the place of this step.
            n_classes: K for class indices.

        Raises:
            ValueError: class indices without ``n_classes``, or labels of another shape.
        """
        return mix_labels(type(self).__name__, labels, *pairs(params), n_classes)


class MixUp(_Mix):
    """MixUp: adds to each item another item of its batch, in drawn shares; `targets` does the same to targets.

    All items of a batch stand in one cycle, in the order of numbers drawn from their ids, and each takes the next: no
    item is its own partner, and who meets whom does not depend on the order of the batch. What an item becomes depends
    on the other items; equal batches give equal results. An item alone, or not active, stays as it is. `OneOf` and
    `SomeOf` part a batch, so they take no step that mixes items; put it beside them in a `Compose`, with a ``p``.

    An item keeps its own length, so that its labels in time still hold. A longer partner is cut, a shorter one is
    repeated, so that the shares, and with them the targets, hold to the end of the item.

    Args:
        alpha: the item's own share is drawn from Beta(alpha, alpha), as in the paper: low values leave most items
            nearly alone.
        weight: range within 0..1 that the share is drawn from uniformly instead; one number for a fixed share; None for
            ``alpha``.
        kind: ``"wave"`` or ``"features"``: whether waveforms or spectrograms are mixed.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out, with ``kind="features"`` ``[F, N]``, ``[B, F, N]`` or
        ``[B, C, F, N]``; all channels of an item together.

    Padding:
        Never enters an item, neither its own nor its partner's; 0 past each length.

    Raises:
        ValueError: ``alpha`` of 0 or less or beside ``weight``, shares or a probability outside 0..1.

    Matches:
        The sum written item by item in numpy, 1e-6, and scipy's Beta by Kolmogorov and Smirnov
        (tests/augment/test_mixing.py).

    References:
        Zhang et al., "mixup: beyond empirical risk minimization", 2018; a share for each item here.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> mixup = ofs.augment.MixUp(weight=0.75)
        >>> batch = ofs.pad([torch.ones(2), 5 * torch.ones(3)], rate=16_000, ids=[1, 2])
        >>> params = mixup.draw(batch.ids)
        >>> mixup.replay(batch, params).data
        tensor([[2., 2., 0.],
                [4., 4., 4.]])
        >>> mixup.targets(torch.tensor([0, 2]), params, n_classes=3)
        tensor([[0.7500, 0.0000, 0.2500],
                [0.2500, 0.0000, 0.7500]])
    """

    def __init__(
        self,
        *,
        alpha: float = 0.4,
        weight: float | Span | None = None,
        kind: str = "wave",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(alpha=alpha, weight=weight, default=0.4, kind=kind, p=p, seed=seed)

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that adds to each active item its partner."""
        partner, weight = pairs(params)
        edit = info.edit(mix_pairs, None, partner=partner, weight=weight)
        return edit._replace(mixed=(partner, weight))


class CutMix(_Mix):
    """CutMix along time: replaces a segment of each item by one of another item; `targets` mixes targets by shares.

    Partners are found, and batches repeat, as in `MixUp`. The item's own share is the part of its time that is left;
    the starts of the segment in the item and in the partner are drawn uniformly. A partner shorter than the segment is
    repeated. An item keeps its own length.

    Args:
        alpha: the item's own share is drawn from Beta(alpha, alpha), uniform for 1.
        weight: range within 0..1 that the share is drawn from uniformly instead; one number for a fixed share; None for
            ``alpha``.
        kind: ``"wave"`` or ``"features"``: whether waveforms or spectrograms are mixed.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out, with ``kind="features"`` ``[F, N]``, ``[B, F, N]`` or
        ``[B, C, F, N]``; all channels of an item together.

    Padding:
        Never enters an item, neither its own nor its partner's; 0 past each length.

    Raises:
        ValueError: ``alpha`` of 0 or less or beside ``weight``, shares or a probability outside 0..1.

    Matches:
        Segments written one by one in numpy, bitwise (tests/augment/test_mixing.py). Segments are whole steps: shares
        of targets are off by half a step at most, ``1 / (2 * n)`` of an item of n steps.

    References:
        Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features", 2019;
        along time here.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> cutmix = ofs.augment.CutMix(weight=0.75)
        >>> batch = ofs.pad([torch.ones(4), 5 * torch.ones(8)], rate=16_000, ids=[1, 2])
        >>> params = cutmix.draw(batch.ids)
        >>> (cutmix.replay(batch, params).data == 5).sum(1)
        tensor([1, 6])
        >>> cutmix.targets(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), params)
        tensor([[0.7500, 0.2500],
                [0.2500, 0.7500]])
    """

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        weight: float | Span | None = None,
        kind: str = "wave",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(alpha=alpha, weight=weight, default=1.0, kind=kind, p=p, seed=seed)

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of `MixUp`, and of ``place`` and ``source``, fractions of the possible starts."""
        return {**super().ranges(), "place": fraction(), "source": fraction()}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that puts a segment of its partner into each active item."""
        partner, weight = pairs(params)
        start, end, source = segments(weight, params["place"], params["source"], info.lengths, partner)
        edit = info.edit(swap_segments, None, partner=partner, start=start, end=end, source=source)
        return edit._replace(mixed=(partner, weight))


def partner_range() -> Range:
    """Returns a range of partners: positions in the batch, int64 ``[B]``, along one cycle through all its items."""

    def make(unit: Tensor, _: Params) -> Tensor:
        # With 63 bits, ties, whose partners would depend on the order of the batch, hardly ever occur.
        return partners((unit[:, 0] * 2**32).long() * 2**31 + (unit[:, 1] * 2**31).long())

    return Range(2, torch.int64, make)


def weight_range(alpha: float, span: Span | None) -> Range:
    """Returns a range of own shares, float64 ``[B]``, from Beta(alpha, alpha) or uniform on a span.

    An item that is not active, or alone in its batch, has a share of 1.
    """

    def make(unit: Tensor, params: Params) -> Tensor:
        share = symmetric_beta(unit, alpha) if span is None else uniform(span).make(unit, params)
        partner = params["partner"]
        apart = ~params["active"] | (partner == torch.arange(len(partner), device=partner.device))
        return torch.where(apart, 1.0, share)

    return Range(2, torch.float64, make)


def pairs(params: Params) -> tuple[Tensor, Tensor]:
    """Returns partners and own shares of a table, 1 for items that are not active."""
    active, weight = as_tensor(params["active"], torch.bool), as_tensor(params["weight"], torch.float64)
    return as_tensor(params["partner"], torch.int64), torch.where(active, weight, 1)


class ChannelShuffle(Augment):
    """Shuffles the channels of each item; all orders are equally likely, the old one among them.

    Args:
        kind: ``"wave"`` or ``"features"``: whether waveforms or spectrograms come in.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[B, C, T]`` in and out, with ``kind="features"`` ``[B, C, F, N]``; items without channels stay as they are.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: an unknown kind, a probability outside 0..1.

    Matches:
        Channels taken one by one, bitwise (tests/augment/test_channels.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> wave = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]])
        >>> sorted(ofs.augment.ChannelShuffle()(wave)[0].tolist())
        [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    """

    def __init__(self, *, kind: str = "wave", p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.item_rank = KINDS[checks.choice("ChannelShuffle", "kind", kind, KINDS)]

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``order_key``, from which the order of any number of channels follows."""
        return {"order_key": key()}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that reorders the channels of the active items."""
        order = _orders(info, self.item_rank, params)
        still = torch.arange(order.shape[1], device=order.device)
        return info.edit(order_channels, None, order=torch.where(params["active"].unsqueeze(-1), order, still))


class ChannelDrop(Augment):
    """Channel dropout: hides some channels of each item, as if microphones failed; one channel at least is left.

    Args:
        n: range of whole numbers of channels to hide, drawn uniformly, both ends possible.
        share: range of the share of the item's channels to hide, drawn uniformly and rounded to whole channels; None
            for ``n`` channels.
        kind: ``"wave"`` or ``"features"``: whether waveforms or spectrograms come in.
        fill: value of hidden channels: ``"zero"``, ``"mean"`` of the item over all its channels, or a number (silence
            in dB is not 0).
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[B, C, T]`` in and out, with ``kind="features"`` ``[B, C, F, N]``; items without channels, or with one, stay
        as they are.

    Padding:
        Excluded from the mean; 0 past each length.

    Raises:
        ValueError: a range with low above high, counts below 0, ``n`` beside ``share``, shares outside 0..1, an unknown
            kind or fill, a probability outside 0..1.

    Matches:
        Channels hidden one by one, bitwise (tests/augment/test_channels.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> dropped = ofs.augment.ChannelDrop(n=2)(torch.ones(1, 3, 4))
        >>> sorted(dropped.sum(-1)[0].tolist())
        [0.0, 0.0, 4.0]
    """

    def __init__(
        self,
        *,
        n: int | tuple[int, int] = 1,
        share: float | Span | None = None,
        kind: str = "wave",
        fill: str | float = "zero",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.n = checks.integer_span("ChannelDrop", "n", n, low=0)
        self.share = None
        if share is not None:
            checks.unused("ChannelDrop", "share=None", {"n": n}, n=1)
            self.share = checks.span("ChannelDrop", "share", share, low=0.0, high=1.0)
        self.item_rank = KINDS[checks.choice("ChannelDrop", "kind", kind, KINDS)]
        self.fill = checked_fill("ChannelDrop", fill)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``order_key``, from which the choice of channels follows, and of ``n`` or ``share``."""
        many = {"n": integers(self.n)} if self.share is None else {"share": uniform(self.share)}
        return {"order_key": key(), **many}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that hides channels of the active items."""
        order = _orders(info, self.item_rank, params)
        count = order.shape[1]
        many = params["n"] if self.share is None else (params["share"] * count).round().long()
        many = torch.where(params["active"], many.clamp(max=count - 1), 0)
        return info.edit(hide_channels, None, hidden=order < many.unsqueeze(-1), fill=self.fill)


def _orders(info: Info, item_rank: int, params: Params) -> Tensor:
    """Returns an order of each item's channels, int64 ``[B, C]``; items without channels count as one."""
    channels = info.shape[1] if len(info.shape) == item_rank + 2 else 1
    return channel_orders(params["order_key"], max(channels, 1))
