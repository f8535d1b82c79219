"""Augmentations of the channels of an item."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column
from ontheflyspec.augment.mixing import KINDS
from ontheflyspec.augment.spectrogram import checked_fill, fill_values
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.channels import channel_orders, hide_channels, order_channels
from ontheflyspec.functional.masking import zero_past


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

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``order_key`` (int64), ``[B]`` each, that the order of any number follows."""
        unit = self.uniform(ids, key, 3)
        return {"active": unit[:, 0] < self.p, "order_key": whole(unit[:, 1:])}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with the channels of each active item in another order."""

        def shuffle(data: Tensor) -> Tensor:
            order = channel_orders(column(params["order_key"], torch.int64), data.shape[1])
            active = column(params["active"], torch.bool).unsqueeze(-1)
            order = torch.where(active, order, torch.arange(data.shape[1], device=order.device))
            return order_channels(data, batch.lengths, order)

        return on_channels(batch, self.item_rank, shuffle)


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
        share: float | tuple[float, float] | None = None,
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

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``order_key`` and ``n`` (int64) or ``share`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 4)
        table = {"active": unit[:, 0] < self.p, "order_key": whole(unit[:, 1:3])}
        if self.share is not None:
            return {**table, "share": between(unit[:, 3], self.share)}
        return {**table, "n": self.n[0] + (unit[:, 3] * (self.n[1] - self.n[0] + 1)).long()}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with some channels of each active item hidden."""

        def drop(data: Tensor) -> Tensor:
            count = data.shape[1]
            if "share" in params:
                many = (column(params["share"], torch.float64) * count).round().long()
            else:
                many = column(params["n"], torch.int64)
            many = torch.where(column(params["active"], torch.bool), many.clamp(max=count - 1), 0)
            hidden = channel_orders(column(params["order_key"], torch.int64), count) < many.unsqueeze(-1)
            return hide_channels(data, batch.lengths, hidden, fill_values(self.fill, data, batch.lengths))

        return on_channels(batch, self.item_rank, drop)


def whole(unit: Tensor) -> Tensor:
    """Returns whole numbers below ``2 ** 52``, int64 ``[B]``, of two in (0, 1), ``[B, 2]``, each."""
    high, low = (unit * 2**26).long().unbind(-1)
    return high * 2**26 + low


def on_channels(batch: PaddedBatch, item_rank: int, change: Callable[[Tensor], Tensor]) -> PaddedBatch:
    """Returns the batch with its channels changed, exactly 0 past each length if it has none."""
    if batch.data.dim() == item_rank + 2 and batch.data.shape[1]:
        return batch._replace(data=change(batch.data))
    return batch._replace(data=zero_past(batch.data.clone(), batch.lengths))
