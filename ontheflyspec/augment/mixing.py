"""Augmentations that mix the items of a batch, with targets that follow, or the channels of an item."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Info
from ontheflyspec.augment.ranges import Params, Range, Span, fraction, integers, key, uniform
from ontheflyspec.augment.spectrogram_masks import checked_fill
from ontheflyspec.batch import as_tensor
from ontheflyspec.functional.channels import channel_orders, hide_channels, order_channels
from ontheflyspec.functional.mixing import mix_pairs, partners, segments, swap_segments, symmetric_beta
from ontheflyspec.labels import mix_labels
from ontheflyspec.op import Edit

KINDS = {"wave": 1, "features": 2}
"""Axes of one item."""


class MixUp(Augment):
    """Adds to each item another item of its batch, in shares that are drawn; `targets` does the same to targets.

    All items of a batch stand in one cycle, in the order of numbers drawn from their ids, and each takes the next: no
    item is its own partner, and who meets whom does not depend on the order of the batch. What an item becomes depends
    on the other items; equal batches give equal results. An item alone, or not active, stays as it is. `OneOf` and
    `SomeOf` part a batch, so they take no step that mixes items; put it beside them in a `Compose`, with a ``p``.

    An item keeps its own length, so that whatever is known of its time still holds: a longer partner is cut, a shorter
    one begins again at its end, so that the shares, and with them the targets, hold to the end of the item.

    Args:
        alpha: the item's own share is drawn from Beta(alpha, alpha), as in the paper: low values leave most items
            nearly alone.
        weight: range that the item's own share is drawn from evenly in place of that, within 0..1; one number for a
            fixed share; None for ``alpha``.
        kind: ``"wave"`` or ``"features"``, what is mixed: waveforms add up as sounds do, features as numbers.
        p: probability that an item is changed.
        seed: makes two mixes differ.

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

    mixes_items: ClassVar[bool] = True

    def __init__(
        self,
        *,
        alpha: float = 0.4,
        weight: float | Span | None = None,
        kind: str = "wave",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.item_rank = KINDS[checks.choice("MixUp", "kind", kind, KINDS)]
        self.alpha, self.weight = checked_shares("MixUp", alpha, weight, 0.4)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``partner``, positions in the batch, and of ``weight``, the item's own share."""
        return {"partner": partner_range(), "weight": weight_range(self.alpha, self.weight)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the sum of each active item and its partner."""
        partner, weight = pairs(params)
        edit = info.edit(mix_pairs, None, partner=partner, weight=weight)
        return edit._replace(mixed=(partner, weight))

    def targets(self, labels: Tensor, params: Params, *, n_classes: int | None = None) -> Tensor:
        """Returns targets mixed as a table of `draw` mixed the items, float ``[B, K]``.

        Args:
            labels: class indices, int64 ``[B]``, or one row an item, ``[B, K]``: one-hot, multi-hot, or shares.
            params: what `draw` gave for the batch; in a chain, what stands under the place of this step.
            n_classes: K for class indices.

        Raises:
            ValueError: class indices without ``n_classes``, or labels of another shape.
        """
        return mix_labels("MixUp", labels, *pairs(params), n_classes)


class CutMix(Augment):
    """Replaces a segment of each item by one of another item of its batch; `targets` mixes targets by the shares.

    Partners are found, and batches repeat, as in `MixUp`. The item's own share is what is left of its time; the segment
    begins evenly anywhere in the item, and evenly anywhere in the partner. A partner shorter than the segment begins
    again at its end. An item keeps its own length.

    Args:
        alpha: the item's own share is drawn from Beta(alpha, alpha), evenly for 1.
        weight: range that the share is drawn from evenly in place of that, within 0..1; one number for a fixed share;
            None for ``alpha``.
        kind: ``"wave"`` or ``"features"``, what is cut.
        p: probability that an item is changed.
        seed: makes two mixes differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out, with ``kind="features"`` ``[F, N]``, ``[B, F, N]`` or
        ``[B, C, F, N]``; all channels of an item together.

    Padding:
        Never enters an item, neither its own nor its partner's; 0 past each length.

    Raises:
        ValueError: ``alpha`` of 0 or less or beside ``weight``, shares or a probability outside 0..1.

    Matches:
        SampleMap written one by one in numpy, bitwise (tests/augment/test_mixing.py). SampleMap are whole steps: of an
        item of n, half a step or less is what targets are off by, a share of ``1 / (2 * n)``.

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

    mixes_items: ClassVar[bool] = True

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        weight: float | Span | None = None,
        kind: str = "wave",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.item_rank = KINDS[checks.choice("CutMix", "kind", kind, KINDS)]
        self.alpha, self.weight = checked_shares("CutMix", alpha, weight, 1.0)

    def ranges(self) -> dict[str, Range]:
        """Returns the ranges of `MixUp`, and of ``place`` and ``source``, fractions: where the segment begins."""
        pair = {"partner": partner_range(), "weight": weight_range(self.alpha, self.weight)}
        return {**pair, "place": fraction(), "source": fraction()}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item with a segment of its partner."""
        partner, weight = pairs(params)
        start, end, source = segments(weight, params["place"], params["source"], info.lengths, partner)
        edit = info.edit(swap_segments, None, partner=partner, start=start, end=end, source=source)
        return edit._replace(mixed=(partner, weight))

    def targets(self, labels: Tensor, params: Params, *, n_classes: int | None = None) -> Tensor:
        """Returns targets mixed by the shares of a table of `draw`, float ``[B, K]``; see `MixUp.targets`."""
        return mix_labels("CutMix", labels, *pairs(params), n_classes)


def checked_shares(where: str, alpha: float, weight: float | Span | None, default: float) -> tuple[float, Span | None]:
    """Returns what shares are drawn by, checked; ``alpha`` counts only without ``weight``."""
    if weight is None:
        return checks.positive(where, "alpha", alpha), None
    checks.unused(where, "weight=None", {"alpha": alpha}, alpha=default)
    return default, checks.span(where, "weight", weight, low=0.0, high=1.0)


def partner_range() -> Range:
    """Returns a range of partners: positions in the batch, int64, of one cycle through all its items."""

    def make(unit: Tensor, _: Params) -> Tensor:
        # 63 bits, so that hardly ever two items of a batch have the same number and their order would count.
        return partners((unit[:, 0] * 2**32).long() * 2**31 + (unit[:, 1] * 2**31).long())

    return Range(2, torch.int64, make)


def weight_range(alpha: float, span: Span | None) -> Range:
    """Returns a range of own shares, float64, from Beta(alpha, alpha) or evenly from a span.

    An item that is not active or alone has a share of 1.
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
    """Puts the channels of each item into a drawn order; all orders are equally likely, the old one among them.

    Args:
        kind: ``"wave"`` or ``"features"``, what comes in.
        p: probability that an item is changed.
        seed: makes two shuffles differ.

    Shape:
        ``[B, C, T]`` in and out, with ``kind="features"`` ``[B, C, F, N]``; items without channels stay as they are.

    Padding:
        Left out; 0 past each length.

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
        """Returns the range of ``order_key``, which the order of any number of channels follows."""
        return {"order_key": key()}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the channels of each active item in another order."""
        order = _orders(info, self.item_rank, params)
        still = torch.arange(order.shape[1], device=order.device)
        return info.edit(order_channels, None, order=torch.where(params["active"].unsqueeze(-1), order, still))


class ChannelDrop(Augment):
    """Hides some channels of each item, as microphones fail; one channel at least is left.

    Args:
        n: range of whole numbers of channels to hide, drawn evenly, both ends possible.
        share: range of the share of the item's channels to hide, drawn evenly and rounded to whole channels, in place
            of ``n``; None for ``n``.
        kind: ``"wave"`` or ``"features"``, what comes in.
        fill: what hidden channels hold: ``"zero"``, ``"mean"`` of the item over all its channels, or a number, as the
            silence of features in dB is no 0.
        p: probability that an item is changed.
        seed: makes two drops differ.

    Shape:
        ``[B, C, T]`` in and out, with ``kind="features"`` ``[B, C, F, N]``; items without channels, or with one, stay
        as they are.

    Padding:
        Left out of the mean; 0 past each length.

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
        """Returns ranges of ``order_key``, by which channels are chosen, and of ``n`` or ``share``."""
        many = {"n": integers(self.n)} if self.share is None else {"share": uniform(self.share)}
        return {"order_key": key(), **many}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item with some of its channels hidden."""
        order = _orders(info, self.item_rank, params)
        count = order.shape[1]
        many = params["n"] if self.share is None else (params["share"] * count).round().long()
        many = torch.where(params["active"], many.clamp(max=count - 1), 0)
        return info.edit(hide_channels, None, hidden=order < many.unsqueeze(-1), fill=self.fill)


def _orders(info: Info, item_rank: int, params: Params) -> Tensor:
    """Returns an order of each item's channels, int64 ``[B, C]``; items without channels count as one."""
    channels = info.shape[1] if len(info.shape) == item_rank + 2 else 1
    return channel_orders(params["order_key"], max(channels, 1))
