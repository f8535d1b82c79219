"""Augmentations that change the balance of frequencies."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column, known_rate
from ontheflyspec.augment.filtering import (
    LOWEST,
    Span,
    below_half,
    between_mels,
    corners,
    filtered,
    longest,
    traced_once,
)
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.filtering import emphasise, peaking, shelf, tails, warped

_SHELF, _BELL = (0.1, 0.999), (0.5, 5.0)
_BANDS: tuple[tuple[Span, Span], ...] = (
    ((42.0, 95.0), _SHELF),
    ((91.0, 204.0), _BELL),
    ((196.0, 441.0), _BELL),
    ((421.0, 948.0), _BELL),
    ((909.0, 2045.0), _BELL),
    ((1957.0, 4404.0), _BELL),
    ((4216.0, 9486.0), _SHELF),
)
"""Ranges in Hz and of the steepness of the bands of `SevenBandEQ`."""


class PeakingEQ(Augment):
    """Raises or lowers what lies around a drawn frequency, by a drawn number of decibels.

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

    by_rows = True

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

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``center_hz``, ``gain_db`` and ``q`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 4)
        drawn = {"active": unit[:, 0] < self.p, "center_hz": between_mels(unit[:, 1], self.center_hz)}
        return {**drawn, "gain_db": between(unit[:, 2], self.gain_db), "q": between(unit[:, 3], self.q)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item after its filter."""
        below_half("PeakingEQ", batch, "center_hz", self.center_hz, "a frequency in Hz")
        names = ("center_hz", "gain_db", "q")
        return filtered(batch, params, self._design, names, self._longest, zero_phase=False)

    def _design(self, rate: float, center_hz: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
        return peaking(warped(center_hz, rate), gain_db, q)

    @traced_once
    def _longest(self, rate: float) -> int:
        return longest(self._design, rate, self.center_hz, self.gain_db, self.q)


class SevenBandEQ(Augment):
    """Changes the balance of frequencies, as an equaliser with seven knobs turned at random.

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

    by_rows = True

    def __init__(self, *, gain_db: float | Span = (-12.0, 12.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.gain_db = checks.span("SevenBandEQ", "gain_db", gain_db, low=-60.0, high=60.0)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active``, bool ``[B]``; ``center_hz``, ``gain_db`` and ``q``, float64 ``[B, 7]`` each."""
        unit = self.uniform(ids, key, 1 + 3 * len(_BANDS))
        centres, gains, steepness = unit[:, 1:].reshape(-1, 3, len(_BANDS)).unbind(1)
        centers = [between_mels(part, hertz) for part, (hertz, _) in zip(centres.unbind(1), _BANDS, strict=True)]
        q = [between(part, span) for part, (_, span) in zip(steepness.unbind(1), _BANDS, strict=True)]
        gain_db = between(gains, self.gain_db)
        drawn = {"active": unit[:, 0] < self.p, "center_hz": torch.stack(centers, 1)}
        return {**drawn, "gain_db": gain_db, "q": torch.stack(q, 1)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item after its seven filters."""
        known_rate("SevenBandEQ", batch, "frequencies in Hz")
        names = ("center_hz", "gain_db", "q")
        return filtered(batch, params, self._design, names, self._longest, zero_phase=False)

    def _design(self, rate: float, center_hz: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
        bands = list(zip(warped(center_hz, rate).unbind(1), gain_db.unbind(1), q.unbind(1), strict=True))
        bells = [peaking(*band) for band in bands[1:-1]]
        return torch.cat([shelf(*bands[0], "low"), *bells, shelf(*bands[-1], "high")], 1)

    @traced_once
    def _longest(self, rate: float) -> int:
        ends = [column(corners(hertz, self.gain_db, q), torch.float64) for hertz, q in _BANDS]
        return int(tails(self._design(rate, *torch.stack(ends, -1))).max())


class PreEmphasis(Augment):
    """Raises high frequencies by taking off each sample a share of the one before it.

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

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``coefficient`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "coefficient": between(unit[:, 1], self.coefficient)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with the high frequencies of each active item raised."""
        active, drawn = column(params["active"], torch.bool), column(params["coefficient"], torch.float64)
        return batch._replace(data=emphasise(batch.data, batch.lengths, torch.where(active, drawn, 0)))
