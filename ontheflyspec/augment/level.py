"""Augmentations of level: gain and polarity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column
from ontheflyspec.batch import PaddedBatch, per_item
from ontheflyspec.functional.masking import scale_items
from ontheflyspec.functional.waveform import db_to_amplitude


class Gain(Augment):
    """Makes each item louder or softer by a drawn number of decibels.

    Args:
        gain_db: range in dB that the gain is drawn from, evenly; one number for a fixed gain.
        p: probability that an item is changed.
        seed: makes two gains differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one gain an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, a probability outside 0..1.

    Matches:
        ``10 ** (gain_db / 20)`` times the samples, 1e-6 (tests/augment/test_level.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.Gain(gain_db=20.0)(torch.tensor([0.01, -0.02]))
        tensor([ 0.1000, -0.2000])
    """

    by_rows = True

    def __init__(self, *, gain_db: float | tuple[float, float] = (-12.0, 6.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.gain_db = checks.span("Gain", "gain_db", gain_db)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``gain_db`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "gain_db": between(unit[:, 1], self.gain_db)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each item at its drawn level."""
        gain_db = torch.where(column(params["active"], torch.bool), column(params["gain_db"], torch.float64), 0)
        gain = per_item(db_to_amplitude(gain_db), batch.data)
        return batch._replace(data=scale_items(batch.data, batch.lengths, gain))


class PolarityInversion(Augment):
    """Turns waveforms upside down: the same sound to the ear, other numbers to a network.

    Args:
        p: probability that an item is inverted; 0.5 makes both polarities equally likely.
        seed: makes two inversions differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item together.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a probability outside 0..1.

    Matches:
        ``-samples``, bitwise (tests/augment/test_level.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.PolarityInversion()(torch.tensor([0.5, -1.0]))
        tensor([-0.5000,  1.0000])
    """

    by_rows = True

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``[B]``."""
        return {"active": self.uniform(ids, key, 1)[:, 0] < self.p}

    def change(self, batch: PaddedBatch, params: dict[str, Any]) -> PaddedBatch:
        """Returns the batch with its active items inverted."""
        sign = torch.where(column(params["active"], torch.bool), -1, 1)
        return batch._replace(data=scale_items(batch.data, batch.lengths, per_item(sign, batch.data)))
