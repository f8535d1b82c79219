"""Augmentations of spectrograms."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, column, known_rate
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.masking import gaps, mask_spans, spans
from ontheflyspec.functional.statistics import valid_mean
from ontheflyspec.functional.warping import read_between, warp_knots, warp_positions
from ontheflyspec.targets import Pieces

POLICIES = {
    "LB": (80, 27, 100, 1.0, 1),
    "LD": (80, 27, 100, 1.0, 2),
    "SM": (40, 15, 70, 0.2, 2),
    "SS": (40, 27, 70, 0.2, 2),
}
"""The paper's W, F, T, p, and numbers of masks."""


def checked_fill(where: str, fill: str | float) -> str | float:
    """Returns what hidden values become, checked: ``"mean"``, ``"zero"`` or a number."""
    if isinstance(fill, str):
        return checks.choice(where, "fill", fill, ("mean", "zero"))
    return checks.number(where, "fill", fill)


def fill_values(fill: str | float, data: Tensor, lengths: Tensor) -> Tensor:
    """Returns what hidden values become: ``[B, 1, ...]`` means of the items, or ``[1]`` for all."""
    if fill == "mean":
        return valid_mean(data, lengths)
    return data.new_full((1,), 0.0 if fill == "zero" else float(fill))


class SpecAugment(Augment):
    """Hides spans of frames and bands of each item behind a constant.

    Widths are drawn evenly from 0 up to and with the parameter, starts evenly from where the span fits into the item:
    time masks lie inside the valid frames. With ``time_warp_param``, a point of the item's time first moves earlier
    or later: the frames before it are stretched or squeezed evenly, those after it the other way, and the item's first
    and last frame stay. Frames are read linearly between their neighbours.

    Args:
        n_time_masks: how many spans of frames.
        time_mask_param: longest span of frames; spans are no longer than the item.
        n_freq_masks: how many spans of bands.
        freq_mask_param: widest span of bands; spans are no wider than the spectrogram.
        fill: ``"mean"`` of the item's own valid part before masking, ``"zero"``, or a number.
        max_time_share: largest share of the item's own frames that one time mask may take, the paper's p; wider draws
            are cut to it.
        time_warp_param: by how many frames at most a point of the item moves, the paper's W, 0 for none. The point is
            drawn evenly from those at least as far from both ends, the move evenly from both directions; items of
            ``2 * time_warp_param + 1`` frames or fewer have no such point and are not warped.
        p: probability that an item is changed.
        seed: makes two maskings differ.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one draw an item over all its channels.

    Padding:
        Left out of masks and mean; 0 past each length.

    Raises:
        ValueError: counts or widths below 0, an unknown fill or policy, a probability or share outside 0..1.
        TypeError: complex spectrograms.

    Matches:
        Masks written one by one in numpy, bitwise, and warps by ``numpy.interp``, 1e-6 of the peak
        (tests/augment/test_spectrogram.py).

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
        where = "SpecAugment"
        self.n_time_masks = checks.integer(where, "n_time_masks", n_time_masks, low=0)
        self.time_mask_param = checks.integer(where, "time_mask_param", time_mask_param, low=0)
        self.n_freq_masks = checks.integer(where, "n_freq_masks", n_freq_masks, low=0)
        self.freq_mask_param = checks.integer(where, "freq_mask_param", freq_mask_param, low=0)
        self.fill = checked_fill(where, fill)
        self.max_time_share = checks.number(where, "max_time_share", max_time_share, low=0.0, high=1.0)
        self.time_warp_param = checks.integer(where, "time_warp_param", time_warp_param, low=0)

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
        warp, bands, frames, share, count = POLICIES[checks.choice("SpecAugment.policy", "name", name, POLICIES)]
        return cls(
            n_time_masks=count,
            time_mask_param=frames,
            n_freq_masks=count,
            freq_mask_param=bands,
            fill=fill,
            max_time_share=share,
            time_warp_param=warp,
            p=p,
            seed=seed,
        )

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active``, bool ``[B]``; widths, int64, and starts, float64 fractions, of the masks, ``[B, k]``.

        With a warp also ``warp_at``, a float64 fraction, and ``warp_by``, float64 frames, ``[B]`` each.
        """
        times, bands = self.n_time_masks, self.n_freq_masks
        warps = 2 if self.time_warp_param else 0
        parts = [1, times, times, bands, bands, warps]
        drawn = torch.split(self.uniform(ids, key, sum(parts)), parts, -1)
        active, time_width, time_start, freq_width, freq_start, warp = drawn
        table = {
            "active": active[:, 0] < self.p,
            "time_width": (time_width * (self.time_mask_param + 1)).long(),
            "time_start": time_start,
            "freq_width": (freq_width * (self.freq_mask_param + 1)).long(),
            "freq_start": freq_start,
        }
        if warps:
            table |= {"warp_at": warp[:, 0], "warp_by": (2 * warp[:, 1] - 1) * self.time_warp_param}
        return table

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with each active item warped and spans of it hidden."""
        data, lengths = batch.data, batch.lengths
        if "warp_at" in params:
            before, after = self._knots(params, lengths)
            data = read_between(data, lengths, warp_positions(before, after, lengths, data.shape[-1]))
        n_bands = torch.full_like(lengths, data.shape[-2])
        frames, bands = self._spans(params, "time", lengths), self._spans(params, "freq", n_bands)
        return batch._replace(data=mask_spans(data, lengths, frames, bands, fill_values(self.fill, data, lengths)))

    def pieces(self, batch: PaddedBatch, params: Params) -> Pieces | None:
        """Returns each item's time, warped, without what is hidden; None if only bands may be."""
        if not (self.n_time_masks or "warp_at" in params):
            return None
        rate, lengths = known_rate("SpecAugment", batch, "times in seconds"), batch.lengths
        seen = gaps(*self._spans(params, "time", lengths), lengths)
        if "warp_at" not in params:
            first, last = (steps.double() / rate for steps in seen)
            return Pieces(first, last, first, torch.ones_like(first))
        return warped_pieces(*self._knots(params, lengths), lengths, seen, rate)

    def _spans(self, params: Params, axis: str, sizes: Tensor) -> tuple[Tensor, Tensor]:
        active = column(params["active"], torch.bool).unsqueeze(-1)
        widths = torch.where(active, column(params[f"{axis}_width"], torch.int64), 0)
        most = (
            None if axis == "freq" or self.max_time_share == 1 else (sizes.double() * self.max_time_share + 1e-9).long()
        )
        return spans(widths, column(params[f"{axis}_start"], torch.float64), sizes, most)

    def _knots(self, params: Params, lengths: Tensor) -> tuple[Tensor, Tensor]:
        by = torch.where(column(params["active"], torch.bool), column(params["warp_by"], torch.float64), 0)
        return warp_knots(column(params["warp_at"], torch.float64), by, lengths, self.time_warp_param)


