"""Augmentations of spectrograms."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, column
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional.masking import mask_spans, span_mask, spans
from ontheflyspec.functional.statistics import valid_mean


class SpecAugment(Augment):
    """Hides spans of frames and bands of each item behind a constant.

    Widths are drawn evenly from 0 up to and with the parameter, starts evenly from where the span fits into the item:
    time masks lie inside the valid frames. Frames are not warped.

    Args:
        n_time_masks: how many spans of frames.
        time_mask_param: longest span of frames; spans are no longer than the item.
        n_freq_masks: how many spans of bands.
        freq_mask_param: widest span of bands; spans are no wider than the spectrogram.
        fill: ``"mean"`` of the item's own valid part before masking, ``"zero"``, or a number.
        p: probability that an item is changed.
        seed: makes two maskings differ.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one draw an item over all its channels.

    Padding:
        Left out of masks and mean; 0 past each length.

    Raises:
        ValueError: counts or widths below 0, an unknown fill, a probability outside 0..1.
        TypeError: complex spectrograms.

    Matches:
        Masks written one by one in numpy, bitwise (tests/augment/test_spectrogram.py).

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
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        where = "SpecAugment"
        self.n_time_masks = checks.integer(where, "n_time_masks", n_time_masks, low=0)
        self.time_mask_param = checks.integer(where, "time_mask_param", time_mask_param, low=0)
        self.n_freq_masks = checks.integer(where, "n_freq_masks", n_freq_masks, low=0)
        self.freq_mask_param = checks.integer(where, "freq_mask_param", freq_mask_param, low=0)
        named = isinstance(fill, str)
        self.fill = (
            checks.choice(where, "fill", fill, ("mean", "zero")) if named else checks.number(where, "fill", fill)
        )

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active``, bool ``[B]``; widths, int64, and starts, float64 fractions, of the masks, ``[B, k]``."""
        times, bands = self.n_time_masks, self.n_freq_masks
        unit = self.uniform(ids, key, 1 + 2 * (times + bands))
        active, time_width, time_start, freq_width, freq_start = torch.split(unit, [1, times, times, bands, bands], -1)
        return {
            "active": active[:, 0] < self.p,
            "time_width": (time_width * (self.time_mask_param + 1)).long(),
            "time_start": time_start,
            "freq_width": (freq_width * (self.freq_mask_param + 1)).long(),
            "freq_start": freq_start,
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with spans of each active item hidden."""
        data, lengths = batch.data, batch.lengths
        frames = self._mask(params, "time", lengths, data.shape[-1], data.device)
        n_bands = torch.full_like(lengths, data.shape[-2])
        bands = self._mask(params, "freq", n_bands, data.shape[-2], data.device)
        if self.fill == "mean":
            fill = valid_mean(data, lengths)
        else:
            fill = data.new_full((1,), 0.0 if self.fill == "zero" else float(self.fill))
        return batch._replace(data=mask_spans(data, lengths, frames, bands, fill))

    def _mask(self, params: Params, axis: str, sizes: Tensor, size: int, device: torch.device) -> Tensor:
        active = column(params["active"], torch.bool).unsqueeze(-1)
        widths = torch.where(active, column(params[f"{axis}_width"], torch.int64), 0)
        starts, ends = spans(widths, column(params[f"{axis}_start"], torch.float64), sizes)
        return span_mask(starts, ends, size, device)
