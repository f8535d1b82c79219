"""Augmentations that keep a part of each item, or make it longer with silence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, column, known_rate
from ontheflyspec.augment.moving import as_given, last_axis, pieces, table_for
from ontheflyspec.batch import PaddedBatch, as_tensor
from ontheflyspec.functional.stretches import loud_part, placed
from ontheflyspec.targets import Pieces


class RandomCrop(Augment):
    """Keeps a stretch of so many seconds of each item, from a drawn place; shorter items stay whole.

    Args:
        seconds: of the stretch, rounded to whole samples.
        sample_rate: Hz of the waveforms, so that bare Tensors can be cropped and `output_lengths` is known; batches of
            another rate raise. None takes the rate of each batch.
        p: probability that an item is changed.
        seed: makes two crops differ.

    Shape:
        ``[B, T]`` to the longest result, ``[B, C, T]`` and a Tensor ``[T]`` likewise; all channels of an item together.

    Padding:
        Never enters a crop; 0 past each new length.

    Raises:
        ValueError: seconds that are not above 0, a batch without a rate or of another one; `output_lengths` without a
            ``sample_rate``.

    Matches:
        Slices in numpy, bitwise (tests/augment/test_cropping.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(9_000), torch.randn(3_000)], rate=8_000)
        >>> ofs.augment.RandomCrop(seconds=0.5)(batch).lengths.tolist()
        [4000, 3000]
    """

    def __init__(self, *, seconds: float, sample_rate: float | None = None, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.seconds = checks.positive("RandomCrop", "seconds", seconds)
        self.sample_rate = None if sample_rate is None else checks.positive("RandomCrop", "sample_rate", sample_rate)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``start`` (float64), where among the possible starts, ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "start": unit[:, 1]}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item cropped."""
        start, size = self._kept(batch, params)
        data, longest = batch.data, torch.full(size.shape, batch.data.shape[-1], device="cpu")
        bound = _cropped(longest, params, wanted(self, self.seconds, batch))
        out = placed(data, start, start + size, torch.zeros_like(start), last_axis(size, bound))
        return batch._replace(data=out, lengths=size.squeeze(-1))

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns the lesser of n and the samples of a crop, for one table of `draw` if ``p`` is not 0 or 1."""
        table = table_for(self, params, fixed=True)
        if table is None:
            return lengths
        given = as_tensor(lengths, torch.int64)
        made = _cropped(given.unsqueeze(-1), table, wanted(self, self.seconds)).squeeze(-1)
        return as_given(made, lengths, params)

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns what is kept of each item, from 0 on."""
        start, size = self._kept(batch, params)
        return pieces(batch, start, start + size, torch.zeros_like(start), torch.ones_like(start))

    def _kept(self, batch: PaddedBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Returns first sample and samples of what is kept, ``[B, 1]`` each."""
        n = batch.lengths.unsqueeze(-1)
        size = _cropped(n, params, wanted(self, self.seconds, batch))
        return (_beside(params, "start", n) * (n - size + 1)).long(), size


class AdjustDuration(Augment):
    """Makes each item exactly so many seconds long: longer ones are cropped from a drawn place, shorter ones padded.

    Args:
        seconds: of each result, rounded to whole samples.
        position: where a shorter item lies among the silence: ``"start"``, ``"end"`` or ``"random"``.
        sample_rate: as in `RandomCrop`.
        p: probability that an item is changed.
        seed: makes two steps differ.

    Shape:
        ``[B, T]`` to ``[B, round(seconds * rate)]`` if all items are changed, ``[B, C, T]`` and a Tensor ``[T]``
        likewise; all channels of an item together.

    Padding:
        Never enters an item; the silence that is put beside it is part of it, as its new length says.

    Raises:
        ValueError: seconds that are not above 0, an unknown position, a batch without a rate or of another one;
            `output_lengths` without a ``sample_rate``.

    Matches:
        Slices in numpy, bitwise (tests/augment/test_cropping.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.randn(9_000), torch.randn(3_000)], rate=8_000)
        >>> ofs.augment.AdjustDuration(seconds=0.5)(batch).lengths.tolist()
        [4000, 4000]
    """

    def __init__(
        self,
        *,
        seconds: float,
        position: str = "start",
        sample_rate: float | None = None,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        where = "AdjustDuration"
        self.seconds = checks.positive(where, "seconds", seconds)
        self.position = checks.choice(where, "position", position, ("start", "end", "random"))
        self.sample_rate = None if sample_rate is None else checks.positive(where, "sample_rate", sample_rate)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``start`` (float64), where among the possible starts, ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "start": unit[:, 1]}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item cropped or padded."""
        size = wanted(self, self.seconds, batch)
        lengths = _adjusted(batch.lengths, params, size)
        longest = torch.full(lengths.shape, batch.data.shape[-1], device="cpu")
        start, end, place = self._kept(batch, params)
        out = placed(batch.data, start, end, place, last_axis(lengths, _adjusted(longest, params, size)))
        return batch._replace(data=out, lengths=lengths)

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns ``round(seconds * rate)``, for one table of `draw` if ``p`` is not 0 or 1."""
        table = table_for(self, params, fixed=True)
        if table is None:
            return lengths
        given = as_tensor(lengths, torch.int64)
        return as_given(_adjusted(given, table, wanted(self, self.seconds)), lengths, params)

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns what is kept of each item, where it lies."""
        start, end, place = self._kept(batch, params)
        return pieces(batch, start, end, place, torch.ones_like(start))

    def _kept(self, batch: PaddedBatch, params: Params) -> tuple[Tensor, Tensor, Tensor]:
        n = batch.lengths.unsqueeze(-1)
        size = _adjusted(n, {"active": _beside(params, "active", n)}, wanted(self, self.seconds, batch))
        free = (_beside(params, "start", n) * ((n - size).abs() + 1)).long()
        gap = (size - n).clamp(min=0)
        place = {"start": torch.zeros_like(gap), "end": gap, "random": torch.minimum(free, gap)}[self.position]
        start = torch.where(n > size, free, 0)
        return start, start + torch.minimum(n, size), place


