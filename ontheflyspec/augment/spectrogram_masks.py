"""Masking of spectrograms: SpecAugment (time warp, time and frequency masks) and cutout of rectangles.

Ranges are declared here; `augment.base` draws from them, `functional.masks.spans` puts masks in their places.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, fraction, integers
from ontheflyspec.functional.masks import Spans, gaps, mask_holes, mask_spans, spans
from ontheflyspec.functional.warping import mask_warped, warp_knots, warp_positions
from ontheflyspec.labels import TimeMap
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info

POLICY = ("time_warp_param", "freq_mask_param", "time_mask_param", "max_time_share", "n_time_masks", "n_freq_masks")
"""Options that a policy of the paper sets: its W, F, T, p, and twice its number of masks."""
POLICIES = {
    "LB": (80, 27, 100, 1.0, 1, 1),
    "LD": (80, 27, 100, 1.0, 2, 2),
    "SM": (40, 15, 70, 0.2, 2, 2),
    "SS": (40, 27, 70, 0.2, 2, 2),
}


def checked_fill(where: str, fill: str | float) -> str | float:
    """Returns the fill of hidden values, checked: ``"mean"``, ``"zero"`` or a number."""
    if isinstance(fill, str):
        return checks.choice(where, "fill", fill, ("mean", "zero"))
    return checks.number(where, "fill", fill)


class SpecAugment(Augment):
    """SpecAugment: masks spans of frames and bands of each item with a constant, after an optional time warp.

    Widths are drawn uniformly from 0 to the parameter inclusive, starts uniformly from those where the span fits into
    the item: time masks lie inside the valid frames. With ``time_warp_param``, a point of the item's time first moves
    earlier or later: the frames before it are stretched or squeezed linearly, those after it the other way, and the
    item's first and last frame stay. Frames are interpolated linearly.

    Args:
        n_time_masks: number of time masks.
        time_mask_param: longest span of frames; spans are no longer than the item.
        n_freq_masks: number of frequency masks.
        freq_mask_param: widest span of bands; spans are no wider than the spectrogram.
        fill: ``"mean"`` of the item's own valid part before masking, ``"zero"``, or a number.
        max_time_share: largest share of the item's own frames that one time mask may take, the paper's p; wider draws
            are cut to it.
        time_warp_param: by how many frames at most a point of the item moves, the paper's W, 0 for none. The point is
            drawn uniformly from those at least as far from both ends, the move uniformly from both directions; items of
            ``2 * time_warp_param + 1`` frames or fewer have no such point and are not warped.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one draw an item over all its channels.

    Padding:
        Excluded from masks and mean; 0 past each length.

    Raises:
        ValueError: counts or widths below 0, an unknown fill or policy, a probability or share outside 0..1.
        TypeError: complex spectrograms.

    Matches:
        Masks written one by one in numpy, bitwise, and warps by ``numpy.interp``, 1e-6 of the peak
        (tests/augment/test_spectrogram_masks.py).

    References:
        Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition", 2019.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> masked = ofs.augment.SpecAugment(n_freq_masks=0, time_mask_param=3, fill="zero")(torch.ones(4, 20))
        >>> masked.shape, bool((20 - masked[0].sum() <= 6).item())
        (torch.Size([4, 20]), True)
    """

    item_rank = 2

    def __init__(
        self,
        *,
        n_time_masks: int = 2,
        time_mask_param: int = 40,
        n_freq_masks: int = 2,
        freq_mask_param: int = 15,
        fill: str | float = "mean",
        max_time_share: float = 1.0,
        time_warp_param: int = 0,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.n_time_masks = checks.integer("SpecAugment", "n_time_masks", n_time_masks, low=0)
        self.time_mask_param = checks.integer("SpecAugment", "time_mask_param", time_mask_param, low=0)
        self.n_freq_masks = checks.integer("SpecAugment", "n_freq_masks", n_freq_masks, low=0)
        self.freq_mask_param = checks.integer("SpecAugment", "freq_mask_param", freq_mask_param, low=0)
        self.fill = checked_fill("SpecAugment", fill)
        self.max_time_share = checks.number("SpecAugment", "max_time_share", max_time_share, low=0.0, high=1.0)
        self.time_warp_param = checks.integer("SpecAugment", "time_warp_param", time_warp_param, low=0)

    @classmethod
    def policy(cls, name: str, *, fill: str | float = "mean", p: float = 1.0, seed: int = 0) -> SpecAugment:
        """Returns one of the paper's policies (its table 1).

        Args:
            name: ``"LB"`` or ``"LD"``, basic and double for LibriSpeech; ``"SM"`` or ``"SS"``, mild and strong for
                Switchboard.
            fill: as in the class.
            p: as in the class.
            seed: as in the class.

        Raises:
            ValueError: another name.
        """
        values = POLICIES[checks.choice("SpecAugment.policy", "name", name, POLICIES)]
        options: dict[str, Any] = dict(zip(POLICY, values, strict=True))
        return cls(**options, fill=fill, p=p, seed=seed)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of widths, and of starts as fractions, of the masks; with a warp also of its place and move.

        ``warp_at`` is a fraction, ``warp_by`` is in frames.
        """
        times, bands, warp = self.n_time_masks, self.n_freq_masks, float(self.time_warp_param)
        known = {
            "time_width": integers((0, self.time_mask_param), times),
            "time_start": fraction(times),
            "freq_width": integers((0, self.freq_mask_param), bands),
            "freq_start": fraction(bands),
        }
        if warp:
            moves = Range(1, torch.float64, lambda unit, _: (2 * unit[:, 0] - 1) * warp)
            known |= {"warp_at": fraction(), "warp_by": moves}
        return known

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that masks frames and bands of the active items, after their time warp."""
        lengths, active = info.lengths, params["active"].unsqueeze(-1)
        most = None if self.max_time_share == 1 else (lengths.double() * self.max_time_share + 1e-9).long()
        frames = spans(torch.where(active, params["time_width"], 0), params["time_start"], lengths, most)
        n_bands = torch.full_like(lengths, info.bands)
        bands = spans(torch.where(active, params["freq_width"], 0), params["freq_start"], n_bands)
        masks = {"frames": frames, "bands": bands, "fill": self.fill}
        if not self.time_warp_param:
            edit = info.edit(mask_spans, None, **masks)
            return edit._replace(time=lambda: info.around(frames), hides=True) if self.n_time_masks else edit
        by = torch.where(params["active"], params["warp_by"], 0)
        knots = warp_knots(params["warp_at"], by, lengths, self.time_warp_param)
        positions = warp_positions(*knots, lengths, info.size)
        edit = info.edit(mask_warped, None, positions=positions, **masks)
        return edit._replace(time=lambda: warped_time_map(info, *knots, frames))


class SpecCutout(Augment):
    """Cutout: masks rectangles of each item, some frames by some bands each, with a constant.

    Sizes are drawn uniformly from 0 to the largest inclusive, places uniformly from those where the hole fits into the
    item: holes lie inside the valid frames. Time stays in its place.

    Args:
        n_holes: number of rectangles.
        max_frames: most frames of a hole; holes are no longer than the item.
        max_bands: most bands of a hole; holes are no wider than the spectrogram.
        fill: ``"mean"`` of the item's own valid part before cutting, ``"zero"``, or a number.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one draw an item over all its channels.

    Padding:
        Excluded from holes and mean; 0 past each length.

    Raises:
        ValueError: counts or sizes below 0, an unknown fill, a probability outside 0..1.
        TypeError: complex spectrograms.

    Matches:
        Holes written one by one in numpy, bitwise (tests/augment/test_cutout.py).

    References:
        DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> cut = ofs.augment.SpecCutout(n_holes=1, max_frames=3, max_bands=2, fill="zero")(torch.ones(4, 20))
        >>> bool((cut == 0).sum() <= 6)
        True
    """

    item_rank = 2

    def __init__(
        self,
        *,
        n_holes: int = 5,
        max_frames: int = 40,
        max_bands: int = 15,
        fill: str | float = "mean",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.n_holes = checks.integer("SpecCutout", "n_holes", n_holes, low=0)
        self.max_frames = checks.integer("SpecCutout", "max_frames", max_frames, low=0)
        self.max_bands = checks.integer("SpecCutout", "max_bands", max_bands, low=0)
        self.fill = checked_fill("SpecCutout", fill)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of the holes' sizes, and of their places as fractions: their first frame and lowest band."""
        return {
            "frames": integers((0, self.max_frames), self.n_holes),
            "first": fraction(self.n_holes),
            "bands": integers((0, self.max_bands), self.n_holes),
            "lowest": fraction(self.n_holes),
        }

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that hides the rectangles of the active items."""
        widths = torch.where(params["active"].unsqueeze(-1), params["frames"], 0)
        frames = spans(widths, params["first"], info.lengths)
        bands = spans(params["bands"], params["lowest"], torch.full_like(info.lengths, info.bands))
        return info.edit(mask_holes, None, frames=frames, bands=bands, fill=self.fill)


def warped_time_map(info: Info, before: Tensor, after: Tensor, hidden: Spans) -> TimeMap:
    """Returns the time map of warped items: two segments each, less the hidden spans.

    Args:
        info: of the batch.
        before: old place of the moved point of each item, in frames, float64 ``[B]``.
        after: its new place, likewise.
        hidden: masked spans of frames of the result.
    """
    rate, lengths = info.known_rate("times in seconds"), info.lengths.to(before.device, non_blocking=True)
    last, end, still = (lengths - 1).double(), lengths.double(), before == after
    # The second stretch goes on at its slope beyond the last frame, which stays, to the end of the item.
    slope = torch.stack([after / torch.where(still, 1, before), (last - after) / torch.where(still, 1, last - before)])
    slope = torch.where(still, 1, slope).T.unsqueeze(-1)
    before, after = (torch.where(still, end, point) for point in (before, after))
    start = torch.stack([torch.zeros_like(before), before], 1).unsqueeze(-1)
    place = torch.stack([torch.zeros_like(after), after], 1).unsqueeze(-1)
    until = torch.stack([before, end], 1).unsqueeze(-1)
    reached = torch.minimum(place + (until - start) * slope, end.reshape(-1, 1, 1))
    low, high = (frames.double().unsqueeze(1) for frames in gaps(*hidden, info.lengths))
    low = torch.maximum(torch.minimum(low, reached), place)
    high = torch.maximum(torch.minimum(high, reached), low)
    first, until = (start + (frames - place) / slope for frames in (low, high))
    moved = torch.stack([first / rate, until / rate, low / rate, slope.expand_as(low)])
    return TimeMap(*moved.flatten(2))
