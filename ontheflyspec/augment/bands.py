"""Augmentations that let a band of frequencies pass, or stop it."""

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
from ontheflyspec.functional.filtering import butterworth_band, warped

_LOWER_TOP = 0.44
"""Share of the rate that the lower edge of a band lies at most at, so that it stays below the upper one."""


def edges(center_hz: Tensor, bandwidth: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Returns the edges of bands as `butterworth_band` takes them."""
    half = center_hz * bandwidth / 2
    lower = warped((center_hz - half).clamp(min=LOWEST), rate, _LOWER_TOP)
    return lower, warped(center_hz + half, rate)


class BandPass(Augment):
    """Takes away what lies outside a drawn band.

    A Butterworth filter runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at both
    edges, and ``12 * order`` dB an octave beyond them. Before and after an item there is silence. A band of width 0.5
    around 1 kHz reaches from 750 to 1250 Hz; edges below 1 Hz count as that, as do upper ones above 0.49 of the rate
    and lower ones above 0.44 of it.

    Args:
        center_hz: range in Hz that the middle of the band is drawn from, evenly in mel; 1 Hz or more.
        bandwidth: range that the width of the band is drawn from, evenly, as a share of its middle; 0.01 to 1.99.
        order: the filter has twice as many poles, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at both edges, ``6 * order`` dB an octave.
        p: probability that an item is changed.
        seed: makes two filters differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside what is said above; middles that all lie at or above half the
            rate; an order outside 1..8; a batch without a rate.

    Matches:
        ``scipy.signal.butter(btype="bandpass")`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item
        alone: 2e-6 of the waveform's peak (tests/augment/test_filtering.py).

    References:
        Ranges and distributions are those of torch-audiomentations' BandPassFilter, the filter that of audiomentations.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [0.8]]) * torch.arange(8_000.0))
        >>> kept = ofs.augment.BandPass(center_hz=1_000.0, bandwidth=1.0)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 2) for level in kept[:, 1_000:7_000].abs().amax(1).tolist()]
        [0.0, 1.0]
    """

    by_rows = True

    def __init__(
        self,
        *,
        center_hz: float | Span = (200.0, 4000.0),
        bandwidth: float | Span = (0.5, 1.99),
        order: int = 2,
        zero_phase: bool = True,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.center_hz = checks.span("BandPass", "center_hz", center_hz, low=LOWEST)
        self.bandwidth = checks.span("BandPass", "bandwidth", bandwidth, low=0.01, high=1.99)
        self.order = checks.integer("BandPass", "order", order, high=8)
        self.zero_phase = bool(zero_phase)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``center_hz`` and ``bandwidth`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 3)
        center_hz, bandwidth = between_mels(unit[:, 1], self.center_hz), between(unit[:, 2], self.bandwidth)
        return {"active": unit[:, 0] < self.p, "center_hz": center_hz, "bandwidth": bandwidth}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item after its filter."""
        below_half("BandPass", batch, "center_hz", self.center_hz, "a band in Hz")
        names = ("center_hz", "bandwidth")
        return filtered(batch, params, self._design, names, self._longest, zero_phase=self.zero_phase)

    def _design(self, rate: float, center_hz: Tensor, bandwidth: Tensor) -> Tensor:
        return butterworth_band(*edges(center_hz, bandwidth, rate), self.order, "pass")

    @traced_once
    def _longest(self, rate: float) -> int:
        return longest(self._design, rate, self.center_hz, self.bandwidth)


class BandStop(Augment):
    """Takes away what lies inside a drawn band.

    A Butterworth filter runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at both
    edges, and ``12 * order`` dB an octave further in. Before and after an item there is silence. A band of width 0.5
    around 1 kHz reaches from 750 to 1250 Hz; edges below 1 Hz count as that, as do upper ones above 0.49 of the rate
    and lower ones above 0.44 of it.

    Args:
        center_hz: range in Hz that the middle of the band is drawn from, evenly in mel; 1 Hz or more.
        bandwidth: range that the width of the band is drawn from, evenly, as a share of its middle; 0.01 to 1.99.
        order: the filter has twice as many poles, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at both edges, ``6 * order`` dB an octave.
        p: probability that an item is changed.
        seed: makes two filters differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside what is said above; middles that all lie at or above half the
            rate; an order outside 1..8; a batch without a rate.

    Matches:
        ``scipy.signal.butter(btype="bandstop")`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item
        alone: 2e-6 of the waveform's peak (tests/augment/test_filtering.py).

    References:
        Ranges and distributions are those of torch-audiomentations' BandStopFilter, the filter that of audiomentations.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [0.8]]) * torch.arange(8_000.0))
        >>> kept = ofs.augment.BandStop(center_hz=1_000.0, bandwidth=1.0)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 2) for level in kept[:, 1_000:7_000].abs().amax(1).tolist()]
        [1.0, 0.0]
    """

    by_rows = True

    def __init__(
        self,
        *,
        center_hz: float | Span = (200.0, 4000.0),
        bandwidth: float | Span = (0.5, 1.99),
        order: int = 2,
        zero_phase: bool = True,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.center_hz = checks.span("BandStop", "center_hz", center_hz, low=LOWEST)
        self.bandwidth = checks.span("BandStop", "bandwidth", bandwidth, low=0.01, high=1.99)
        self.order = checks.integer("BandStop", "order", order, high=8)
        self.zero_phase = bool(zero_phase)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool), ``center_hz`` and ``bandwidth`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 3)
        center_hz, bandwidth = between_mels(unit[:, 1], self.center_hz), between(unit[:, 2], self.bandwidth)
        return {"active": unit[:, 0] < self.p, "center_hz": center_hz, "bandwidth": bandwidth}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item after its filter."""
        below_half("BandStop", batch, "center_hz", self.center_hz, "a band in Hz")
        names = ("center_hz", "bandwidth")
        return filtered(batch, params, self._design, names, self._longest, zero_phase=self.zero_phase)

    def _design(self, rate: float, center_hz: Tensor, bandwidth: Tensor) -> Tensor:
        return butterworth_band(*edges(center_hz, bandwidth, rate), self.order, "stop")

    @traced_once
    def _longest(self, rate: float) -> int:
        return longest(self._design, rate, self.center_hz, self.bandwidth)
