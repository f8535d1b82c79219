"""Augmentations that add noises which come and go."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.banks import Bank, check_match, checked_bank, look_up, pick
from ontheflyspec.augment.base import Augment, Params, between, column
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.bursts import Bursts, add_bursts


class ShortNoises(Augment):
    """Adds several short noises, one after the other, with gaps between them.

    Each noise has a recording, a duration, a gap before it and a signal-to-noise ratio of its own. A recording that is
    longer than the drawn duration is cut from a drawn place, a shorter one sounds as long as it is. Noises rise and
    fall over ``fade_s`` by a quarter of a sine. What begins within the item is cut at its end.

    The ratio is that of the power of the whole item to the power of the noise over the time that it lasts, and holds
    exactly. Silence stays silence, and a silent noise adds nothing. Noises follow each other from the item's start
    until they come to its end or to ``max_noises``: they lie as densely in short items as in long ones.

    Args:
        bank: the noises, a `WaveformBank` of one channel (the same noise in all channels of an item) or of as many as
            the batch has.
        snr_db: range in dB that each ratio is drawn from, evenly.
        gap_s: range in seconds that the time between two noises is drawn from, evenly; the time before the first is
            drawn from 0 to the upper end.
        duration_s: range in seconds that the longest duration of each noise is drawn from, evenly.
        fade_s: seconds over which a noise rises and falls, half of it at most.
        max_noises: most noises of one item.
        p: probability that an item is changed.
        seed: makes two draws differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Left out of the power; no noise goes there; 0 past each length.

    Raises:
        ValueError: a range with low above high, times below 0, no noises, a probability outside 0..1; when called, a
            batch of another rate, channels or device than the bank.
        TypeError: no bank.

    Matches:
        Noises added one by one in numpy, 1e-6 of the peak; each ratio to 1e-3 dB (tests/augment/test_bursts.py).

    References:
        AddShortNoises of audiomentations, without its bursts.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> clicks = ofs.WaveformBank([torch.randn(800) for _ in range(5)], rate=16_000)
        >>> wave = torch.randn(80_000)
        >>> changed = ofs.augment.ShortNoises(clicks, gap_s=1.0)(wave) != wave
        >>> int(changed.sum()) in (3_200, 4_000)
        True
    """

    def __init__(
        self,
        bank: Bank,
        *,
        snr_db: float | tuple[float, float] = (0.0, 24.0),
        gap_s: float | tuple[float, float] = (0.5, 4.0),
        duration_s: float | tuple[float, float] = (0.1, 1.0),
        fade_s: float = 0.02,
        max_noises: int = 16,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        where = "ShortNoises"
        self.bank = checked_bank(where, bank)
        self.snr_db = checks.span(where, "snr_db", snr_db)
        self.gap_s = checks.span(where, "gap_s", gap_s, low=0.0)
        self.duration_s = checks.span(where, "duration_s", duration_s, low=0.0)
        self.fade_s = checks.number(where, "fade_s", fade_s, low=0.0)
        self.max_noises = checks.integer(where, "max_noises", max_noises)
        self.sample_rate = bank.rate

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active``, ``[B]``; ``file`` (counts round), ``offset`` and what lies in the ranges, ``[B, k]``."""
        unit = self.uniform(ids, key, 1 + 5 * self.max_noises)
        file, offset, gap, duration, snr = unit[:, 1:].reshape(-1, self.max_noises, 5).unbind(-1)
        gaps = torch.cat([between(gap[:, :1], (0.0, self.gap_s[1])), between(gap[:, 1:], self.gap_s)], 1)
        return {
            "active": unit[:, 0] < self.p,
            "file": pick(file, self.bank),
            "offset": offset,
            "gap_s": gaps,
            "duration_s": between(duration, self.duration_s),
            "snr_db": between(snr, self.snr_db),
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with noises in its active items."""
        check_match("ShortNoises", self.bank, batch)
        rate = self.bank.rate
        names = ("offset", "gap_s", "duration_s", "snr_db")
        offset, gap_s, duration_s, snr_db = (column(params[name], torch.float64) for name in names)
        bursts = Bursts(
            self.bank.samples,
            *look_up(self.bank, params["file"]),
            offset,
            torch.round(gap_s * rate).long(),
            torch.round(duration_s * rate).long().clamp(min=1),
            snr_db,
            self.bank.channels,
            round(self.fade_s * rate),
        )
        data = add_bursts(batch.data, batch.lengths, bursts, column(params["active"], torch.bool))
        return batch._replace(data=data)
