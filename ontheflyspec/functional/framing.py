"""Cutting signals into frames: counts, edges, and every item reflected at its own end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ontheflyspec.batch import as_float, expand_mask, length_mask


def frame_count(lengths: Any, n_fft: int, hop_length: int, center: bool) -> Any:
    """Returns frames for samples, an int for an int and a tensor for a tensor.

    0 samples give 0 frames; n >= 1 gives ``1 + n // hop_length`` if ``center``, else
    ``max(0, 1 + (n - n_fft) // hop_length)``.
    """
    if isinstance(lengths, Tensor):
        if center:
            return (1 + lengths // hop_length) * (lengths > 0)
        return (1 + (lengths - n_fft) // hop_length).clamp(min=0)
    if center:
        return 1 + lengths // hop_length if lengths > 0 else 0
    return max(0, 1 + (lengths - n_fft) // hop_length)


def reflect(index: Tensor, n: Tensor | int) -> Tensor:
    """Returns positions in ``0 .. n - 1`` for any integer position, as ``numpy.pad(mode="reflect")`` repeats them."""
    last = (n - 1).clamp(min=0) if isinstance(n, Tensor) else max(n - 1, 0)
    period = (2 * last).clamp(min=1) if isinstance(last, Tensor) else max(2 * last, 1)
    folded = index.remainder(period)
    return torch.minimum(folded, 2 * last - folded).clamp(min=0)


def cut(x: Tensor, lengths: Tensor) -> Tensor:
    """Returns ``x`` with exactly 0 past each length of its last axis."""
    return x.masked_fill(~expand_mask(length_mask(lengths, x.shape[-1], x.device), x), 0)


def extend(x: Tensor, lengths: Tensor | None, left: int, right: int, pad_mode: str) -> Tensor:
    """Returns signals with ``left`` and ``right`` samples more, each reflected or zero at its own end.

    Args:
        x: ``[..., T]`` with ``T >= 1``, first axis B; what stands past each length counts as nothing.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        left: samples before the start.
        right: samples after each end; what lies beyond them is 0.
        pad_mode: ``"reflect"`` or ``"constant"`` (zeros).

    Shape: ``[..., left + T + right]``.
    """
    size = x.shape[-1]
    if lengths is not None:
        x = cut(x, lengths)
    if pad_mode == "constant" or left + right == 0:
        return torch.nn.functional.pad(x, (left, right))
    before = torch.arange(-left, 0, device=x.device)
    after = torch.arange(right, device=x.device)
    if lengths is None:
        head, tail = x[..., reflect(before, size)], x[..., reflect(size + after, size)]
        return torch.cat([head, x, tail], -1)
    n = lengths.to(x.device, non_blocking=True).unsqueeze(-1)
    middle = (x.shape[0], *[1] * (x.dim() - 2))
    head = _take(x, reflect(before, n).reshape(*middle, left))
    tail = _take(x, reflect(n + after, n).reshape(*middle, right))
    out = torch.cat([head, x, torch.zeros_like(tail)], -1)
    places = (left + n + after).reshape(*middle, right)
    return out.scatter(-1, places.expand_as(tail), tail)


def _take(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(-1, index.expand(*x.shape[:-1], index.shape[-1]))


def frames(
    x: Tensor, lengths: Tensor | None, *, n_fft: int, hop_length: int, center: bool, pad_mode: str
) -> tuple[Tensor, int]:
    """Returns the extended signals, ``[..., L]``, and how many frames of ``n_fft`` every ``hop_length`` they hold."""
    count: int = frame_count(x.shape[-1], n_fft, hop_length, center)
    if x.shape[-1] == 0:
        x = torch.nn.functional.pad(x, (0, 1))
    if center:
        return extend(x, lengths, n_fft // 2, n_fft - n_fft // 2, pad_mode), count
    if lengths is not None:
        x = extend(x, lengths, 0, 0, "constant")
    return torch.nn.functional.pad(x, (0, max(n_fft - x.shape[-1], 0))), count


def edges(
    rows: Tensor, sizes: list[int], left: int, right: int, pad_mode: str, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Returns what lies before and after each signal, ``[R, left]`` and ``[R, right]``, as floats.

    Args:
        rows: signals ``[R, T]``.
        sizes: samples of each signal.
        left: samples before.
        right: samples after.
        pad_mode: ``"reflect"`` or ``"constant"`` (zeros).
        dtype: of the floats.
    """
    count, size = rows.shape
    if pad_mode == "constant" or left + right == 0 or size == 0:
        return rows.new_zeros(count, left, dtype=dtype), rows.new_zeros(count, right, dtype=dtype)
    ends = torch.tensor(sizes, device=rows.device).unsqueeze(-1)
    places = torch.arange(-left, right, device=rows.device)
    around = rows.gather(1, reflect(places + ends * (places >= 0), ends))
    floats = as_float(around, dtype)
    return floats[:, :left], floats[:, left:]
