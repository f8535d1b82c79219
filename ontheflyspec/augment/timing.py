"""Augmentations that move waveforms in time."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column, known_rate
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.waveform import shift_samples


class TimeShift(Augment):
    """Moves each item earlier or later by a drawn time.

    The shift is rounded to whole samples. The batch must know its rate: a bare Tensor does only in a chain with a step
    that has a ``sample_rate``.

    Args:
        shift_s: range in seconds that the shift is drawn from; above 0 moves to later times.
        mode: ``"circular"``: what leaves the item on one side comes in on the other; ``"zero"``: zeros come in.
        p: probability that an item is changed.
        seed: makes two shifts differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item together.

    Padding:
        Never enters an item: the item turns at its own length. 0 past each length.

    Raises:
        ValueError: a range with low above high, an unknown mode, a batch without a rate.

    Matches:
        ``numpy.roll`` of the valid samples, bitwise (tests/augment/test_timing.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])], rate=10.0)
        >>> ofs.augment.TimeShift(shift_s=0.1)(batch).data
        tensor([[3., 1., 2., 0.],
                [4., 1., 2., 3.]])
    """

    def __init__(
        self,
        *,
        shift_s: float | tuple[float, float] = (-0.1, 0.1),
        mode: str = "circular",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.shift_s = checks.span("TimeShift", "shift_s", shift_s)
        self.mode = checks.choice("TimeShift", "mode", mode, ("circular", "zero"))

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``shift_s`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "shift_s": between(unit[:, 1], self.shift_s)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item moved."""
        rate = known_rate("TimeShift", batch, "a shift in seconds")
        active = column(params["active"], torch.bool)
        shift = torch.round(column(params["shift_s"], torch.float64) * rate).long()
        moved = shift_samples(
            batch.data, batch.lengths, torch.where(active, shift, 0), circular=self.mode == "circular"
        )
        return batch._replace(data=moved)
