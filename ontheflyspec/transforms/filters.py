"""Fixed filters of waveforms: Butterworth low-pass, high-pass and band-pass, telephone band, pre-emphasis; mu-law."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar

from ontheflyspec import checks
from ontheflyspec.functional.distortion import MU_LAW, bend_items, filter_and_compand
from ontheflyspec.functional.filter_designs import LIMITS, Design, band, digital, line, longest
from ontheflyspec.functional.filtering import butterworth, emphasise, filter_items
from ontheflyspec.op import Edit, Op
from ontheflyspec.plans import Info, filtered
from ontheflyspec.torch_internals import constant_in_traces
from ontheflyspec.transforms.edit import EditTransform


class FixedFilter(EditTransform):
    """Base of filters with fixed parameters: a subclass sets them by `set_values` and returns its `design`."""

    names: tuple[str, ...]
    """Names of the parameters, in the order that the design takes them; a frequency first."""
    zero_phase: bool = True
    """Whether the filter runs forwards and backwards, so that nothing is delayed."""

    def set_values(self, sample_rate: float | None, **given: float) -> None:
        """Checks the parameters against `LIMITS`, and keeps them as attributes."""
        where, self._tails = type(self).__name__, dict[tuple[float, ...], int]()
        self.sample_rate, self.names = checks.optional_rate(where, sample_rate), tuple(given)
        for name, value in given.items():
            low, high = LIMITS[name.rsplit("_", 1)[-1]]
            setattr(self, name, checks.number(where, name, value, low=low, high=high))

    def values(self) -> list[float]:
        """Returns the parameters as they are now."""
        return [getattr(self, name) for name in self.names]

    @abstractmethod
    def design(self) -> Design:
        """Returns the design of the filter."""

    def plan(self, info: Info) -> Edit:
        """Returns the edit that filters all items."""
        return self.by(info, filter_items, zero_phase=self.zero_phase)

    def by(self, info: Info, op: Op[..., Any], **options: Any) -> Edit:
        """Returns the edit that filters all items by an op with some options."""
        rate, values = info.known_rate("frequencies in Hz"), self.values()
        filters = self.design()(rate, *map(info.each, values)), self._longest(rate)
        return filtered(info, op, info.all_active(), (self.names[0], values[0]), filters, **options)

    def ready(self) -> None:
        """Finds the length of the response now, where the rate is known: exporters cannot."""
        if self.sample_rate is not None:
            self._longest(self.sample_rate)

    @constant_in_traces
    def _longest(self, rate: float) -> int:
        """Returns the samples of the response at a rate in Hz."""
        key = (rate, *self.values())
        if key not in self._tails:
            self._tails[key] = longest(self.design(), rate, *((value, value) for value in self.values()))
        return self._tails[key]


class _FixedButterworth(FixedFilter):
    """A Butterworth low-pass or high-pass filter, as its ``kind`` says."""

    kind: ClassVar[str]

    def __init__(
        self, *, cutoff_hz: float, order: int = 2, zero_phase: bool = True, sample_rate: float | None = None
    ) -> None:
        super().__init__()
        where = type(self).__name__
        self.set_values(sample_rate, cutoff_hz=cutoff_hz)
        self.order = checks.integer(where, "order", order, high=8)
        self.zero_phase = checks.flag(where, "zero_phase", zero_phase)
        self.ready()

    def design(self) -> Design:
        """Returns the design of `butterworth`."""
        return partial(digital, butterworth, order=self.order, kind=self.kind)


class LowPass(_FixedButterworth):
    """Butterworth low-pass filter of a fixed cut-off, in training and evaluation alike.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at the cut-off, and
    ``12 * order`` dB an octave beyond it. Before and after an item there is silence. A cut-off above 0.49 of the rate
    counts as that. `ofs.augment.LowPass` draws the cut-off.

    Args:
        cutoff_hz: cut-off in Hz, 1 or more.
        order: poles of the filter, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at the cut-off, ``6 * order`` dB an octave.
        sample_rate: Hz of the waveforms, for bare Tensors; batches of another rate raise. None takes the rate of each
            batch.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a cut-off below 1 Hz, or at or above half the rate; an order outside 1..8; a batch without a rate
            or of another one.

    Matches:
        ``scipy.signal.butter`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item alone: 2e-6 of the
        waveform's peak; the augmentation of the same name, bitwise (tests/test_fixed_steps.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [2.0]]) * torch.arange(8_000.0))
        >>> low = ofs.LowPass(cutoff_hz=400.0, sample_rate=8_000)(tones)
        >>> [round(level, 2) for level in low[:, 1_000:7_000].abs().amax(1).tolist()]
        [1.0, 0.0]
    """

    kind = "low"


class HighPass(_FixedButterworth):
    """Butterworth high-pass filter of a fixed cut-off, in training and evaluation alike.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at the cut-off, and
    ``12 * order`` dB an octave below it. Before and after an item there is silence. A cut-off above 0.49 of the rate
    counts as that. `ofs.augment.HighPass` draws the cut-off.

    Args:
        cutoff_hz: cut-off in Hz, 1 or more.
        order: poles of the filter, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at the cut-off, ``6 * order`` dB an octave.
        sample_rate: Hz of the waveforms, for bare Tensors; batches of another rate raise. None takes the rate of each
            batch.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a cut-off below 1 Hz, or at or above half the rate; an order outside 1..8; a batch without a rate
            or of another one.

    Matches:
        ``scipy.signal.butter`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item alone: 2e-6 of the
        waveform's peak; the augmentation of the same name, bitwise (tests/test_fixed_steps.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [2.0]]) * torch.arange(8_000.0))
        >>> high = ofs.HighPass(cutoff_hz=400.0, sample_rate=8_000)(tones)
        >>> [round(level, 2) for level in high[:, 1_000:7_000].abs().amax(1).tolist()]
        [0.0, 1.0]
    """

    kind = "high"


class BandPass(FixedFilter):
    """Butterworth band-pass filter of a fixed centre and width, in training and evaluation alike.

    It runs over each item forwards and backwards, so that nothing is delayed: 6 dB down at both edges, and
    ``12 * order`` dB an octave beyond them. Before and after an item there is silence. A band of width 0.5 around
    1 kHz reaches from 750 to 1250 Hz; edges below 1 Hz count as that, as do upper ones above 0.49 of the rate and lower
    ones above 0.44 of it. `ofs.augment.BandPass` draws centre and width.

    Args:
        center_hz: middle of the band in Hz, 1 or more.
        bandwidth: width of the band as a share of its middle, 0.01 to 1.99.
        order: the filter has twice as many poles, up to 8.
        zero_phase: whether the filter runs backwards, too; if not, waves are delayed as by a filter of hardware: 3 dB
            down at both edges, ``6 * order`` dB an octave.
        sample_rate: Hz of the waveforms, for bare Tensors; batches of another rate raise. None takes the rate of each
            batch.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a parameter outside its limits, a middle at or above half the rate, an order outside 1..8, a batch
            without a rate or of another one.

    Matches:
        ``scipy.signal.butter(btype="bandpass")`` with ``sosfilt``, or with ``sosfiltfilt`` in silence, on the item
        alone: 2e-6 of the waveform's peak; the augmentation of the same name, bitwise (tests/test_fixed_steps.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [0.8]]) * torch.arange(8_000.0))
        >>> kept = ofs.BandPass(center_hz=1_000.0, bandwidth=1.0, sample_rate=8_000)(tones)
        >>> [round(level, 2) for level in kept[:, 1_000:7_000].abs().amax(1).tolist()]
        [0.0, 1.0]
    """

    def __init__(
        self,
        *,
        center_hz: float,
        bandwidth: float,
        order: int = 2,
        zero_phase: bool = True,
        sample_rate: float | None = None,
    ) -> None:
        super().__init__()
        self.set_values(sample_rate, center_hz=center_hz, bandwidth=bandwidth)
        self.order = checks.integer("BandPass", "order", order, high=8)
        self.zero_phase = checks.flag("BandPass", "zero_phase", zero_phase)
        self.ready()

    def design(self) -> Design:
        """Returns the design of `band`."""
        return partial(band, order=self.order, kind="pass")


class Telephone(FixedFilter):
    """Band of a telephone line, with mu-law coding if asked for, in training and evaluation alike.

    A Butterworth high pass and a low pass run over each item forwards and backwards: nothing is delayed, 6 dB are lost
    at the edges, ``12 * order`` dB an octave beyond them. Before and after an item there is silence. Edges above 0.49
    of the rate count as that. The rate stays as it is. `ofs.augment.Telephone` draws the edges.

    Args:
        low_hz: lower edge in Hz, 1 or more.
        high_hz: upper edge in Hz, above ``low_hz``.
        order: poles of each of the two filters, up to 8.
        mu: compression of `MuLaw`, which follows the filters, 255 for 8 bits; None for no rounding. Full scale is 1.
            Which of two levels a sample between them gets may differ from device to device.
        sample_rate: Hz of the waveforms, for bare Tensors; batches of another rate raise. None takes the rate of each
            batch.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: edges below 1 Hz, at or above half the rate or in the wrong order, an order outside 1..8, ``mu``
            outside 3..65535, a batch without a rate or of another one.

    Matches:
        ``scipy.signal.butter`` twice with ``sosfiltfilt`` in silence, on the item alone: 3e-6 of the waveform's peak;
        the augmentation of the same name, bitwise (tests/test_fixed_steps.py).

    References:
        ITU-T G.712 (band of 300 to 3400 Hz), ITU-T G.711 (codec).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [0.5]]) * torch.arange(16_000.0))
        >>> heard = ofs.Telephone(sample_rate=16_000)(tones)
        >>> [round(level, 2) for level in heard[:, 1_000:15_000].abs().amax(1).tolist()]
        [0.0, 1.0]
    """

    def __init__(
        self,
        *,
        low_hz: float = 300.0,
        high_hz: float = 3400.0,
        order: int = 4,
        mu: float | None = None,
        sample_rate: float | None = None,
    ) -> None:
        super().__init__()
        self.set_values(sample_rate, low_hz=low_hz, high_hz=high_hz)
        if high_hz <= low_hz:
            rule = f"high_hz above low_hz, {low_hz:g} Hz"
            raise ValueError(checks.message("Telephone", rule, f"{high_hz:g} Hz", "Raise high_hz."))
        self.order = checks.integer("Telephone", "order", order, high=8)
        self.mu = None if mu is None else checks.number("Telephone", "mu", mu, low=3.0, high=65535.0)
        self.ready()

    def design(self) -> Design:
        """Returns the design of both filters in a row."""
        return partial(line, order=self.order)

    def plan(self, info: Info) -> Edit:
        """Returns the edit that filters all items, and codes and decodes them if asked for."""
        if self.mu is None:
            return super().plan(info)
        return self.by(info, filter_and_compand, mu=info.each(self.mu).unsqueeze(-1))


class PreEmphasis(EditTransform):
    """First-order pre-emphasis: raises high frequencies, in training and evaluation alike.

    ``y[n] = x[n] - coefficient * x[n - 1]``, with silence before the item. `ofs.augment.PreEmphasis` draws the share.

    Args:
        coefficient: share of the sample before, 0 to 1.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a share outside 0..1.
        TypeError: a share that is no number.

    Matches:
        ``scipy.signal.lfilter([1, -coefficient], 1, samples)``, 1e-6; the augmentation of the same name, bitwise
        (tests/test_fixed_steps.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.PreEmphasis(coefficient=0.5).eval()(torch.tensor([1.0, 1.0, 0.0]))
        tensor([ 1.0000,  0.5000, -0.5000])
    """

    def __init__(self, *, coefficient: float = 0.97) -> None:
        super().__init__()
        self.coefficient = checks.number("PreEmphasis", "coefficient", coefficient, low=0.0, high=1.0)

    def plan(self, info: Info) -> Edit:
        """Returns the edit that filters all items."""
        return info.edit(emphasise, None, coefficients=info.each(self.coefficient))


class MuLaw(EditTransform):
    """Mu-law coding and decoding: quantisation to levels close to each other near 0 and far apart near full scale.

    In training and evaluation alike. Samples are cut off at -1 and 1, compressed by ``ln(1 + mu |x|) / ln(1 + mu)``,
    rounded to ``mu // 2`` even levels on either side of 0, and expanded. Silence stays silence. Gradients are those of
    the samples (straight through), 0 where they are cut off. `ofs.augment.MuLaw` draws the compression.

    Args:
        mu: compression; 255 is that of 8 bits. Within 3..65535.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a compression outside 3..65535.
        TypeError: a compression that is no number.

    Matches:
        The formula in numpy, 1e-6, off by half a level at most; the augmentation of the same name, bitwise
        (tests/test_fixed_steps.py).

    References:
        ITU-T G.711, which has the continuous law in pieces of straight lines.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.MuLaw().eval()(torch.tensor([0.0, 0.01, 0.5, -2.0]))
        tensor([ 0.0000,  0.0100,  0.4953, -1.0000])
    """

    def __init__(self, *, mu: float = 255.0) -> None:
        super().__init__()
        self.mu = checks.number("MuLaw", "mu", mu, low=3.0, high=65535.0)

    def plan(self, info: Info) -> Edit:
        """Returns the edit that codes and decodes all items."""
        return info.edit(bend_items, info.all_active(), numbers=info.each(self.mu).unsqueeze(-1), bend=MU_LAW)
