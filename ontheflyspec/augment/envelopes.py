"""Augmentations whose level moves within an item."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column, known_rate
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.envelopes import SHAPES, fade, glide

Span = tuple[float, float]


class GainTransition(Augment):
    """Lets the level of each item move from one drawn gain to another, as when somebody turns a knob.

    The gain moves evenly in dB, over a drawn time that begins anywhere in the item where it fits; it takes the whole
    item if that is shorter. The batch must know its rate.

    Args:
        gain_db: range in dB that the gains before and after are drawn from, evenly and each for itself.
        duration_s: range in seconds that the time of the move is drawn from, evenly; 0 or more.
        p: probability that an item is changed.
        seed: makes two differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one curve an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, a time below 0, a time with one gain alone, a probability outside 0..1,
            a batch without a rate.

    Matches:
        The curve written in numpy, on the item alone, 1e-6 (tests/augment/test_envelopes.py).

    References:
        Ranges are those of audiomentations' GainTransition, whose moves may begin before an item or end after it.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> torch.manual_seed(0).initial_seed()
        0
        >>> out = ofs.augment.GainTransition(gain_db=(-20.0, 0.0))(ofs.pad([torch.ones(160_000)], rate=16_000)).data[0]
        >>> bool(((out >= 0.1) & (out <= 1)).all()), bool(out[0] != out[-1])
        (True, True)
    """

    def __init__(
        self,
        *,
        gain_db: float | Span = (-24.0, 6.0),
        duration_s: float | Span = (0.2, 6.0),
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.gain_db = checks.span("GainTransition", "gain_db", gain_db)
        self.duration_s = checks.span("GainTransition", "duration_s", duration_s, low=0.0)
        if self.gain_db[0] == self.gain_db[1]:
            checks.unused("GainTransition", "a range of gains", {"duration_s": duration_s}, duration_s=(0.2, 6.0))

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``gain_db`` (before and after, float64 ``[B, 2]``), ``duration_s`` and ``start``.

        The last two are float64 ``[B]``; ``start`` is a share of the places where the move fits into the item.
        """
        unit = self.uniform(ids, key, 5)
        gain_db, duration_s = between(unit[:, 1:3], self.gain_db), between(unit[:, 3], self.duration_s)
        return {"active": unit[:, 0] < self.p, "gain_db": gain_db, "duration_s": duration_s, "start": unit[:, 4]}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with the level of each active item on the move."""
        rate = known_rate("GainTransition", batch, "a time in seconds")
        numbers = (column(params[name], torch.float64) for name in ("gain_db", "start", "duration_s"))
        gains_db, start, duration_s = numbers
        active = column(params["active"], torch.bool)
        return batch._replace(data=glide(batch.data, batch.lengths, gains_db, start, duration_s * rate, active))


class Fade(Augment):
    """Lets each item rise out of silence and fall back into it.

    Times are rounded to whole samples, and cut to the item. The first sample of a rise and the last one of a fall are
    0, as those of torchaudio's. The batch must know its rate.

    Args:
        fade_in_s: range in seconds that the time of the rise is drawn from, evenly; 0 or more.
        fade_out_s: range in seconds that the time of the fall is drawn from, likewise.
        shape: ``"linear"``, ``"exponential"``, ``"logarithmic"``, ``"quarter_sine"`` or ``"half_sine"``.
        p: probability that an item is changed.
        seed: makes two differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one pair of times an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, a time below 0, an unknown shape, a probability outside 0..1,
            a batch without a rate.

    Matches:
        ``torchaudio.transforms.Fade`` on the item alone, 1e-6 (tests/augment/test_envelopes.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.Fade(fade_in_s=0.3, fade_out_s=0.2)(ofs.pad([torch.ones(6)], rate=10)).data
        tensor([[0.0000, 0.5000, 1.0000, 1.0000, 1.0000, 0.0000]])
    """

    def __init__(
        self,
        *,
        fade_in_s: float | Span = (0.0, 0.1),
        fade_out_s: float | Span = (0.0, 0.1),
        shape: str = "linear",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.fade_in_s = checks.span("Fade", "fade_in_s", fade_in_s, low=0.0)
        self.fade_out_s = checks.span("Fade", "fade_out_s", fade_out_s, low=0.0)
        self.shape = checks.choice("Fade", "shape", shape, SHAPES)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``fade_in_s`` and ``fade_out_s`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 3)
        rise, fall = between(unit[:, 1], self.fade_in_s), between(unit[:, 2], self.fade_out_s)
        return {"active": unit[:, 0] < self.p, "fade_in_s": rise, "fade_out_s": fall}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item between its fades."""
        rate, active = known_rate("Fade", batch, "fades in seconds"), column(params["active"], torch.bool)
        seconds = (column(params[name], torch.float64) for name in ("fade_in_s", "fade_out_s"))
        rise, fall = (torch.where(active, torch.round(values * rate).long(), 0) for values in seconds)
        return batch._replace(data=fade(batch.data, batch.lengths, rise, fall, self.shape))
