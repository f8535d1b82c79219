"""Butterworth filters of drawn edges, and what all random filters share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Info
from ontheflyspec.augment.ranges import Params, Range, Span, mels, uniform
from ontheflyspec.functional.filtering import butterworth, butterworth_band, filter_items, tails, warped
from ontheflyspec.op import Edit, Op
from ontheflyspec.torch_internals import constant_in_traces

LOWEST = 1.0
"""Hz, the least frequency of a filter: its response goes on for seconds."""

_LOWER_TOP = 0.44
"""Share of the rate that the lower edge of a band lies at most at, so that it stays below the upper one."""

Spans = Span | tuple[Span, ...]
"""Range of one parameter, or its ranges in several bands."""


def filtered(
    info: Info,
    params: Params,
    design: Callable[..., Tensor],
    spans: Mapping[str, Spans],
    op: Op[..., Any] = filter_items,
    **options: Any,
) -> Edit:
    """Returns an edit that runs a filter over each active item.

    Args:
        info: of the batch.
        params: a table.
        design: makes sections of the rate and the parameters of the filter, float64 ``[B]``, or ``[B, bands]``.
        spans: of these parameters, by name and in order, the frequency first.
        op: takes the sections, and as ``tail`` the samples of the longest response if the host does not know them.
        options: of the op.

    Raises:
        ValueError: a batch without a rate, or a frequency that can only be drawn at or above half of it.
    """
    rate, (name, span) = info.known_rate("frequencies in Hz"), next(iter(spans.items()))
    # Of several bands some may lie above half the rate: they count as right below it.
    if isinstance(span[0], float) and span[0] >= rate / 2:
        rule = f"{name} to begin below half the rate, {rate / 2:g} Hz"
        remedy = f"Lower {name} or leave {info.where} out."
        raise ValueError(checks.message(info.where, rule, f"{span[0]:g} Hz", remedy))
    sections = design(rate, *(params[one] for one in spans))
    known = sections.device.type == "cpu" and not torch.compiler.is_compiling()
    tail = None if known else longest(design, rate, *spans.values())
    return info.edit(op, params["active"], sections=sections, tail=tail, **options)


@constant_in_traces
def longest(design: Callable[..., Tensor], rate: float, *spans: Spans) -> int:
    """Returns the samples of the longest response to parameters in these ranges: it belongs to some of their ends."""
    sides = zip(*itertools.product((0, 1), repeat=len(spans)), strict=True)
    ends = [torch.tensor(span, dtype=torch.float64, device="cpu") for span in spans]
    values = [end[..., list(side)].movedim(-1, 0) for end, side in zip(ends, sides, strict=True)]
    return int(tails(design(rate, *values)).max())


def digital(design: Callable[..., Tensor], rate: float, hertz: Tensor, *others: Tensor, **options: Any) -> Tensor:
    """Returns the sections of a filter at frequencies in Hz, by a design on the scale of `warped`."""
    return design(warped(hertz, rate), *others, **options)


def band(rate: float, center_hz: Tensor, bandwidth: Tensor, *, order: int, kind: str) -> Tensor:
    """Returns the sections of a Butterworth filter of a band, see `butterworth_band`."""
    half = center_hz * bandwidth / 2
    lower = warped((center_hz - half).clamp(min=LOWEST), rate, _LOWER_TOP)
    return butterworth_band(lower, warped(center_hz + half, rate), order, kind)


class LowPass(Augment):
    """Butterworth low-pass filter of a drawn cut-off frequency.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at the cut-off, and
    ``12 * order`` dB an octave beyond it. Before and after an item there is silence. Cut-offs above 0.49 of the rate
    count as that.

    Args:
        cutoff_hz: range in Hz that the cut-off is drawn from, evenly in mel; 1 Hz or more.
        order: poles of the filter, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at the cut-off, ``6 * order`` dB an octave.
        p: probability that an item is changed.
        seed: makes two filters differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, below 1 Hz or wholly at or above half the rate; an order outside 1..8;
            a batch without a rate.

    Matches:
        ``scipy.signal.butter`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item alone: 2e-6 of the
        waveform's peak (tests/augment/test_filtering.py).

    References:
        Range and distribution are those of torch-audiomentations' LowPassFilter, the filter that of audiomentations.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [2.0]]) * torch.arange(8_000.0))
        >>> low = ofs.augment.LowPass(cutoff_hz=400.0)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 2) for level in low[:, 1_000:7_000].abs().amax(1).tolist()]
        [1.0, 0.0]
    """

    def __init__(
        self,
        *,
        cutoff_hz: float | Span = (150.0, 7500.0),
        order: int = 2,
        zero_phase: bool = True,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.cutoff_hz = checks.span("LowPass", "cutoff_hz", cutoff_hz, low=LOWEST)
        self.order = checks.integer("LowPass", "order", order, high=8)
        self.zero_phase = bool(zero_phase)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``cutoff_hz``."""
        return {"cutoff_hz": mels(self.cutoff_hz)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item after its filter."""
        design = partial(digital, butterworth, order=self.order, kind="low")
        return filtered(info, params, design, {"cutoff_hz": self.cutoff_hz}, zero_phase=self.zero_phase)


class HighPass(Augment):
    """Butterworth high-pass filter of a drawn cut-off frequency.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at the cut-off, and
    ``12 * order`` dB an octave below it. Before and after an item there is silence. Cut-offs above 0.49 of the rate
    count as that.

    Args:
        cutoff_hz: range in Hz that the cut-off is drawn from, evenly in mel; 1 Hz or more.
        order: poles of the filter, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at the cut-off, ``6 * order`` dB an octave.
        p: probability that an item is changed.
        seed: makes two filters differ.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one filter an item over all its channels.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, below 1 Hz or wholly at or above half the rate; an order outside 1..8;
            a batch without a rate.

    Matches:
        ``scipy.signal.butter`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item alone: 2e-6 of the
        waveform's peak (tests/augment/test_filtering.py).

    References:
        Range and distribution are those of torch-audiomentations' HighPassFilter, the filter that of audiomentations.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [2.0]]) * torch.arange(8_000.0))
        >>> high = ofs.augment.HighPass(cutoff_hz=400.0)(ofs.pad(tones, rate=8_000)).data
        >>> [round(level, 2) for level in high[:, 1_000:7_000].abs().amax(1).tolist()]
        [0.0, 1.0]
    """

    def __init__(
        self,
        *,
        cutoff_hz: float | Span = (20.0, 2400.0),
        order: int = 2,
        zero_phase: bool = True,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.cutoff_hz = checks.span("HighPass", "cutoff_hz", cutoff_hz, low=LOWEST)
        self.order = checks.integer("HighPass", "order", order, high=8)
        self.zero_phase = bool(zero_phase)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``cutoff_hz``."""
        return {"cutoff_hz": mels(self.cutoff_hz)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item after its filter."""
        design = partial(digital, butterworth, order=self.order, kind="high")
        return filtered(info, params, design, {"cutoff_hz": self.cutoff_hz}, zero_phase=self.zero_phase)


class _Band(Augment):
    """Butterworth filter of a drawn centre and width, of a ``kind`` of `butterworth_band`."""

    kind: ClassVar[str]

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
        where = type(self).__name__
        self.center_hz = checks.span(where, "center_hz", center_hz, low=LOWEST)
        self.bandwidth = checks.span(where, "bandwidth", bandwidth, low=0.01, high=1.99)
        self.order = checks.integer(where, "order", order, high=8)
        self.zero_phase = bool(zero_phase)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``center_hz`` and ``bandwidth``."""
        return {"center_hz": mels(self.center_hz), "bandwidth": uniform(self.bandwidth)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns each active item after its filter."""
        design = partial(band, order=self.order, kind=self.kind)
        spans = {"center_hz": self.center_hz, "bandwidth": self.bandwidth}
        return filtered(info, params, design, spans, zero_phase=self.zero_phase)


class BandPass(_Band):
    """Butterworth band-pass filter of a drawn centre and width.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at both
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

    kind = "pass"


class BandStop(_Band):
    """Butterworth band-stop filter of a drawn centre and width.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at both
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

    kind = "stop"
