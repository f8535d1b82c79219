"""Peak, RMS and loudness normalisation on a CPU, each item measured and scaled while it is in the cache."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.functional.loudness import Measure, bring_to_level, factors_to, gated_amplitude, k_weighting
from ontheflyspec.functional.snr import db_to_amplitude
from ontheflyspec.functional.stft import safe_sqrt
from ontheflyspec.kernels.cpu.filtering import filter_items_rows
from ontheflyspec.kernels.cpu.statistics import sum_of
from ontheflyspec.kernels.rows import Layout, Rows, by_item


@bring_to_level.kernel("rows")
def bring_to_level_rows(
    like: Layout, lengths: Tensor, *, target_db: Tensor, measure: Measure, rate: float | None
) -> Rows:
    """Writes items times their factors; K-weighted items take the place of the results until they are measured."""
    targets = db_to_amplitude(target_db).to(like.dtype)

    def write_one(new: Tensor, old: Tensor, row: int) -> None:
        if measure == "peak":
            low, high = old.aminmax()
            level = torch.maximum(-low, high)
        elif measure == "rms":
            level = safe_sqrt(sum_of(old, "item", None, squared=True) / old.numel())
        else:
            assert rate is not None
            level = gated_amplitude(new.contiguous(), lengths[row : row + 1], rate)
        torch.mul(old, factors_to(level, targets[row], level >= torch.finfo(level.dtype).tiny), out=new)

    scaled = by_item(write_one, lengths, cost=3)
    if measure != "loudness":
        return scaled
    assert rate is not None
    sections = k_weighting(rate).expand(len(lengths), -1, -1, -1)
    weighted = filter_items_rows(like, lengths, sections=sections, zero_phase=False)

    def write(out: Tensor, data: Tensor, rows: list[int]) -> None:
        weighted.write(out, data, rows)
        scaled.write(out, data, rows)

    return Rows(write, cost=12)
