"""Augmentations that cut rectangles out of spectrograms."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, column
from ontheflyspec.augment.spectrogram import checked_fill, fill_values
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.masking import mask_holes, spans


class SpecCutout(Augment):
    """Hides rectangles of each item, some frames by some bands each, behind a constant.

    Sizes are drawn evenly from 0 up to and with the largest, places evenly from where the hole fits into the item:
    holes lie inside the valid frames. Time stays in its place.

    Args:
        n_holes: how many rectangles.
        max_frames: most frames of a hole; holes are no longer than the item.
        max_bands: most bands of a hole; holes are no wider than the spectrogram.
        fill: ``"mean"`` of the item's own valid part before cutting, ``"zero"``, or a number.
        p: probability that an item is changed.
        seed: makes two cutouts differ.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one draw an item over all its channels.

    Padding:
        Left out of holes and mean; 0 past each length.

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

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active``, bool ``[B]``; sizes, int64, and starts, float64 fractions, of the holes, ``[B, k]``."""
        count = self.n_holes
        active, frames, first, bands, lowest = torch.split(self.uniform(ids, key, 1 + 4 * count), [1, *[count] * 4], -1)
        return {
            "active": active[:, 0] < self.p,
            "frames": (frames * (self.max_frames + 1)).long(),
            "first": first,
            "bands": (bands * (self.max_bands + 1)).long(),
            "lowest": lowest,
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with rectangles of each active item hidden."""
        data, lengths = batch.data, batch.lengths
        frames = torch.where(
            column(params["active"], torch.bool).unsqueeze(-1), column(params["frames"], torch.int64), 0
        )
        times = spans(frames, column(params["first"], torch.float64), lengths)
        n_bands = torch.full_like(lengths, data.shape[-2])
        rows = spans(column(params["bands"], torch.int64), column(params["lowest"], torch.float64), n_bands)
        return batch._replace(data=mask_holes(data, lengths, times, rows, fill_values(self.fill, data, lengths)))
