"""Mean, power, variance and standardisation over each item's valid part, the same alone as in a batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ontheflyspec.batch import expand_mask, length_mask
from ontheflyspec.functional.stft import safe_sqrt
from ontheflyspec.kept import where
from ontheflyspec.op import Op
from ontheflyspec.precision import wide

Per = Literal["item", "feature"]


def running_sum(x: Tensor, axis: int) -> Tensor:
    """Returns cumulative sums along an axis, on CUDA under ``torch.use_deterministic_algorithms``, too.

    There torch refuses ``cumsum`` of floats, whose parallel sums may differ from call to call.
    """
    refused = x.device.type == "cuda" and torch.are_deterministic_algorithms_enabled()
    return summed_by_doubling(x, axis) if refused else x.cumsum(axis)


def summed_by_doubling(x: Tensor, axis: int) -> Tensor:
    """Returns cumulative sums along an axis, each of two halves that were summed before, always in the same order."""
    x = x.movedim(axis, -1)
    reach, size = 1, x.shape[-1]
    while reach < size:
        x = torch.cat([x[..., :reach], x[..., reach:] + x[..., : size - reach]], -1)
        reach *= 2
    return x.movedim(-1, axis)


def valid_mean(data: Tensor, lengths: Tensor | None, *, per: Per = "item") -> Tensor:
    """Returns the mean of the valid part of each item, or of each of its features (axis -2).

    On the CPU, where nothing requires grad, each item is summed on its own contiguous copy, so that the result is bit
    for bit that of the item alone. Elsewhere a masked sum gives the same within rounding, without waiting for the
    device.

    Args:
        data: ``[B, ..., N]``, floats; values past an item's length are ignored, NaN too.
        lengths: int64 ``[B]`` on any device, None where every item is full.
        per: ``"item"`` over all but axis 0, ``"feature"`` over all but axes 0 and -2.

    Returns:
        The means in a shape that broadcasts over ``data``: ``[B, 1, ..., 1]`` or ``[B, 1, ..., F, 1]``; 0 for items
        of length 0.

    Example:
        >>> import torch
        >>> data = torch.tensor([[1.0, 3.0, 99.0], [1.0, 2.0, 3.0]])
        >>> valid_mean(data, torch.tensor([2, 3])).flatten().tolist()
        [2.0, 2.0]
    """
    return _mean(data, lengths, per, None, squared=False, ddof=0)


def valid_power(data: Tensor, lengths: Tensor | None, *, per: Per = "item") -> Tensor:
    """Returns the power (mean square) of valid parts; arguments and shape as in `valid_mean`."""
    return _mean(data, lengths, per, None, squared=True, ddof=0)


def valid_variance(data: Tensor, lengths: Tensor | None, mean: Tensor, *, per: Per = "item", ddof: int = 0) -> Tensor:
    """Returns the variance of valid parts: the mean square distance from ``mean``, of `valid_mean`.

    Args:
        data: as in `valid_mean`.
        lengths: as in `valid_mean`.
        mean: broadcasts over ``data``, axis 0 of size B.
        per: as in `valid_mean`.
        ddof: subtracted from the count, which stays at least 1.
    """
    return _mean(data, lengths, per, mean, squared=True, ddof=ddof)


def exact_mean(data: Tensor, lengths: Tensor | None, *, per: Per = "item") -> Tensor:
    """Returns the mean of valid parts, of equal values exactly their value; arguments as in `valid_mean`.

    Sums of float32 values are taken in float64, where those of equal ones are exact; those of float64 are corrected by
    the mean distance from a first mean, which is exact there.
    """
    precise = wide(data.device)
    if data.dtype != precise:
        return _mean(data, lengths, per, None, squared=False, ddof=0, dtype=precise).to(data.dtype)
    mean = valid_mean(data, lengths, per=per)
    return mean + _mean(data, lengths, per, mean, squared=False, ddof=0)


def _mean(
    data: Tensor,
    lengths: Tensor | None,
    per: Per,
    centre: Tensor | None,
    *,
    squared: bool,
    ddof: int,
    dtype: torch.dtype | None = None,
) -> Tensor:
    shared = data.shape[1:-1] if per == "item" else data.shape[1:-2]
    shape = (-1, *[1] * (data.dim() - 1)) if per == "item" else (-1, *[1] * (data.dim() - 3), data.shape[-2], 1)
    total = valid_sums(data, lengths, per=per, centre=centre, squared=squared, dtype=dtype).reshape(shape)
    if lengths is None:
        return total / max(data.shape[-1] * shared.numel() - ddof, 1)
    count = lengths if shared.numel() == 1 else lengths * shared.numel()
    count = (count - ddof if ddof else count).clamp(min=1).to(data.device, non_blocking=True)
    return total / count.reshape(-1, *[1] * (data.dim() - 1))


@Op
def valid_sums(
    data: Tensor,
    lengths: Tensor | None,
    *,
    per: Per,
    centre: Tensor | None,
    squared: bool,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Returns sums over valid parts, ``[B]`` or ``[B, F]``: of values, less a centre if given, squared if asked for.

    They are added up in ``dtype``, None for that of the data.
    """
    mask = None
    if lengths is not None:
        mask = expand_mask(length_mask(lengths, data.shape[-1], data.device), data)
        data = where(mask, data, 0)
    if centre is not None:
        data = data - centre
        data = data if mask is None else where(mask, data, 0)
    data = data * data if squared else data
    return (data.flatten(1) if per == "item" else data.movedim(-2, 1).flatten(2)).sum(-1, dtype=dtype)


@Op
def normalise(data: Tensor, lengths: Tensor | None, *, per: Per, eps: float, ddof: int) -> Tensor:
    """Standardises by each item's own valid statistics, ``(x - mean) / (std + eps)``, exactly 0 past each length."""
    mean = exact_mean(data, lengths, per=per)
    variance = valid_variance(data, lengths, mean, per=per, ddof=ddof)
    return standardise.reference(data, lengths, mean=mean, std=safe_sqrt(variance), eps=eps)


@Op
def standardise(data: Tensor, lengths: Tensor | None, *, mean: Tensor, std: Tensor, eps: float) -> Tensor:
    """Standardises, ``(x - mean) / (std + eps)``; exactly 0 past each length and where ``std + eps`` is 0."""
    scale = scale_for(std, eps, data.dtype)
    if lengths is None:
        return (data - mean.to(data.dtype)) * scale
    mask = expand_mask(length_mask(lengths, data.shape[-1], data.device), data)
    return where(mask, (where(mask, data, 0) - mean.to(data.dtype)) * scale, 0)


def scale_for(std: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Returns ``1 / (std + eps)``, 0 where ``std + eps`` is 0."""
    scale = (std + eps).to(dtype)
    kept = scale > 0
    return where(kept, where(kept, scale, 1).reciprocal(), 0)
