"""Butterworth filters: low-pass, high-pass, band-pass, band-stop; and the base class of all random filters."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, mels, side_by_side, uniform
from ontheflyspec.functional.filter_designs import LIMITS, Design, band, digital, longest
from ontheflyspec.functional.filtering import butterworth, filter_items
from ontheflyspec.op import Edit, Op
from ontheflyspec.plans import Info, filtered
from ontheflyspec.torch_internals import constant_in_traces


class Filter(Augment):
    """A filter whose parameters are drawn: frequencies evenly in mel, all others evenly.

    A subclass sets its parameters by `checked_spans`, a frequency first, and returns its `design`.
    """

    spans: dict[str, Any]
    """Span of each parameter, or spans of several bands, by name and in the order that the design takes them."""
    zero_phase: bool = False
    """Whether the filter runs forwards and backwards, so that nothing is delayed."""

    def __init__(self, *, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self._tails: dict[Any, int] = {}

    def checked_spans(self, **given: float | Span) -> list[Span]:
        """Returns the spans of all parameters, checked against `LIMITS`, and keeps them by name."""
        where, self.spans = type(self).__name__, {}
        for name, value in given.items():
            low, high = LIMITS[name.rsplit("_", 1)[-1]]
            self.spans[name] = checks.span(where, name, value, low=low, high=high)
        return list(self.spans.values())

    def ranges(self) -> dict[str, Range]:
        """Returns the range of each parameter, of the bands side by side if there are several."""
        known = {}
        for name, span in self.spans.items():
            make = mels if name.endswith("_hz") else uniform
            bands = [make(one) for one in span] if isinstance(span[0], tuple) else None
            known[name] = make(span) if bands is None else side_by_side(bands)
        return known

    @abstractmethod
    def design(self) -> Design:
        """Returns the design of the filter."""

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that filters the active items."""
        return self.filtered(info, params, filter_items, zero_phase=self.zero_phase)

    def filtered(self, info: Info, params: Params, op: Op[..., Any], **options: Any) -> Edit:
        """Returns an edit that runs the filter over each active item.

        Args:
            info: of the batch.
            params: a table.
            op: takes the sections, and as ``tail`` the samples of the longest response that can be drawn.
            options: of the op.

        Raises:
            ValueError: a batch without a rate, or a frequency that can only be drawn at or above half of it.
        """
        rate, (name, span) = info.known_rate("frequencies in Hz"), next(iter(self.spans.items()))
        # Of several bands some may lie above half the rate: they count as right below it.
        lowest = (name, span[0] if isinstance(span[0], float) else 0.0)
        sections = self.design()(rate, *(params[one] for one in self.spans))
        return filtered(info, op, params["active"], lowest, (sections, self._longest(rate)), **options)

    @constant_in_traces
    def _longest(self, rate: float) -> int:
        """Returns the samples of the longest response that can be drawn at a rate in Hz."""
        key = (rate, *self.spans.values())
        if key not in self._tails:
            self._tails[key] = longest(self.design(), rate, *self.spans.values())
        return self._tails[key]


class _Butterworth(Filter):
    """A Butterworth low-pass or high-pass filter, as its ``kind`` says."""

    kind: ClassVar[str]

    def __init__(self, *, order: int, zero_phase: bool, p: float, seed: int) -> None:
        super().__init__(p=p, seed=seed)
        self.order = checks.integer(type(self).__name__, "order", order, high=8)
        self.zero_phase = checks.flag(type(self).__name__, "zero_phase", zero_phase)

    def design(self) -> Design:
        """Returns the design of `butterworth`."""
        return partial(digital, butterworth, order=self.order, kind=self.kind)


