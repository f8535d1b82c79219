"""Per-channel energy normalisation (PCEN), and the first-order recursive (IIR) smoothing that it divides by."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional.limits import held
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.functional.statistics import running_sum
from ontheflyspec.functional.stft import safe_power
from ontheflyspec.kept import count_up
from ontheflyspec.op import Op
from ontheflyspec.precision import matmul
from ontheflyspec.torch_internals import in_traces, tiles

BLOCK = 64
"""Steps of one triangular product; the states between blocks are found in the same way."""
NOTHING = -80.0
"""Logarithm of a decay that leaves nothing, in place of minus infinity."""


def recursion(x: Tensor, log_decay: Tensor, before: Tensor, levels: int = 2) -> Tensor:
    """Returns the first-order recursion ``y[n] = decay * y[n - 1] + x[n]`` along the last axis.

    Within a block it is one product with a triangle of powers of the decay, none above 1, so that nothing overflows and
    nothing is divided; the state that each block hands to the next follows from the same recursion over blocks.

    Args:
        x: ``[..., F, N]``.
        log_decay: ``[F]`` or ``[1]``, logarithm of the decay, finite and at most 0: more exact than a decay near 1.
        before: y at step -1, ``[..., F]``.
        levels: of blocks in a trace, which cannot count them; above them all is one block of any size.
    """
    size = x.shape[-1]
    if size == 0:
        return x
    traced = in_traces(True, False)
    split = levels > 0 if traced else size > BLOCK
    block, count = (BLOCK, tiles(-(-size // BLOCK), 2)) if split else (size if traced else BLOCK, 1)
    parts = torch.nn.functional.pad(x, (0, count * block - size))
    parts = parts.reshape(*x.shape[:-1], count, block)
    steps = count_up(block, x.device)
    lags = steps.unsqueeze(-1) - steps
    triangle = (log_decay.reshape(-1, 1, 1) * lags.clamp(min=0)).exp().masked_fill(lags < 0, 0)
    by_band = parts.movedim(-3, 0)
    inside = matmul(by_band.reshape(log_decay.shape[0], -1, block), triangle.mT)
    inside = inside.reshape(by_band.shape).movedim(0, -3)
    if traced:  # or the order of strides would be decided for all numbers of items
        inside = inside.contiguous()
    states = before.unsqueeze(-1)
    if split:
        ends = recursion(inside[..., :-1, -1], block * log_decay, before, levels - 1)
        states = torch.cat([states, ends], -1)
    powers = (log_decay.unsqueeze(-1) * (steps + 1)).exp().unsqueeze(-2)
    return (inside + states.unsqueeze(-1) * powers).flatten(-2)[..., :size]


def smooth(x: Tensor, weight: Tensor, start: str) -> Tensor:
    """Returns exponentially smoothed values, ``m[n] = (1 - weight) m[n - 1] + weight x[n]`` along the last axis.

    A value that is not finite makes itself and all later ones NaN, none before it.

    Args:
        x: ``[..., F, N]``.
        weight: ``[F]`` or ``[1]``, between 0 and 1.
        start: m before the first step, ``"one"`` for 1 or ``"first"`` for the value of the first step.
    """
    if x.shape[-1] == 0:
        return x
    faults = running_sum(0 * x, -1)  # 0 up to the first fault, then NaN
    x = x.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    before = torch.ones_like(x[..., 0]) if start == "one" else x[..., 0]
    weight = held(weight, 0, 1)
    forgets = weight == 1
    log_decay = (-weight.masked_fill(forgets, 0)).log1p().masked_fill(forgets, NOTHING)
    return recursion(x * weight.unsqueeze(-1), log_decay, before) + faults


@Op
def pcen(
    x: Tensor,
    lengths: Tensor | None,
    *,
    gain: Tensor,
    bias: Tensor | None,
    power: Tensor | None,
    smoothing: tuple[Tensor, str],
    eps: float,
) -> Tensor:
    """Returns ``(x / (eps + m)^gain + bias)^power - bias^power`` of energies x and their smoothed past m.

    Args:
        x: non-negative ``[..., F, N]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        gain: exponent of the smoothed energies, ``[F]`` or ``[1]``, like bias and power.
        bias: added before the compression, None for 0.
        power: exponent of the compression, None for ``log(1 + x / (eps + m)^gain)``, whatever the bias.
        smoothing: weight and start of `smooth`.
        eps: added to the smoothed energies.

    Shape: as ``x``, exactly 0 past each length.
    """
    x = zero_padding(x, lengths)
    past = (smooth(x, *smoothing) / eps).log1p() + math.log(eps)
    level = x * (-gain.unsqueeze(-1) * past).exp()
    if power is None:
        out = level.log1p()
    elif bias is None:
        out = safe_power(level, power.unsqueeze(-1))
    else:
        bias, power = bias.unsqueeze(-1), power.unsqueeze(-1)
        out = bias.pow(power) * (power * (level / bias).log1p()).expm1()
    return zero_padding(out, lengths)
