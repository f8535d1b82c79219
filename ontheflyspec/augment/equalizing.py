"""Equalisers: peaking filter, low and high shelf, seven-band parametric equaliser; pre-emphasis."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.band_filters import Filter
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, uniform
from ontheflyspec.functional.filter_designs import Design, digital
from ontheflyspec.functional.filtering import emphasise, peaking, shelf, warped
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info

_HERTZ = ((42, 95), (91, 204), (196, 441), (421, 948), (909, 2045), (1957, 4404), (4216, 9486))
_STEEPNESS = ((0.1, 0.999), *[(0.5, 5.0)] * 5, (0.1, 0.999))
"""Spans of the frequency in Hz and of the steepness of each band of `SevenBandEQ`."""


def seven_bands(rate: float, center_hz: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
    """Returns the sections of a low shelf, five peaking filters and a high shelf, from parameters ``[B, 7]``."""
    bands = list(zip(warped(center_hz, rate).unbind(1), gain_db.unbind(1), q.unbind(1), strict=True))
    bells = [peaking(*band) for band in bands[1:-1]]
    return torch.cat([shelf(*bands[0], "low"), *bells, shelf(*bands[-1], "high")], 1)


class PeakingEQ(Filter):
    """Peaking equaliser: a drawn gain around a drawn frequency.

    The filter runs over each item as one of hardware does; before an item there is silence. Frequencies above 0.49 of
    the rate count as that.

    Args:
        center_hz: range in Hz that the middle is drawn from, uniformly in mel; 1 Hz or more.
        gain_db: range in dB that the gain in the middle is drawn from, uniformly; within -60..60.
        q: range that the middle over the width is drawn from, uniformly; within 0.05..100.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside its limits, middles that all lie at or above half the
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
        self.center_hz, self.gain_db, self.q = self.checked_spans(center_hz=center_hz, gain_db=gain_db, q=q)

    def design(self) -> Design:
        """Returns the design of `peaking`."""
        return partial(digital, peaking)


class LowShelf(Filter):
    """Low shelving filter: a drawn gain for all frequencies below a drawn cut-off.

    Half the gain is reached at the cut-off. The filter runs over each item as one of hardware does; before an item
    there is silence. Cut-offs above 0.49 of the rate count as that.

    Args:
        cutoff_hz: range in Hz that the cut-off is drawn from, uniformly in mel; 1 Hz or more.
        gain_db: range in dB that the gain far below the cut-off is drawn from, uniformly; within -60..60.
        q: range that the steepness is drawn from, uniformly; 0.707 is the steepest without a bump. Within 0.05..100.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside its limits, cut-offs that all lie at or above half
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
        self.cutoff_hz, self.gain_db, self.q = self.checked_spans(cutoff_hz=cutoff_hz, gain_db=gain_db, q=q)

    def design(self) -> Design:
        """Returns the design of `shelf`."""
        return partial(digital, shelf, kind="low")


class HighShelf(Filter):
    """High shelving filter: a drawn gain for all frequencies above a drawn cut-off.

    Half the gain is reached at the cut-off. The filter runs over each item as one of hardware does; before an item
    there is silence. Cut-offs above 0.49 of the rate count as that.

    Args:
        cutoff_hz: range in Hz that the cut-off is drawn from, uniformly in mel; 1 Hz or more.
        gain_db: range in dB that the gain far above the cut-off is drawn from, uniformly; within -60..60.
        q: range that the steepness is drawn from, uniformly; 0.707 is the steepest without a bump. Within 0.05..100.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside its limits, cut-offs that all lie at or above half
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
        self.cutoff_hz, self.gain_db, self.q = self.checked_spans(cutoff_hz=cutoff_hz, gain_db=gain_db, q=q)

    def design(self) -> Design:
        """Returns the design of `shelf`."""
        return partial(digital, shelf, kind="high")


class SevenBandEQ(Filter):
    """Parametric equaliser of seven bands, as if all its knobs were turned at random.

    A low shelf, five bells and a high shelf in a row: the middles of each are drawn from its own range, evenly in mel
    (42 to 95, 91 to 204, 196 to 441, 421 to 948, 909 to 2045, 1957 to 4404 and 4216 to 9486 Hz). The filters run over
    each item as those of hardware do; before an item there is silence. Frequencies above 0.49 of the rate count as
    that.

    Args:
        gain_db: range in dB that the gain of each band is drawn from, uniformly; within -60..60.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Ignored; 0 past each length.

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
        (self.gain_db,) = self.checked_spans(gain_db=gain_db)
        self.spans = {"center_hz": _HERTZ, "gain_db": (self.gain_db,) * len(_HERTZ), "q": _STEEPNESS}

    def design(self) -> Design:
        """Returns the design of all bands in a row."""
        return seven_bands


class PreEmphasis(Augment):
    """First-order pre-emphasis: raises high frequencies.

    ``y[n] = x[n] - coefficient * x[n - 1]``, with silence before the item.

    Args:
        coefficient: range that the share is drawn from, uniformly; within 0..1.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one share an item over all its channels.

    Padding:
        Ignored; 0 past each length.

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
        """Returns the edit that filters the active items."""
        return info.edit(emphasise, None, coefficients=torch.where(params["active"], params["coefficient"], 0))