class TrimSilence(Augment):
    """Cuts what is silent off both ends of each item, as ``librosa.effects.trim`` does, by the item's own peak.

    What is kept goes from the first to the last frame whose root mean square, in any channel, lies less than
    ``top_db`` below that of the item's loudest frame. An item that is silent throughout stays whole, as in librosa.
    Nothing is drawn but which items are trimmed. New lengths depend on the samples: they come back on the device of
    the samples, where nobody asks for them, and the last axis then stays as it is.

    Args:
        top_db: how far below the loudest frame silence begins, in dB.
        frame_length: samples of a frame.
        hop_length: samples between frames, to which the cuts are rounded.
        p: probability that an item is changed.
        seed: makes two steps differ.

    Shape:
        ``[B, T]`` to the longest result, ``[B, C, T]`` and a Tensor ``[T]`` likewise; all channels of an item together.

    Padding:
        Left out; 0 past each new length.

    Raises:
        ValueError: an option that is not above 0; `output_lengths` of lengths alone.

    Matches:
        ``librosa.effects.trim`` of each item alone, bitwise (tests/augment/test_cropping.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.nn.functional.pad(torch.sin(torch.arange(20_000.0)), (30_000, 10_000))
        >>> ofs.augment.TrimSilence()(tone).shape
        torch.Size([22016])
    """

    def __init__(
        self,
        *,
        top_db: float = 60.0,
        frame_length: int = 2048,
        hop_length: int = 512,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.top_db = checks.positive("TrimSilence", "top_db", top_db)
        self.frame_length = checks.integer("TrimSilence", "frame_length", frame_length)
        self.hop_length = checks.integer("TrimSilence", "hop_length", hop_length)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``[B]``."""
        return {"active": self.uniform(ids, key, 1)[:, 0] < self.p}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item trimmed."""
        start, end = self._kept(batch, params)
        size = end - start
        longest = last_axis(size, torch.full((1, 1), batch.data.shape[-1], device="cpu"))
        out = placed(batch.data, start, end, torch.zeros_like(start), longest)
        return batch._replace(data=out, lengths=size.squeeze(-1))

    def output_lengths(self, lengths: Any, params: Params | None = None) -> Any:
        """Returns lengths as they are in eval mode; else raises, as they depend on the samples."""
        if params is None and (not self.training or self.p == 0):
            return lengths
        rule, remedy = "samples, which new lengths depend on", "Take the lengths of the batch that comes out."
        raise ValueError(checks.message("TrimSilence", rule, "lengths alone", remedy))

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces:
        """Returns what is kept of each item, from 0 on."""
        start, end = self._kept(self.checked(batch), params)
        return pieces(batch, start, end, torch.zeros_like(start), torch.ones_like(start))

    def _kept(self, batch: PaddedBatch, params: Params) -> tuple[Tensor, Tensor]:
        options: Any = {"top_db": self.top_db, "frame_length": self.frame_length, "hop_length": self.hop_length}
        start, end = loud_part(batch.data, batch.lengths, **options)
        active = column(params["active"], torch.bool).to(start.device, non_blocking=True)
        n = batch.lengths.to(start.device, non_blocking=True)
        return torch.where(active, start, 0).unsqueeze(-1), torch.where(active, end, n).unsqueeze(-1)


def wanted(step: Augment, seconds: float, batch: PaddedBatch | None = None) -> int:
    """Returns samples for seconds at the rate of a step or of a batch, which must agree, at least 1."""
    where, rate = type(step).__name__, step.sample_rate
    if batch is not None:
        known = known_rate(where, batch, "a duration in seconds")
        if rate is not None:
            checks.sample_rate(where, rate, known)
        rate = known
    if rate is None:
        remedy = f"Make it with {where}(sample_rate=...)."
        raise ValueError(checks.message(where, "a sample_rate, to know lengths without a batch", "none", remedy))
    return max(round(seconds * rate), 1)


def _beside(params: Params, name: str, like: Tensor) -> Tensor:
    """Returns one row of a table as ``[B, 1]`` beside ``like``."""
    values = column(params[name], torch.bool if name == "active" else torch.float64)
    return values.to(like.device, non_blocking=True).unsqueeze(-1)


def _cropped(n: Tensor, params: Params, size: int) -> Tensor:
    """Returns lengths of crops for lengths ``[B, 1]`` or, with a table of all items, ``[..., 1]``."""
    return torch.where(_beside(params, "active", n), n.clamp(max=size), n)


def _adjusted(n: Tensor, params: Params, size: int) -> Tensor:
    return torch.where(column(params["active"], torch.bool).to(n.device, non_blocking=True), size, n)
