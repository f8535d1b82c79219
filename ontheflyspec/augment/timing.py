"""Time shift, time reversal, swapping of chunks and time masks of waveforms."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, fraction, key, order, uniform
from ontheflyspec.functional.masks import spans
from ontheflyspec.functional.time_maps import SampleMap, hide_spans, shift_samples
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info


class TimeShift(Augment):
    """Time shift: moves each item earlier or later by a drawn time.

    The shift is rounded to whole samples. The batch must know its rate; a bare Tensor has one only in a chain with a
    step that has a ``sample_rate``.

    Args:
        shift_s: range in seconds that the shift is drawn from; above 0 moves to later times.
        mode: ``"circular"``: samples that leave an item at one end enter at the other; ``"zero"``: zeros enter there.
        fade_s: seconds over which the sound fades out before the seam and in after it, in a straight line, so that
            nothing clicks where the item's end meets its start, or silence; 0 for none.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item together.

    Padding:
        Never enters an item: the item turns at its own length. 0 past each length.

    Raises:
        ValueError: a range with low above high, an unknown mode, a batch without a rate.

    Matches:
        ``numpy.roll`` of the valid samples, bitwise (tests/augment/test_timing.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> batch = ofs.pad([torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])], rate=10.0)
        >>> ofs.augment.TimeShift(shift_s=0.1)(batch).data
        tensor([[3., 1., 2., 0.],
                [4., 1., 2., 3.]])
    """

    def __init__(
        self,
        *,
        shift_s: float | Span = (-0.1, 0.1),
        mode: str = "circular",
        fade_s: float = 0.0,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.shift_s = checks.span("TimeShift", "shift_s", shift_s)
        self.mode = checks.choice("TimeShift", "mode", mode, ("circular", "zero"))
        self.fade_s = checks.number("TimeShift", "fade_s", fade_s, low=0.0)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``shift_s``."""
        return {"shift_s": uniform(self.shift_s)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that shifts the active items."""
        rate = info.known_rate("a shift in seconds")
        shift = torch.where(params["active"], torch.round(params["shift_s"] * rate).long(), 0)
        circular, fade = self.mode == "circular", round(self.fade_s * rate)
        edit = info.edit(shift_samples, None, shift=shift, circular=circular, fade=fade)
        return edit._replace(time=lambda: info.moved(_shifted(info, shift, circular)))


def _shifted(info: Info, shift: Tensor, circular: bool) -> SampleMap:
    """Returns the segments that stay within each item, and in circular mode those that enter at the other end."""
    n, by = info.lengths.unsqueeze(-1), info.column(shift)
    nothing = torch.zeros_like(n)
    if not circular:
        by = torch.maximum(torch.minimum(by, n), -n)
        return SampleMap((-by).clamp(min=0), n - by.clamp(min=0), by.clamp(min=0), torch.ones_like(n))
    by = by % n.clamp(min=1)
    start, end, place = (torch.cat(both, 1) for both in ((nothing, n - by), (n - by, n), (by, nothing)))
    return SampleMap(start, end, place, torch.ones_like(start))


class TimeInversion(Augment):
    """Time reversal: plays items backwards.

    Args:
        p: probability that an item is turned round; 0.5 makes both directions equally likely.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item together.

    Padding:
        Never enters an item: its own last sample comes first. 0 past each length.

    Raises:
        ValueError: a probability outside 0..1.

    Matches:
        ``numpy.flip`` of the valid samples, bitwise (tests/augment/test_timing.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.TimeInversion()(torch.tensor([1.0, 2.0, 3.0]))
        tensor([3., 2., 1.])
    """

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that reverses the active items: each is one segment of slope -1."""
        n = info.lengths.unsqueeze(-1)
        active, nothing = info.column(params["active"]), torch.zeros_like(n)
        place, slope = torch.where(active, (n - 1).clamp(min=0), 0), torch.where(active, -1, nothing + 1)
        return info.rearranged(SampleMap(nothing, n, place, slope), info.lengths, info.size)


class ChunkSwap(Augment):
    """Swaps chunks: cuts each item into chunks of equal length and joins them in a drawn order.

    Chunk j goes from sample ``j * n // n_chunks`` on. All orders are equally likely, the item's own too.

    Args:
        n_chunks: number of chunks, at least 2.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item together.

    Padding:
        Never enters an item. 0 past each length.

    Raises:
        ValueError: fewer than 2 chunks, a probability outside 0..1.

    Matches:
        ``numpy.concatenate`` of the chunks, bitwise (tests/augment/test_timing.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.ChunkSwap(n_chunks=2)(torch.arange(6.0)).sort().values
        tensor([0., 1., 2., 3., 4., 5.])
    """

    def __init__(self, *, n_chunks: int = 4, p: float = 1.0, seed: int = 0) -> None:
        super().__init__(p=p, seed=seed)
        self.n_chunks = checks.integer("ChunkSwap", "n_chunks", n_chunks, low=2)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``order``, a permutation of the chunks."""
        return {"order": order(self.n_chunks)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that reorders the chunks of the active items."""
        n = info.lengths.unsqueeze(-1)
        drawn = params["order"].to(n.device, non_blocking=True)
        chunks = torch.where(info.column(params["active"]), drawn, torch.arange(self.n_chunks, device=n.device))
        start, end = chunks * n // self.n_chunks, (chunks + 1) * n // self.n_chunks
        place = (end - start).cumsum(-1) - (end - start)
        return info.rearranged(SampleMap(start, end, place, torch.ones_like(start)), info.lengths, info.size)


class TimeMask(Augment):
    """Time masking: silences spans of each item, or replaces them by white noise.

    Widths are drawn as shares of the item, starts uniformly from those where the span fits into it.

    Args:
        n_masks: number of spans; they may overlap.
        fraction: range of a span's share of the item, drawn uniformly, within 0..1.
        fade_s: seconds over which the sound fades out and in, in a straight line, within each end of a span; 0 for
            none. Any other needs batches that know their rate.
        fill: ``"zero"``, or ``"noise"`` of the item's own power, independent between items and channels.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[T]``, ``[B, T]`` or ``[B, C, T]`` in and out; all channels of an item have the same spans.

    Padding:
        Excluded from spans and power; 0 past each length.

    Raises:
        ValueError: fewer than 1 mask, shares outside 0..1, an unknown fill, a batch without a rate where there is a
            fade.

    Matches:
        Spans written one by one in numpy, 1e-6 (tests/augment/test_timemask.py).

    References:
        Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition", 2019.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> int(ofs.augment.TimeMask(fraction=0.25)(torch.ones(400)).sum())
        300
    """

    def __init__(
        self,
        *,
        n_masks: int = 1,
        fraction: float | Span = (0.0, 0.2),
        fade_s: float = 0.0,
        fill: str = "zero",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.n_masks = checks.integer("TimeMask", "n_masks", n_masks)
        self.fraction = checks.span("TimeMask", "fraction", fraction, low=0.0, high=1.0)
        self.fade_s = checks.number("TimeMask", "fade_s", fade_s, low=0.0)
        self.fill = checks.choice("TimeMask", "fill", fill, ("zero", "noise"))

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``noise_key``, of ``width``, shares of the item, and of ``start``, fractions."""
        return {"noise_key": key(), "width": uniform(self.fraction, self.n_masks), "start": fraction(self.n_masks)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that hides spans of the active items."""
        fade = round(self.fade_s * info.known_rate("a fade in seconds")) if self.fade_s else 0
        share = torch.where(params["active"].unsqueeze(-1), params["width"], 0)
        widths = torch.round(share.to(info.lengths.device, non_blocking=True) * info.lengths.unsqueeze(-1)).long()
        hidden = spans(widths, params["start"], info.lengths)
        keys = params["noise_key"] if self.fill == "noise" else None
        edit = info.edit(hide_spans, params["active"], spans=hidden, fade=fade, keys=keys)
        return edit._replace(time=lambda: info.around(hidden), hides=True)
