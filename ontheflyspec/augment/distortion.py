"""Distortion: clipping, tanh saturation, bit-depth reduction, mu-law companding, telephone lines."""

from __future__ import annotations

from functools import partial

import torch

from ontheflyspec import checks
from ontheflyspec.augment.band_filters import Filter
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, integers, uniform
from ontheflyspec.functional.distortion import CLIP, CRUSH, MU_LAW, SATURATE, bend_items, filter_and_compand
from ontheflyspec.functional.filter_designs import Design, line
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info


class Clip(Augment):
    """Clipping of each item's peaks, as by an amplifier that is driven too far.

    What share of the samples is cut is drawn, one half of it at the top and the other at the bottom; samples beyond
    these two levels are set to them. Levels are those of the item's own samples, interpolated between them.

    Args:
        percentile: range that the share of clipped samples is drawn from, uniformly, in percent; within 0..100.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one pair of levels an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside 0..100, a probability outside 0..1.

    Matches:
        ``numpy.clip`` between ``numpy.percentile`` of the item alone, 1e-6 (tests/augment/test_distortion.py).

    References:
        Range and levels are those of audiomentations' ClippingDistortion, which draws whole percents.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.Clip(percentile=50.0)(torch.tensor([-3.0, -1.0, 0.0, 1.0, 9.0]))
        tensor([-1., -1.,  0.,  1.,  1.])
    """

    def __init__(self, *, percentile: float | Span = (0.0, 40.0), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.percentile = checks.span("Clip", "percentile", percentile, low=0.0, high=100.0)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``percentile``."""
        return {"percentile": uniform(self.percentile)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that clips the active items."""
        share = params["percentile"] / 200
        return info.edit(bend_items, params["active"], numbers=torch.stack([share, 1 - share], -1), bend=CLIP)


class TanhDistortion(Augment):
    """Saturation by a hyperbolic tangent, at the power of the item.

    The larger the drawn amount, the more samples are bent: with amount a, the ``99 * a`` percent that are loudest come
    out above 0.46 of the level that none can pass.

    Args:
        amount: range that the amount is drawn from, uniformly; within 0..1.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside 0..1, a probability outside 0..1.

    Matches:
        audiomentations' TanhDistortion, written in numpy, on the item alone, 1e-5 of its peak
        (tests/augment/test_distortion.py).

    References:
        Range, amount and levels are those of audiomentations' TanhDistortion.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> wave = torch.linspace(-1, 1, 101)
        >>> bent = ofs.augment.TanhDistortion(amount=0.5)(wave)
        >>> round((bent.square().mean() / wave.square().mean()).item(), 4), bool(bent.max() < 1)
        (1.0, True)
    """

    def __init__(self, *, amount: float | Span = (0.01, 0.7), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.amount = checks.span("TanhDistortion", "amount", amount, low=0.0, high=1.0)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``amount``."""
        return {"amount": uniform(self.amount)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that saturates the active items."""
        shares = 1 - 0.99 * params["amount"].unsqueeze(-1)
        return info.edit(bend_items, params["active"], numbers=shares, bend=SATURATE)


class BitCrush(Augment):
    """Quantisation to a drawn number of bits, as by old samplers and cheap converters.

    With b bits, samples become multiples of ``2 ** (1 - b)``; none is cut off. Whatever is softer than half of one
    becomes silence. Gradients are those of the samples (straight through).

    Args:
        bits: range that the number of bits is drawn from, each whole number evenly, both ends included; within 1..24.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside 1..24, a probability outside 0..1.
        TypeError: bits that are no whole numbers.

    Matches:
        ``numpy.round(samples * 2 ** (bits - 1)) / 2 ** (bits - 1)``, bitwise; 16 bits keep
        int16 samples (tests/augment/test_distortion.py).

    References:
        The range is that of audiomentations' BitCrush, which has one level more on either side of 0.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.BitCrush(bits=3)(torch.tensor([0.1, 0.2, -0.6, 1.0]))
        tensor([ 0.0000,  0.2500, -0.5000,  1.0000])
    """

    def __init__(self, *, bits: int | tuple[int, int] = (5, 14), p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.bits = checks.integer_span("BitCrush", "bits", bits, low=1, high=24)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``bits``."""
        return {"bits": integers(self.bits)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that quantises the active items."""
        steps = torch.exp2((params["bits"] - 1).double()).unsqueeze(-1)
        return info.edit(bend_items, params["active"], numbers=steps, bend=CRUSH)


class MuLaw(Augment):
    """Mu-law coding: quantisation to levels close to each other near 0 and far apart near full scale.

    Samples are cut off at -1 and 1, compressed by ``ln(1 + mu |x|) / ln(1 + mu)``, rounded to ``mu // 2`` even levels
    on either side of 0, and expanded. Silence stays silence. Gradients are those of the samples (straight through),
    0 where they are cut off.

    Args:
        mu: range that the compression is drawn from, uniformly; 255 is that of 8 bits. Within 3..65535.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one draw an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high or outside 3..65535, a probability outside 0..1.

    Matches:
        The formula in numpy, 1e-6; off by half a level at most (tests/augment/test_distortion.py).

    References:
        ITU-T G.711, which has the continuous law in pieces of straight lines.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.MuLaw()(torch.tensor([0.0, 0.01, 0.5, -2.0]))
        tensor([ 0.0000,  0.0100,  0.4953, -1.0000])
    """

    def __init__(self, *, mu: float | Span = 255.0, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.mu = checks.span("MuLaw", "mu", mu, low=3.0, high=65535.0)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``mu``."""
        return {"mu": uniform(self.mu)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that codes and decodes the active items."""
        return info.edit(bend_items, params["active"], numbers=params["mu"].unsqueeze(-1), bend=MU_LAW)


class Telephone(Filter):
    """Band of a telephone line, with mu-law coding if asked for.

    A Butterworth high pass and a low pass run over each item forwards and backwards: nothing is delayed, 6 dB are lost
    at the edges, ``12 * order`` dB an octave beyond them. Before and after an item there is silence. Edges above 0.49
    of the rate count as that. The rate stays as it is.

    Args:
        low_hz: range in Hz that the lower edge is drawn from, uniformly in mel; 1 Hz or more.
        high_hz: range in Hz that the upper edge is drawn from, likewise; it must begin above the end of ``low_hz``.
        order: poles of each of the two filters, up to 8.
        mu: compression of `MuLaw`, which follows the filters, 255 for 8 bits; None for no rounding. Full scale is 1.
            Which of two levels a sample between them gets may differ from device to device.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; one telephone an item over all its channels.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high, below 1 Hz or wholly at or above half the rate, ranges that meet, an
            order outside 1..8, ``mu`` outside 3..65535, a batch without a rate.

    Matches:
        ``scipy.signal.butter`` twice with ``sosfiltfilt`` in silence, on the item alone: 3e-6 of the waveform's peak
        (tests/augment/test_telephony.py).

    References:
        ITU-T G.712 (band of 300 to 3400 Hz), ITU-T G.711 (codec).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> tones = torch.sin(torch.tensor([[0.02], [0.5]]) * torch.arange(16_000.0))
        >>> heard = ofs.augment.Telephone()(ofs.pad(tones, rate=16_000)).data
        >>> [round(level, 2) for level in heard[:, 1_000:15_000].abs().amax(1).tolist()]
        [0.0, 1.0]
    """

    zero_phase = True

    def __init__(
        self,
        *,
        low_hz: float | Span = 300.0,
        high_hz: float | Span = 3400.0,
        order: int = 4,
        mu: float | None = None,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.low_hz, self.high_hz = self.checked_spans(low_hz=low_hz, high_hz=high_hz)
        if self.high_hz[0] <= self.low_hz[1]:
            rule = f"high_hz to begin above the end of low_hz, {self.low_hz[1]:g} Hz"
            raise ValueError(checks.message("Telephone", rule, f"{self.high_hz[0]:g} Hz", "Raise high_hz."))
        self.order = checks.integer("Telephone", "order", order, high=8)
        self.mu = None if mu is None else checks.number("Telephone", "mu", mu, low=3.0, high=65535.0)

    def design(self) -> Design:
        """Returns the design of both filters in a row."""
        return partial(line, order=self.order)

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that filters the active items, and codes and decodes them if asked for."""
        if self.mu is None:
            return super().plan(info, params)
        mu = torch.full_like(params["low_hz"], self.mu).unsqueeze(-1)
        return self.filtered(info, params, filter_and_compand, mu=mu)
