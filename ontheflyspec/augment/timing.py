"""Augmentations that move waveforms in time."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column, known_rate
from ontheflyspec.augment.moving import pieces
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.stretches import blend, placed, seam_gain
from ontheflyspec.functional.waveform import shift_samples
from ontheflyspec.targets import Pieces


class TimeShift(Augment):
    """Moves each item earlier or later by a drawn time.

    The shift is rounded to whole samples. The batch must know its rate: a bare Tensor does only in a chain with a step
    that has a ``sample_rate``.

    Args:
        shift_s: range in seconds that the shift is drawn from; above 0 moves to later times.
        mode: ``"circular"``: what leaves the item on one side comes in on the other; ``"zero"``: zeros come in.
        fade_s: seconds over which the sound fades out before the seam and in after it, in a straight line, so that
            nothing clicks where the item's end meets its start, or silence; 0 for none.
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
        fade_s: float = 0.0,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.shift_s = checks.span("TimeShift", "shift_s", shift_s)
        self.mode = checks.choice("TimeShift", "mode", mode, ("circular", "zero"))
        self.fade_s = checks.number("TimeShift", "fade_s", fade_s, low=0.0)

    @property
    def by_rows(self) -> bool:  # type: ignore[override]
        """Whether nothing but shifts reads the data."""
        return self.fade_s == 0

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``shift_s`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "shift_s": between(unit[:, 1], self.shift_s)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item moved."""
        shift, fade = self._shift(batch, params), round(self.fade_s * batch.rate)
        data, lengths = batch.data, batch.lengths
        moved = shift_samples(data, lengths, shift, circular=self.mode == "circular")
        if fade == 0:
            return batch._replace(data=moved)
        n, by = (one.to(data.device, non_blocking=True) for one in (lengths, shift))
        seam = by % n.clamp(min=1) if self.mode == "circular" else torch.where(by < 0, n + by, by)
        gain = seam_gain(data.shape[-1], seam, fade, data.dtype)
        turned = seam if self.mode == "circular" else by
        return batch._replace(data=blend(moved, lengths, torch.where((turned == 0).unsqueeze(-1), 1, gain)))

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns what leaves on neither side, and if it comes in on the other, what does."""
        n, shift = batch.lengths, self._shift(batch, params).to(batch.lengths.device, non_blocking=True)
        if self.mode == "zero":
            by = torch.maximum(torch.minimum(shift, n), -n)
            return pieces(batch, (-by).clamp(min=0), n - by.clamp(min=0), by.clamp(min=0), torch.ones_like(by))
        by, nothing = shift % n.clamp(min=1), torch.zeros_like(n)
        start, end = torch.stack([nothing, n - by], 1), torch.stack([n - by, n], 1)
        return pieces(batch, start, end, torch.stack([by, nothing], 1), torch.ones_like(by))

    def _shift(self, batch: PaddedBatch, params: Params) -> Tensor:
        """Returns samples, int64 ``[B]``, 0 for items that are not active."""
        rate = known_rate("TimeShift", batch, "a shift in seconds")
        shift = torch.round(column(params["shift_s"], torch.float64) * rate).long()
        return torch.where(column(params["active"], torch.bool), shift, 0)


class TimeInversion(Augment):
    """Plays items backwards.

    Args:
        p: probability that an item is turned round; 0.5 makes both directions equally likely.
        seed: makes two inversions differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item together.

    Padding:
        Never enters an item: its own last sample comes first. 0 past each length.

    Raises:
        ValueError: a probability outside 0..1.

    Matches:
        ``numpy.flip`` of the valid samples, bitwise (tests/augment/test_timing.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.TimeInversion()(torch.tensor([1.0, 2.0, 3.0]))
        tensor([3., 2., 1.])
    """

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``[B]``."""
        return {"active": self.uniform(ids, key, 1)[:, 0] < self.p}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with its active items backwards."""
        n = batch.lengths.unsqueeze(-1)
        active, nothing = _beside(params, n), torch.zeros_like(n)
        size = batch.data.shape[-1]
        kept = placed(batch.data, nothing, torch.where(active, 0, n), nothing, size)
        turned = placed(batch.data, nothing, torch.where(active, n, 0), nothing, size, backwards=True)
        chosen = _beside(params, batch.data).reshape(-1, *[1] * (batch.data.dim() - 1))
        return batch._replace(data=torch.where(chosen, turned, kept))

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns each item as one piece, which runs backwards from its last sample if it is active."""
        n = batch.lengths.unsqueeze(-1)
        active, nothing = _beside(params, n), torch.zeros_like(n)
        last = torch.where(active, (n - 1).clamp(min=0), 0)
        return pieces(batch, nothing, n, last, torch.where(active, -1, 1))


class ChunkSwap(Augment):
    """Cuts each item into chunks of equal length and puts them together in a drawn order.

    Chunk j goes from sample ``j * n // n_chunks`` on. All orders are equally likely, the item's own too.

    Args:
        n_chunks: how many, at least 2.
        p: probability that an item is changed.
        seed: makes two swaps differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item together.

    Padding:
        Never enters an item. 0 past each length.

    Raises:
        ValueError: fewer than 2 chunks, a probability outside 0..1.

    Matches:
        ``numpy.concatenate`` of the chunks, bitwise (tests/augment/test_timing.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.ChunkSwap(n_chunks=2)(torch.arange(6.0)).sort().values
        tensor([0., 1., 2., 3., 4., 5.])
    """

    def __init__(self, *, n_chunks: int = 4, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.n_chunks = checks.integer("ChunkSwap", "n_chunks", n_chunks, low=2)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active``, bool ``[B]``, and ``order``, int64 ``[B, n_chunks]``: the chunks as they follow."""
        unit = self.uniform(ids, key, 1 + self.n_chunks)
        return {"active": unit[:, 0] < self.p, "order": unit[:, 1:].argsort(stable=True)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with the chunks of each active item in their drawn order."""
        start, end, place = self._chunks(batch, params)
        return batch._replace(data=placed(batch.data, start, end, place, batch.data.shape[-1]))

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns the chunks of each item."""
        start, end, place = self._chunks(batch, params)
        return pieces(batch, start, end, place, torch.ones_like(start))

    def _chunks(self, batch: PaddedBatch, params: Params) -> tuple[Tensor, Tensor, Tensor]:
        n = batch.lengths.unsqueeze(-1)
        order = column(params["order"], torch.int64).to(n.device, non_blocking=True)
        order = torch.where(_beside(params, n), order, torch.arange(self.n_chunks, device=n.device))
        start, end = order * n // self.n_chunks, (order + 1) * n // self.n_chunks
        return start, end, (end - start).cumsum(-1) - (end - start)


def _beside(params: Params, like: Tensor) -> Tensor:
    """Returns which items are active, bool ``[B, 1]`` beside ``like``."""
    return column(params["active"], torch.bool).to(like.device, non_blocking=True).unsqueeze(-1)
