"""Augmentations that bring items to a level."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column, known_rate
from ontheflyspec.batch import PaddedBatch, per_item
from ontheflyspec.functional.fourier import safe_sqrt
from ontheflyspec.functional.loudness import bring_to, loudness_amplitude, valid_peak
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.functional.waveform import db_to_amplitude

Span = tuple[float, float]


def _at_level(batch: PaddedBatch, active: Any, level: Tensor, target_db: Any) -> PaddedBatch:
    """Returns a batch whose active items are brought from measured levels to those of a table, in dB."""
    target = per_item(db_to_amplitude(column(target_db, torch.float64)), batch.data)
    chosen = per_item(column(active, torch.bool), batch.data) != 0
    return batch._replace(data=bring_to(batch.data, batch.lengths, level, target, chosen))


class PeakNormalize(Augment):
    """Brings the largest magnitude of each item to a level.

    Silence stays silence.

    Args:
        peak_db: range in dB that the level is drawn from, evenly; 0 is full scale, a magnitude of 1.
        p: probability that an item is changed.
        seed: makes two differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one factor an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, a probability outside 0..1.

    Matches:
        ``samples / max |samples| * 10 ** (peak_db / 20)`` of the item alone, 1e-6
        (tests/augment/test_loudness.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.PeakNormalize()(torch.tensor([0.1, -0.2]))
        tensor([ 0.5000, -1.0000])
    """

    def __init__(self, *, peak_db: float | Span = 0.0, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.peak_db = checks.span("PeakNormalize", "peak_db", peak_db)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``peak_db`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "peak_db": between(unit[:, 1], self.peak_db)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item at its drawn level."""
        peak = valid_peak(batch.data, batch.lengths)
        return _at_level(batch, params["active"], peak, params["peak_db"])


class RMSNormalize(Augment):
    """Brings the root mean square of each item to a drawn level.

    Silence stays silence. Peaks above full scale are not cut off.

    Args:
        rms_db: range in dB that the level is drawn from, evenly; 0 is a root mean square of 1.
        p: probability that an item is changed.
        seed: makes two differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one factor an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, a probability outside 0..1.

    Matches:
        ``samples / sqrt(mean(samples ** 2)) * 10 ** (rms_db / 20)`` of the item alone, 1e-6
        (tests/augment/test_loudness.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.RMSNormalize(rms_db=-20.0)(torch.tensor([0.5, -0.5]))
        tensor([ 0.1000, -0.1000])
    """

    def __init__(self, *, rms_db: float | Span = (-30.0, -15.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.rms_db = checks.span("RMSNormalize", "rms_db", rms_db)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``rms_db`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "rms_db": between(unit[:, 1], self.rms_db)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item at its drawn level."""
        rms = safe_sqrt(valid_power(batch.data, batch.lengths))
        return _at_level(batch, params["active"], rms, params["rms_db"])


class LoudnessNormalize(Augment):
    """Brings the loudness of each item to a drawn level.

    Loudness is measured as ITU-R BS.1770-4 has it: filtered as the ear hears, in blocks of 0.4 s that begin every
    0.1 s, over those above -70 LUFS and above 10 LU below the mean of these. An item shorter than a block is measured
    as a whole, without gates. All channels weigh the same, as left, right and centre do. Silence, and what lies below
    -70 LUFS throughout, stays as it is. Peaks above full scale are not cut off.

    Args:
        loudness_lufs: range in LUFS that the loudness is drawn from, evenly.
        p: probability that an item is changed.
        seed: makes two differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one factor an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, a probability outside 0..1, a batch without a rate.

    Matches:
        The standard written in numpy, and ``torchaudio.functional.loudness``: 0.1 LU
        (tests/augment/test_loudness.py).

    References:
        ITU-R BS.1770-4, "Algorithms to measure audio programme loudness and true-peak audio level", 2015. The range is
        that of audiomentations' LoudnessNormalization.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tone = torch.sin(2 * torch.pi * 997 / 16_000 * torch.arange(16_000.0))
        >>> quiet = ofs.augment.LoudnessNormalize(loudness_lufs=-23.01)(ofs.pad([tone], rate=16_000)).data
        >>> round(quiet.max().item(), 2)  # the tone itself has -3.01 LUFS
        0.1
    """

    def __init__(self, *, loudness_lufs: float | Span = (-31.0, -13.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.loudness_lufs = checks.span("LoudnessNormalize", "loudness_lufs", loudness_lufs)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``loudness_lufs`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "loudness_lufs": between(unit[:, 1], self.loudness_lufs)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item at its drawn level."""
        rate, active = known_rate("LoudnessNormalize", batch, "blocks of 0.4 s"), column(params["active"], torch.bool)
        loudness = loudness_amplitude(batch.data, batch.lengths, rate, active)
        return _at_level(batch, active, loudness, params["loudness_lufs"])