class LowPass(_Butterworth):
    """Butterworth low-pass filter of a drawn cut-off frequency.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at the cut-off, and
    ``12 * order`` dB an octave beyond it. Before and after an item there is silence. Cut-offs above 0.49 of the rate
    count as that.

    Args:
        cutoff_hz: range in Hz that the cut-off is drawn from, uniformly in mel; 1 Hz or more.
        order: poles of the filter, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at the cut-off, ``6 * order`` dB an octave.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high, below 1 Hz or wholly at or above half the rate; an order outside 1..8;
            a batch without a rate.

    Matches:
        ``scipy.signal.butter`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item alone: 2e-6 of the
        waveform's peak (tests/augment/test_band_filters.py).

    References:
        Range and distribution are those of torch-audiomentations' LowPassFilter, the filter that of audiomentations.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [2.0]]) * torch.arange(8_000.0))
        >>> low = ofs.augment.LowPass(cutoff_hz=400.0)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 2) for level in low[:, 1_000:7_000].abs().amax(1).tolist()]
        [1.0, 0.0]
    """

    kind = "low"

    def __init__(
        self,
        *,
        cutoff_hz: float | Span = (150.0, 7500.0),
        order: int = 2,
        zero_phase: bool = True,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(order=order, zero_phase=zero_phase, p=p, seed=seed)
        (self.cutoff_hz,) = self.checked_spans(cutoff_hz=cutoff_hz)


class HighPass(_Butterworth):
    """Butterworth high-pass filter of a drawn cut-off frequency.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at the cut-off, and
    ``12 * order`` dB an octave below it. Before and after an item there is silence. Cut-offs above 0.49 of the rate
    count as that.

    Args:
        cutoff_hz: range in Hz that the cut-off is drawn from, uniformly in mel; 1 Hz or more.
        order: poles of the filter, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at the cut-off, ``6 * order`` dB an octave.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high, below 1 Hz or wholly at or above half the rate; an order outside 1..8;
            a batch without a rate.

    Matches:
        ``scipy.signal.butter`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item alone: 2e-6 of the
        waveform's peak (tests/augment/test_band_filters.py).

    References:
        Range and distribution are those of torch-audiomentations' HighPassFilter, the filter that of audiomentations.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [2.0]]) * torch.arange(8_000.0))
        >>> high = ofs.augment.HighPass(cutoff_hz=400.0)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 2) for level in high[:, 1_000:7_000].abs().amax(1).tolist()]
        [0.0, 1.0]
    """

    kind = "high"

    def __init__(
        self,
        *,
        cutoff_hz: float | Span = (20.0, 2400.0),
        order: int = 2,
        zero_phase: bool = True,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(order=order, zero_phase=zero_phase, p=p, seed=seed)
        (self.cutoff_hz,) = self.checked_spans(cutoff_hz=cutoff_hz)


class _Band(_Butterworth):
    """A Butterworth band-pass or band-stop filter, as its ``kind`` says."""

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
        super().__init__(order=order, zero_phase=zero_phase, p=p, seed=seed)
        self.center_hz, self.bandwidth = self.checked_spans(center_hz=center_hz, bandwidth=bandwidth)

    def design(self) -> Design:
        """Returns the design of `band`."""
        return partial(band, order=self.order, kind=self.kind)


class BandPass(_Band):
    """Butterworth band-pass filter of a drawn centre and width.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at both
    edges, and ``12 * order`` dB an octave beyond them. Before and after an item there is silence. A band of width 0.5
    around 1 kHz reaches from 750 to 1250 Hz; edges below 1 Hz count as that, as do upper ones above 0.49 of the rate
    and lower ones above 0.44 of it.

    Args:
        center_hz: range in Hz that the middle of the band is drawn from, uniformly in mel; 1 Hz or more.
        bandwidth: range that the width of the band is drawn from, uniformly, as a share of its middle; 0.01 to 1.99.
        order: the filter has twice as many poles, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at both edges, ``6 * order`` dB an octave.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside its limits; middles that all lie at or above half the
            rate; an order outside 1..8; a batch without a rate.

    Matches:
        ``scipy.signal.butter(btype="bandpass")`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item
        alone: 2e-6 of the waveform's peak (tests/augment/test_band_filters.py).

    References:
        Ranges and distributions are those of torch-audiomentations' BandPassFilter, the filter that of audiomentations.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [0.8]]) * torch.arange(8_000.0))
        >>> kept = ofs.augment.BandPass(center_hz=1_000.0, bandwidth=1.0)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 2) for level in kept[:, 1_000:7_000].abs().amax(1).tolist()]
        [0.0, 1.0]
    """

    kind = "pass"


class BandStop(_Band):
    """Butterworth band-stop filter of a drawn centre and width.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at both
    edges, and ``12 * order`` dB an octave further in. Before and after an item there is silence. A band of width 0.5
    around 1 kHz reaches from 750 to 1250 Hz; edges below 1 Hz count as that, as do upper ones above 0.49 of the rate
    and lower ones above 0.44 of it.

    Args:
        center_hz: range in Hz that the middle of the band is drawn from, uniformly in mel; 1 Hz or more.
        bandwidth: range that the width of the band is drawn from, uniformly, as a share of its middle; 0.01 to 1.99.
        order: the filter has twice as many poles, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at both edges, ``6 * order`` dB an octave.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside its limits; middles that all lie at or above half the
            rate; an order outside 1..8; a batch without a rate.

    Matches:
        ``scipy.signal.butter(btype="bandstop")`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item
        alone: 2e-6 of the waveform's peak (tests/augment/test_band_filters.py).

    References:
        Ranges and distributions are those of torch-audiomentations' BandStopFilter, the filter that of audiomentations.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [0.8]]) * torch.arange(8_000.0))
        >>> kept = ofs.augment.BandStop(center_hz=1_000.0, bandwidth=1.0)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 2) for level in kept[:, 1_000:7_000].abs().amax(1).tolist()]
        [1.0, 0.0]
    """

    kind = "stop"
