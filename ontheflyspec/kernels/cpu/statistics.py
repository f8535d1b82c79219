"""Sums, means and normalisation on a CPU, each item's from a contiguous copy of its valid part."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.functional.statistics import normalise, scale_for, standardise, valid_sums
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.rows import items_kernel
from ontheflyspec.pipeline import Block

normalise.kernel("rows")(items_kernel(normalise.reference))
standardise.kernel("rows")(items_kernel(standardise.reference))


@valid_sums.kernel("cpu")
def sums_of_items(
    data: Tensor,
    lengths: Tensor | None,
    *,
    per: str,
    centre: Tensor | None,
    squared: bool,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Returns sums ``[B]`` of items, or ``[B, F]`` of their features."""
    sizes = [data.shape[-1]] * data.shape[0] if lengths is None else lengths.tolist()
    sums = data.new_empty((data.shape[0],) if per == "item" else (data.shape[0], data.shape[-2]), dtype=dtype)

    def job(row: int) -> None:
        middle = None if centre is None else centre[row]
        sums[row] = sum_of(data[row, ..., : sizes[row]], per, middle, squared, dtype)

    threads.each(job, len(sizes), data.numel())
    return sums


def sum_of(part: Tensor, per: str, centre: Tensor | None, squared: bool, dtype: torch.dtype | None = None) -> Tensor:
    """Returns the sum of one item's valid part ``[..., F, n]``, or of each of its features."""
    part = (part if per == "item" else part.movedim(-2, 0)).contiguous()
    if centre is not None:
        part = part - (centre if per == "item" else centre.movedim(-2, 0))
    part = part * part if squared else part
    return part.sum(dtype=dtype) if per == "item" else part.flatten(1).sum(1, dtype=dtype)


@standardise.kernel("block")
def standardise_block(*, mean: Tensor, std: Tensor, eps: float) -> Block:
    """Standardises values by fixed statistics."""

    def compute(x: Tensor) -> Tensor:
        return x.sub_(mean.to(x.dtype)).mul_(scale_for(std, eps, x.dtype))

    return Block(compute)
