"""Padding and framing of signals: zeros past each length, reflection at each item's own ends, gathering of steps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import expand_mask, length_mask
from ontheflyspec.framing import Framing
from ontheflyspec.kept import kept, where, zeros


def zero_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Returns ``x`` with exactly 0 past each length of its last axis; ``x`` itself if all items are full (None)."""
    if lengths is None:
        return x
    return where(expand_mask(length_mask(lengths, x.shape[-1], x.device), x), x, 0)


def ends(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Returns the steps of each item, int64 ``[B, 1]`` on the device of ``[B, ..., N]``; ``[1, 1]`` if all are full."""
    if lengths is None:
        return torch.full((1, 1), x.shape[-1], device=x.device)
    return lengths.to(x.device, non_blocking=True).unsqueeze(-1)


def take(x: Tensor, places: Tensor) -> Tensor:
    """Gathers steps ``[B, ..., n]`` of ``[B, ..., N]`` data at places ``[B, n]`` of each item, or ``[1, n]`` of all."""
    index = places.reshape(places.shape[0], *[1] * (x.dim() - 2), places.shape[1])
    return x.gather(-1, index.expand(*x.shape[:-1], places.shape[1]))


def reflect(index: Tensor, n: Tensor) -> Tensor:
    """Returns positions in ``0 .. n - 1`` for any integers, reflected as by ``numpy.pad(mode="reflect")``."""
    period = (2 * n - 2).clamp(min=1)
    folded = index.remainder(period)
    return torch.minimum(folded, period - folded)


def extend(x: Tensor, lengths: Tensor | None, left: int, right: int, pad_mode: str) -> Tensor:
    """Pads signals by ``left`` and ``right`` samples, reflected or zero at each item's own ends.

    Args:
        x: ``[B, ..., T]`` with ``T >= 1``; values past each length are ignored.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        left: samples before the start.
        right: samples after each item's end; the result is 0 beyond them.
        pad_mode: ``"reflect"`` or ``"constant"`` (zeros).

    Shape: ``[B, ..., left + T + right]``.
    """
    x = zero_padding(x, lengths)
    if pad_mode == "constant" or left + right == 0:
        return pad(x, (left, right))
    n, (first, after) = ends(x, lengths), _outside(x.device, left, right)
    outside = torch.addcmul(first, n, after)
    beyond = take(x, reflect(outside, n))
    head, tail = beyond[..., :left], beyond[..., left:]
    if lengths is None:
        return torch.cat([head, x, tail], -1)
    places = (outside[:, left:] + left).reshape(-1, *[1] * (x.dim() - 2), right).expand_as(tail)
    return torch.cat([head, x, zeros(x).expand_as(tail)], -1).scatter_(-1, places, tail)


@kept(64)
def _outside(device: torch.device, left: int, right: int) -> tuple[Tensor, ...]:
    """Returns places before the start and after an end at 0, int64 ``[left + right]``, and 1 for those after it."""
    number = torch.arange(-left, right, device=device)
    return number, (number >= 0).long()


def frames(x: Tensor, lengths: Tensor | None, framing: Framing) -> tuple[Tensor, int]:
    """Returns signals padded for framing, ``[B, ..., L]``, and the number of frames they hold."""
    count: int = framing.count(x.shape[-1])
    if x.shape[-1] == 0:
        x = pad(x, (0, 1))
    inside = framing.n_fft - framing.before - framing.after  # samples that a first frame needs
    missing = inside - x.shape[-1] if x.shape[-1] < inside else 0
    if framing.center:
        x = extend(x, lengths, framing.before, framing.after, framing.pad_mode)
    else:
        x = zero_padding(x, lengths)
    return pad(x, (0, missing)) if missing else x, count
