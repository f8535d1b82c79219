"""Augmentations that raise or lower all frequencies on one side of another."""

from __future__ import annotations

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between
from ontheflyspec.augment.filtering import (
    LOWEST,
    Span,
    below_half,
    between_mels,
    filtered,
    longest,
    traced_once,
)
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.filtering import shelf, warped


class LowShelf(Augment):
    """Raises or lowers what lies below a drawn frequency, by a drawn number of decibels.

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

    by_rows = True

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

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``cutoff_hz``, ``gain_db`` and ``q`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 4)
        drawn = {"active": unit[:, 0] < self.p, "cutoff_hz": between_mels(unit[:, 1], self.cutoff_hz)}
        return {**drawn, "gain_db": between(unit[:, 2], self.gain_db), "q": between(unit[:, 3], self.q)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item after its filter."""
        below_half("LowShelf", batch, "cutoff_hz", self.cutoff_hz, "a cut-off in Hz")
        names = ("cutoff_hz", "gain_db", "q")
        return filtered(batch, params, self._design, names, self._longest, zero_phase=False)

    def _design(self, rate: float, cutoff_hz: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
        return shelf(warped(cutoff_hz, rate), gain_db, q, "low")

    @traced_once
    def _longest(self, rate: float) -> int:
        return longest(self._design, rate, self.cutoff_hz, self.gain_db, self.q)


class HighShelf(Augment):
    """Raises or lowers what lies above a drawn frequency, by a drawn number of decibels.

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

    by_rows = True

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

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``cutoff_hz``, ``gain_db`` and ``q`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 4)
        drawn = {"active": unit[:, 0] < self.p, "cutoff_hz": between_mels(unit[:, 1], self.cutoff_hz)}
        return {**drawn, "gain_db": between(unit[:, 2], self.gain_db), "q": between(unit[:, 3], self.q)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item after its filter."""
        below_half("HighShelf", batch, "cutoff_hz", self.cutoff_hz, "a cut-off in Hz")
        names = ("cutoff_hz", "gain_db", "q")
        return filtered(batch, params, self._design, names, self._longest, zero_phase=False)

    def _design(self, rate: float, cutoff_hz: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
        return shelf(warped(cutoff_hz, rate), gain_db, q, "high")

    @traced_once
    def _longest(self, rate: float) -> int:
        return longest(self._design, rate, self.cutoff_hz, self.gain_db, self.q)