def warped_pieces(before: Tensor, after: Tensor, lengths: Tensor, seen: tuple[Tensor, Tensor], rate: float) -> Pieces:
    """Returns where the two stretches of warped items go, without what is hidden.

    Args:
        before: float64 ``[B]``, frames, where the moved point of each item was.
        after: float64 ``[B]``, where it is.
        lengths: int64 ``[B]``, frames.
        seen: first and last-plus-one frames of what is not hidden, ``[B, k]`` each.
        rate: frames per second.
    """
    lengths = lengths.to(before.device, non_blocking=True)
    last, end, still = (lengths - 1).double(), lengths.double(), before == after
    # The second stretch goes on at its slope beyond the last frame, which stays, to the end of the item.
    slope = torch.stack([after / torch.where(still, 1, before), (last - after) / torch.where(still, 1, last - before)])
    slope = torch.where(still, 1, slope).T.unsqueeze(-1)
    before, after = (torch.where(still, end, point) for point in (before, after))
    start = torch.stack([torch.zeros_like(before), before], 1).unsqueeze(-1)
    place = torch.stack([torch.zeros_like(after), after], 1).unsqueeze(-1)
    until = torch.stack([before, end], 1).unsqueeze(-1)
    reached = torch.minimum(place + (until - start) * slope, end.reshape(-1, 1, 1))
    low, high = (frames.double().unsqueeze(1) for frames in seen)
    low = torch.maximum(torch.minimum(low, reached), place)
    high = torch.maximum(torch.minimum(high, reached), low)
    first, until = (start + (frames - place) / slope for frames in (low, high))
    moved = torch.stack([first / rate, until / rate, low / rate, slope.expand_as(low)])
    return Pieces(*moved.flatten(2))
