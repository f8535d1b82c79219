"""Gain envelopes: gain transitions, fade-in and fade-out."""

from __future__ import annotations

import torch

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, fraction, uniform
from ontheflyspec.functional.envelopes import SHAPES, fade, glide
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info


class GainTransition(Augment):
    """Gain transition: each item's level moves from one drawn gain to another, as by the turn of a knob.

    The gain moves linearly in dB, over a drawn time that begins anywhere in the item where it fits; it takes the whole
    item if that is shorter. The batch must know its rate.

    Args:
        gain_db: range in dB that the gains before and after are drawn from, uniformly and each for itself.
        duration_s: range in seconds that the time of the move is drawn from, uniformly; 0 or more.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one curve an item over all its channels.

    Padding:
        Ignored; 0 past each length.

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

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``gain_db`` (before and after), ``duration_s`` and ``start``.

        The last one is a share of the places where the move fits into the item.
        """
        return {"gain_db": uniform(self.gain_db, 2), "duration_s": uniform(self.duration_s), "start": fraction()}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that moves the gain of the active items."""
        width = params["duration_s"] * info.known_rate("a time in seconds")
        return info.edit(glide, params["active"], gains_db=params["gain_db"], start=params["start"], width=width)


class Fade(Augment):
    """Fade-in and fade-out of each item, out of silence and back into it.

    Times are rounded to whole samples, and cut to the item. The first sample of a rise and the last one of a fall are
    0, as those of torchaudio's. The batch must know its rate.

    Args:
        fade_in_s: range in seconds that the time of the rise is drawn from, uniformly; 0 or more.
        fade_out_s: range in seconds that the time of the fall is drawn from, likewise.
        shape: ``"linear"``, ``"exponential"``, ``"logarithmic"``, ``"quarter_sine"`` or ``"half_sine"``.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one pair of times an item over all its channels.

    Padding:
        Ignored; 0 past each length.

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

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``fade_in_s`` and ``fade_out_s``."""
        return {"fade_in_s": uniform(self.fade_in_s), "fade_out_s": uniform(self.fade_out_s)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that fades the active items in and out."""
        active, rate = params["active"], info.known_rate("fades in seconds")
        rise, fall = (active * torch.round(params[name] * rate).long() for name in ("fade_in_s", "fade_out_s"))
        return info.edit(fade, None, rise=rise, fall=fall, shape=self.shape)
