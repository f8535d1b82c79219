"""Equalisers: bells, shelves, seven bands in a row, pre-emphasis."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.band_filters import LOWEST, digital, filtered
from ontheflyspec.augment.base import Augment, Info
from ontheflyspec.augment.ranges import Params, Range, Span, mels, uniform
from ontheflyspec.functional.filtering import emphasise, peaking, shelf, warped
from ontheflyspec.op import Edit

_HERTZ = ((42, 95), (91, 204), (196, 441), (421, 948), (909, 2045), (1957, 4404), (4216, 9486))
_STEEPNESS = ((0.1, 0.999), *[(0.5, 5.0)] * 5, (0.1, 0.999))
"""Ranges of the bands of `SevenBandEQ`."""


def seven_bands(rate: float, center_hz: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
    """Returns the sections of a shelf, five bells and another shelf, of parameters ``[B, 7]``."""
    bands = list(zip(warped(center_hz, rate).unbind(1), gain_db.unbind(1), q.unbind(1), strict=True))
    bells = [peaking(*band) for band in bands[1:-1]]
    return torch.cat([shelf(*bands[0], "low"), *bells, shelf(*bands[-1], "high")], 1)


def side_by_side(ranges: Sequence[Range]) -> Range:
    """Returns a range of ``[B, k]`` parameters, each from its own range of one float64."""

    def make(unit: Tensor, before: Params) -> Tensor:
        return torch.stack([one.make(unit[:, k : k + 1], before) for k, one in enumerate(ranges)], 1)

    return Range(len(ranges), torch.float64, make)


class PeakingEQ(Augment):
    """Peaking equaliser: a drawn gain around a drawn frequency.

    The filter runs over each item as one of hardware does; before an item there is silence. Frequencies above 0.49 of
    the rate count as that.

    Args:
        center_hz: range in Hz that the middle is drawn from, evenly in mel; 1 Hz or more.
        gain_db: range in dB that the gain in the middle is drawn from, evenly; within -60..60.
        q: range that the middle over the width is drawn from, evenly; within 0.05..100.
        p: probability that an item is changed.
        seed: makes two filters differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside what is said above, middles that all lie at or above half the
            rate, a batch without a rate.

    Matches:
        ``scipy.signal.sosfilt`` with the coefficients of the cookbook, on the item alone: 2e-6 of the peak, before
        or after (tests/augment/test_equalizing.py).

    References:
        Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients", peakingEQ. Ranges and
        distributions are those of audiomentations' PeakingFilter.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.1], [2.0]]) * torch.arange(8_000.0))
        >>> out = ofs.augment.PeakingEQ(center_hz=2_546.5, gain_db=20.0, q=0.7)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 1) for level in out[:, 2_000:].abs().amax(1).tolist()]
        [1.0, 10.0]
    """

    def __init__(
        self,
        *,
        center_hz: float | Span = (50.0, 7500.0),
        gain_db: float | Span = (-24.0, 24.0),
        q: float | Span = (0.5, 5.0),
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.center_hz = checks.span("PeakingEQ", "center_hz", center_hz, low=LOWEST)
        self.gain_db = checks.span("PeakingEQ", "gain_db", gain_db, low=-60.0, high=60.0)
        self.q = checks.span("PeakingEQ", "q", q, low=0.05, high=100.0)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``center_hz``, ``gain_db`` and ``q``."""
        return {"center_hz": mels(self.center_hz), "gain_db": uniform(self.gain_db), "q": uniform(self.q)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item after its filter."""
        spans = {"center_hz": self.center_hz, "gain_db": self.gain_db, "q": self.q}
        return filtered(info, params, partial(digital, peaking), spans, zero_phase=False)


class LowShelf(Augment):
    """Low shelving filter: a drawn gain for all frequencies below a drawn cut-off.

    Half the gain is reached at the cut-off. The filter runs over each item as one of hardware does; before an item
    there is silence. Cut-offs above 0.49 of the rate count as that.

    Args:
        cutoff_hz: range in Hz that the cut-off is drawn from, evenly in mel; 1 Hz or more.
        gain_db: range in dB that the gain far below the cut-off is drawn from, evenly; within -60..60.
        q: range that the steepness is drawn from, evenly; 0.707 is the steepest without a bump. Within 0.05..100.
        p: probability that an item is changed.
        seed: makes two filters differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside what is said above, cut-offs that all lie at or above half
            the rate, a batch without a rate.

    Matches:
        ``scipy.signal.sosfilt`` with the coefficients of the cookbook, on the item alone: 2e-6 of the peak, before
        or after (tests/augment/test_equalizing.py).

    References:
        Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients", lowShelf. Ranges and
        distributions are those of audiomentations' LowShelfFilter.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [2.0]]) * torch.arange(8_000.0))
        >>> out = ofs.augment.LowShelf(cutoff_hz=400.0, gain_db=20.0, q=0.7)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 1) for level in out[:, 2_000:].abs().amax(1).tolist()]
        [10.0, 1.0]
    """

    def __init__(
        self,
        *,
        cutoff_hz: float | Span = (50.0, 4000.0),
        gain_db: float | Span = (-18.0, 18.0),
        q: float | Span = (0.1, 0.999),
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.cutoff_hz = checks.span("LowShelf", "cutoff_hz", cutoff_hz, low=LOWEST)
        self.gain_db = checks.span("LowShelf", "gain_db", gain_db, low=-60.0, high=60.0)
        self.q = checks.span("LowShelf", "q", q, low=0.05, high=100.0)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``cutoff_hz``, ``gain_db`` and ``q``."""
        return {"cutoff_hz": mels(self.cutoff_hz), "gain_db": uniform(self.gain_db), "q": uniform(self.q)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item after its filter."""
        spans = {"cutoff_hz": self.cutoff_hz, "gain_db": self.gain_db, "q": self.q}
        return filtered(info, params, partial(digital, shelf, kind="low"), spans, zero_phase=False)


class HighShelf(Augment):
    """High shelving filter: a drawn gain for all frequencies above a drawn cut-off.

    Half the gain is reached at the cut-off. The filter runs over each item as one of hardware does; before an item
    there is silence. Cut-offs above 0.49 of the rate count as that.

    Args:
        cutoff_hz: range in Hz that the cut-off is drawn from, evenly in mel; 1 Hz or more.
        gain_db: range in dB that the gain far above the cut-off is drawn from, evenly; within -60..60.
        q: range that the steepness is drawn from, evenly; 0.707 is the steepest without a bump. Within 0.05..100.
        p: probability that an item is changed.
        seed: makes two filters differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside what is said above, cut-offs that all lie at or above half
            the rate, a batch without a rate.

    Matches:
        ``scipy.signal.sosfilt`` with the coefficients of the cookbook, on the item alone: 2e-6 of the peak, before
        or after (tests/augment/test_equalizing.py).

    References:
        Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients", highShelf. Ranges and
        distributions are those of audiomentations' HighShelfFilter.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [2.0]]) * torch.arange(8_000.0))
        >>> out = ofs.augment.HighShelf(cutoff_hz=400.0, gain_db=20.0, q=0.7)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 1) for level in out[:, 2_000:].abs().amax(1).tolist()]
        [1.0, 10.0]
    """

    def __init__(
        self,
        *,
        cutoff_hz: float | Span = (300.0, 7500.0),
        gain_db: float | Span = (-18.0, 18.0),
        q: float | Span = (0.1, 0.999),
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.cutoff_hz = checks.span("HighShelf", "cutoff_hz", cutoff_hz, low=LOWEST)
        self.gain_db = checks.span("HighShelf", "gain_db", gain_db, low=-60.0, high=60.0)
        self.q = checks.span("HighShelf", "q", q, low=0.05, high=100.0)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``cutoff_hz``, ``gain_db`` and ``q``."""
        return {"cutoff_hz": mels(self.cutoff_hz), "gain_db": uniform(self.gain_db), "q": uniform(self.q)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item after its filter."""
        spans = {"cutoff_hz": self.cutoff_hz, "gain_db": self.gain_db, "q": self.q}
        return filtered(info, params, partial(digital, shelf, kind="high"), spans, zero_phase=False)


class SevenBandEQ(Augment):
    """Parametric equaliser of seven bands, as if all its knobs were turned at random.

    A low shelf, five bells and a high shelf in a row: the middles of each are drawn from its own range, evenly in mel
    (42 to 95, 91 to 204, 196 to 441, 421 to 948, 909 to 2045, 1957 to 4404 and 4216 to 9486 Hz). The filters run over
    each item as those of hardware do; before an item there is silence. Frequencies above 0.49 of the rate count as
    that.

    Args:
        gain_db: range in dB that the gain of each band is drawn from, evenly; within -60..60.
        p: probability that an item is changed.
        seed: makes two equalisers differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside -60..60, a batch without a rate.

    Matches:
        ``scipy.signal.sosfilt`` with the coefficients of the cookbook, on the item alone: 5e-6 of the peak, before
        or after (tests/augment/test_equalizing.py).

    References:
        Ranges and distributions are those of audiomentations' SevenBandParametricEQ (steepness 0.1 to 0.999 for the
        shelves, 0.5 to 5 for the bells); filters by Bristow-Johnson's cookbook.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> same = ofs.augment.SevenBandEQ(gain_db=0.0)(ofs.pad([torch.ones(5)], rate=16_000)).data
        >>> bool((same - 1).abs().max() < 1e-5)
        True
    """

    def __init__(self, *, gain_db: float | Span = (-12.0, 12.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.gain_db = checks.span("SevenBandEQ", "gain_db", gain_db, low=-60.0, high=60.0)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``center_hz``, ``gain_db`` and ``q`` of the seven bands."""
        return {
            "center_hz": side_by_side([mels(span) for span in _HERTZ]),
            "gain_db": uniform(self.gain_db, len(_HERTZ)),
            "q": side_by_side([uniform(span) for span in _STEEPNESS]),
        }

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item after its seven filters."""
        spans = {"center_hz": _HERTZ, "gain_db": (self.gain_db,) * len(_HERTZ), "q": _STEEPNESS}
        return filtered(info, params, seven_bands, spans, zero_phase=False)


class PreEmphasis(Augment):
    """First-order pre-emphasis: raises high frequencies.

    ``y[n] = x[n] - coefficient * x[n - 1]``, with silence before the item.

    Args:
        coefficient: range that the share is drawn from, evenly; within 0..1.
        p: probability that an item is changed.
        seed: makes two differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one share an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside 0..1, a probability outside 0..1.

    Matches:
        ``scipy.signal.lfilter([1, -coefficient], 1, samples)``, 1e-6 (tests/augment/test_equalizing.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.PreEmphasis(coefficient=0.5)(torch.tensor([1.0, 1.0, 0.0]))
        tensor([ 1.0000,  0.5000, -0.5000])
    """

    def __init__(self, *, coefficient: float | Span = 0.97, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.coefficient = checks.span("PreEmphasis", "coefficient", coefficient, low=0.0, high=1.0)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``coefficient``."""
        return {"coefficient": uniform(self.coefficient)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item less a share of itself one sample later."""
        return info.edit(emphasise, None, coefficients=torch.where(params["active"], params["coefficient"], 0))
