"""Augmentations that let the items of a batch meet, with targets that follow."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column, known_rate
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.mixing import (
    mix_pairs,
    mix_targets,
    partners,
    stretches,
    swap_stretches,
    symmetric_beta,
)
from ontheflyspec.targets import Pieces

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
        >>> mixup.apply(batch, params).data
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
        weight: float | tuple[float, float] | None = None,
        kind: str = "wave",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.item_rank = KINDS[checks.choice("MixUp", "kind", kind, KINDS)]
        self.alpha, self.weight = checked_shares("MixUp", alpha, weight, 0.4)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``partner`` (int64, positions in the batch), ``weight`` (float64), ``[B]`` each.

        The weight is the item's own share, 1 for one that is not active or alone.
        """
        return draw_pairs(self.uniform(ids, key, 5), self.p, self.alpha, self.weight)

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with its active items mixed."""
        partner, weight = pairs(params)
        return batch._replace(data=mix_pairs(batch.data, batch.lengths, partner, weight))

    def targets(self, labels: Tensor, params: Params, *, n_classes: int | None = None) -> Tensor:
        """Returns targets mixed as a table of `draw` mixed the items, float ``[B, K]``.

        Args:
            labels: class indices, int64 ``[B]``, or one row an item, ``[B, K]``: one-hot, multi-hot, or shares.
            params: what `draw` gave for the batch; in a chain, what stands under the place of this step.
            n_classes: K for class indices.

        Raises:
            ValueError: class indices without ``n_classes``, or labels of another shape.
        """
        return mixed_targets("MixUp", labels, params, n_classes)


class CutMix(Augment):
    """Replaces a stretch of each item by one of another item of its batch; `targets` mixes targets by the shares.

    Partners are found, and batches repeat, as in `MixUp`. The item's own share is what is left of its time; the stretch
    begins evenly anywhere in the item, and evenly anywhere in the partner. A partner shorter than the stretch begins
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
        Stretches written one by one in numpy, bitwise (tests/augment/test_mixing.py). Stretches are whole steps: of an
        item of n, half a step or less is what targets are off by, a share of ``1 / (2 * n)``.

    References:
        Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features", 2019;
        along time here.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> cutmix = ofs.augment.CutMix(weight=0.75)
        >>> batch = ofs.pad([torch.ones(4), 5 * torch.ones(8)], rate=16_000, ids=[1, 2])
        >>> params = cutmix.draw(batch.ids)
        >>> (cutmix.apply(batch, params).data == 5).sum(1)
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
        weight: float | tuple[float, float] | None = None,
        kind: str = "wave",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.item_rank = KINDS[checks.choice("CutMix", "kind", kind, KINDS)]
        self.alpha, self.weight = checked_shares("CutMix", alpha, weight, 1.0)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns the table of `MixUp`, with fractions ``place`` and ``source`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 7)
        table = draw_pairs(unit[:, :5], self.p, self.alpha, self.weight)
        return {**table, "place": unit[:, 5], "source": unit[:, 6]}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with a stretch of each active item replaced."""
        partner, start, end, source = self._cuts(params, batch.lengths)
        return batch._replace(data=swap_stretches(batch.data, batch.lengths, partner, start, end, source))

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns what is left of each item's own time, before and after the stretch."""
        rate, lengths = known_rate("CutMix", batch, "times in seconds"), batch.lengths
        _, start, end, _ = self._cuts(params, lengths)
        none, lengths = start == end, lengths.to(start.device, non_blocking=True)
        start, end = torch.where(none, lengths, start), torch.where(none, lengths, end)
        first = torch.stack([torch.zeros_like(end), end], 1).double() / rate
        return Pieces(first, torch.stack([start, lengths], 1).double() / rate, first, torch.ones_like(first))

    def targets(self, labels: Tensor, params: Params, *, n_classes: int | None = None) -> Tensor:
        """Returns targets mixed by the shares of a table of `draw`, float ``[B, K]``; see `MixUp.targets`."""
        return mixed_targets("CutMix", labels, params, n_classes)

    def _cuts(self, params: Params, lengths: Tensor) -> tuple[Tensor, ...]:
        partner, weight = pairs(params)
        place, source = (column(params[name], torch.float64) for name in ("place", "source"))
        return partner, *stretches(weight, place, source, lengths, partner)


def checked_shares(
    where: str, alpha: float, weight: float | tuple[float, float] | None, default: float
) -> tuple[float, tuple[float, float] | None]:
    """Returns what shares are drawn by, checked; ``alpha`` counts only without ``weight``."""
    if weight is None:
        return checks.positive(where, "alpha", alpha), None
    checks.unused(where, "weight=None", {"alpha": alpha}, alpha=default)
    return default, checks.span(where, "weight", weight, low=0.0, high=1.0)


def draw_pairs(unit: Tensor, p: float, alpha: float, weight: tuple[float, float] | None) -> Params:
    """Returns the table of who meets whom in what shares, from numbers in (0, 1), ``[B, 5]``."""
    active = unit[:, 0] < p
    ranks = (unit[:, 1] * 2**32).long() * 2**31 + (unit[:, 2] * 2**31).long()
    partner = partners(ranks)
    share = symmetric_beta(unit[:, 3:5], alpha) if weight is None else between(unit[:, 3], weight)
    apart = ~active | (partner == torch.arange(len(partner), device=partner.device))
    return {"active": active, "partner": partner, "weight": torch.where(apart, 1.0, share)}


def pairs(params: Params) -> tuple[Tensor, Tensor]:
    """Returns partners and own shares of a table, 1 for items that are not active."""
    weight = torch.where(column(params["active"], torch.bool), column(params["weight"], torch.float64), 1)
    return column(params["partner"], torch.int64), weight


def mixed_targets(where: str, labels: Any, params: Params, n_classes: int | None) -> Tensor:
    """Returns soft labels, see `MixUp.targets`."""
    partner, weight = pairs(params)
    if labels.dim() == 1 and not labels.is_floating_point():
        if n_classes is None:
            rule = "n_classes with class indices"
            raise ValueError(checks.message(where, rule, "none", "Pass n_classes, or one row of targets an item."))
        count = checks.integer(where, "n_classes", n_classes)
        labels = labels.unsqueeze(-1) == torch.arange(count, device=labels.device)
    if labels.dim() != 2 or labels.shape[0] != partner.shape[0]:
        rule, got = f"labels of shape [{partner.shape[0]}] or [{partner.shape[0]}, K]", list(labels.shape)
        raise ValueError(checks.message(where, rule, got, "Give one label, or one row of targets, an item."))
    rows = labels if labels.is_floating_point() else labels.to(torch.get_default_dtype())
    return mix_targets(rows, partner, weight)
