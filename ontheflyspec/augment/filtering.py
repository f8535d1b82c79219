"""Augmentations that let some frequencies pass and stop others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, column, known_rate
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.filtering import butterworth, filter_items, tails, warped
from ontheflyspec.functional.scales import mel_to_hz

Span = tuple[float, float]
_Step = TypeVar("_Step", bound=Augment)
LOWEST = 1.0
"""Hz, what a filter can be put to at least: its response goes on for seconds."""


def between_mels(unit: Tensor, span: Span) -> Tensor:
    """Returns Hz for numbers in (0, 1), evenly in mel (as torch-audiomentations draws them) from ``span``."""
    low, high = (2595 * math.log10(1 + edge / 700) for edge in span)
    return mel_to_hz(low + unit * (high - low), "htk").clamp(*span)


def below_half(where: str, batch: PaddedBatch, name: str, span: Span, what: str) -> None:
    """Raises if a batch does not know its rate, for ``what``, or all of a range lies at or above half of it."""
    half = known_rate(where, batch, what) / 2
    if span[0] >= half:
        rule = f"{name} to begin below half the rate, {half:g} Hz"
        raise ValueError(checks.message(where, rule, f"{span[0]:g} Hz", f"Lower {name} or leave {where} out."))


def traced_once(method: Callable[[_Step, float], int]) -> Callable[[_Step, float], int]:
    """Marks a method whose result ``torch.compile`` may take as it is, as ``torch.compiler.assume_constant_result``
    does; that one loads the whole compiler.
    """
    method._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return method


def corners(*spans: Span) -> list[list[float]]:
    """Returns each combination of the ends of ranges, one list a range: where responses can be longest."""
    rows: list[list[float]] = [[]]
    for span in spans:
        rows = [[*row, end] for row in rows for end in span]
    return [list(values) for values in zip(*rows, strict=True)]


def longest(design: Callable[..., Tensor], rate: float, *spans: Span) -> int:
    """Returns the samples of the longest response of what a design makes of values from these ranges."""
    return int(tails(design(rate, *(column(values, torch.float64) for values in corners(*spans)))).max())


def filtered(
    batch: PaddedBatch,
    params: Params,
    design: Callable[..., Tensor],
    names: tuple[str, ...],
    longest: Callable[[float], int],
    *,
    zero_phase: bool,
) -> PaddedBatch:
    """Returns a batch with each active item after its filter.

    Args:
        batch: with a known rate.
        params: a table.
        design: makes sections of the rate and the values of the table.
        names: of those values.
        longest: returns for a rate the samples of the longest response that can be drawn, for tables whose values the
            host does not know.
        zero_phase: whether filters run forwards and backwards.
    """
    active = column(params["active"], torch.bool)
    sections = design(batch.rate, *(column(params[name], torch.float64) for name in names))
    known = sections.device.type == "cpu" and not torch.compiler.is_compiling()
    tail = None if known else longest(batch.rate)
    data = filter_items(batch.data, batch.lengths, sections, active, zero_phase=zero_phase, tail=tail)
    return batch._replace(data=data)


class LowPass(Augment):
    """Takes away what lies above a drawn frequency.

    A Butterworth filter runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at the
    cut-off, and ``12 * order`` dB an octave beyond it. Before and after an item there is silence. Cut-offs above 0.49
    of the rate count as that.

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

    by_rows = True

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

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``cutoff_hz`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "cutoff_hz": between_mels(unit[:, 1], self.cutoff_hz)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item after its filter."""
        below_half("LowPass", batch, "cutoff_hz", self.cutoff_hz, "a cut-off in Hz")
        return filtered(batch, params, self._design, ("cutoff_hz",), self._longest, zero_phase=self.zero_phase)

    def _design(self, rate: float, cutoff_hz: Tensor) -> Tensor:
        return butterworth(warped(cutoff_hz, rate), self.order, "low")

    @traced_once
    def _longest(self, rate: float) -> int:
        return longest(self._design, rate, self.cutoff_hz)


class HighPass(Augment):
    """Takes away what lies below a drawn frequency.

    A Butterworth filter runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at the
    cut-off, and ``12 * order`` dB an octave below it. Before and after an item there is silence. Cut-offs above 0.49
    of the rate count as that.

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

    by_rows = True

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

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``cutoff_hz`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "cutoff_hz": between_mels(unit[:, 1], self.cutoff_hz)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item after its filter."""
        below_half("HighPass", batch, "cutoff_hz", self.cutoff_hz, "a cut-off in Hz")
        return filtered(batch, params, self._design, ("cutoff_hz",), self._longest, zero_phase=self.zero_phase)

    def _design(self, rate: float, cutoff_hz: Tensor) -> Tensor:
        return butterworth(warped(cutoff_hz, rate), self.order, "high")

    @traced_once
    def _longest(self, rate: float) -> int:
        return longest(self._design, rate, self.cutoff_hz)
