"""Peak, RMS and loudness normalisation; loudness by ITU-R BS.1770-4 (K-weighting and gating)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import items_mask, per_item
from ontheflyspec.functional.filtering import TOP, block_size, circle, overlapped, responses
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.functional.snr import db_to_amplitude
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.functional.stft import safe_sqrt
from ontheflyspec.kept import count_up, kept, where
from ontheflyspec.op import Op
from ontheflyspec.precision import complex_type
from ontheflyspec.torch_internals import tiles, without_derivatives

Measure = Literal["peak", "rms", "loudness"]

OFFSET_DB = 0.691
"""Subtracted from the K-weighted energy in dB, so that a tone of 997 Hz has its own level."""
_GATE = 10 ** ((-70 + OFFSET_DB) / 10)
FAINT = 1e-16
"""Level below which a factor's derivative, which goes with the level's square, would overflow."""
_OVERLAP = 4
"""Hops of one block: 100 ms each."""
# Frequency and steepness of the two filters, and the gains of the shelf and of the high pass, from which De Man,
# "Evaluation of implementations of the EBU R128 loudness measurement", 2018, gets the coefficients of the standard.
_SHELF_HZ, _SHELF_Q = 1681.974450955533, 0.7071752369554196
_SHELF_HIGH, _SHELF_MIDDLE = 1.584864701130855, 1.258720930232562
_HIGH_PASS_HZ, _HIGH_PASS_Q, _HIGH_PASS_GAIN = 38.13547087602444, 0.5003270373238773, 1.0049949


@Op
def bring_to_level(
    data: Tensor, lengths: Tensor, *, active: Tensor, target_db: Tensor, measure: Measure, rate: float | None
) -> Tensor:
    """Normalises the level of each active item to a target; exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items, and silent items, keep their valid part bit for bit.
        target_db: float64 ``[B]``, dB of an amplitude of 1.
        measure: the level: largest magnitude, root mean square, or loudness, of all channels together.
        rate: samples per second, needed for loudness.
    """
    if measure == "peak":
        magnitudes = zero_padding(data, lengths).abs().flatten(1)
        level = per_item(magnitudes.amax(1) if data.shape[-1] else magnitudes.sum(1), data)
    elif measure == "rms":
        level = safe_sqrt(valid_power(data, lengths))
    else:
        assert rate is not None
        level = loudness_amplitude(data, lengths, rate)
    heard = items_mask(active, data) & (level >= torch.finfo(level.dtype).tiny)
    factors = factors_to(level, per_item(db_to_amplitude(target_db), data), heard)
    return zero_past(zero_padding(data, lengths) * factors, lengths)


def factors_to(level: Tensor, target: Tensor, heard: Tensor) -> Tensor:
    """Returns ``target / level`` of amplitudes where items are heard, 1 elsewhere; of faint levels as a constant."""
    if torch.is_grad_enabled():
        level = where(level < FAINT, without_derivatives(level), level)
    return where(heard, target / where(heard, level, 1), 1)


def k_weighting(rate: float) -> Tensor:
    """Returns the sections of the K-weighting filters for a rate, float64 ``[1, 2, 2, 3]``, on the host.

    At 48 kHz they are those of the standard's table, elsewhere those of the same analog filters, as in libebur128: at
    8 kHz a tone of 1 kHz counts 0.2 dB less.
    """
    shelf, high_pass = (math.tan(math.pi * min(hertz / rate, TOP)) for hertz in (_SHELF_HZ, _HIGH_PASS_HZ))
    sections = [
        [[shelf**2, _SHELF_MIDDLE * shelf / _SHELF_Q, _SHELF_HIGH], [shelf**2, shelf / _SHELF_Q, 1.0]],
        [[0.0, 0.0, _HIGH_PASS_GAIN], [high_pass**2, high_pass / _HIGH_PASS_Q, 1.0]],
    ]
    return torch.tensor([sections], dtype=torch.float64, device="cpu")


@kept(16)
def _weighting_response(device: torch.device, rate: float, size: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Returns the frequency response of K-weighting at FFT bins, ``[1, bins]``."""
    (table,) = circle(torch.device("cpu"), size, torch.float64)
    return (responses(k_weighting(rate), table, zero_phase=False).to(device, dtype, non_blocking=True),)


def loudness_amplitude(data: Tensor, lengths: Tensor, rate: float) -> Tensor:
    """Returns each item's integrated loudness as an amplitude, ``10 ** (loudness / 20)``, ``[B, 1, ...]``.

    It is 0 where no block passes the gates.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``; all channels weigh the same.
        lengths: int64 ``[B]`` on any device.
        rate: samples per second.
    """
    # The shelf rings for less than 512 samples, wherever it lies.
    tail = max(int(10 / math.tan(math.pi * min(_HIGH_PASS_HZ / rate, TOP))) + 1, 512)
    (response,) = _weighting_response(data.device, rate, block_size(tail), complex_type(data.dtype))
    weighted = zero_padding(overlapped(zero_padding(data, lengths), response, tail, zero_phase=False), lengths)
    return per_item(gated_amplitude(weighted, lengths.to(data.device, non_blocking=True), rate), data)


def gated_amplitude(weighted: Tensor, lengths: Tensor, rate: float) -> Tensor:
    """Returns the loudness of K-weighted waves as an amplitude, ``[B]``.

    The energy is the mean over the blocks that pass both gates; for items shorter than a block, over all samples.

    Args:
        weighted: ``[B, T]`` or ``[B, C, T]``, 0 past each length.
        lengths: int64 ``[B]`` on the same device.
        rate: samples per second.
    """
    squares = weighted.square() if weighted.dim() == 2 else weighted.square().sum(1)
    step = max(round(rate / 10), 1)
    hops = tiles(-(-squares.shape[-1] // step), _OVERLAP)
    hops = hops if hops > _OVERLAP else _OVERLAP  # no maximum, which is no size in traces
    sums = pad(squares, (0, hops * step - squares.shape[-1])).reshape(-1, hops, step).sum(-1)
    blocks = sums.unfold(-1, _OVERLAP, 1).sum(-1) / (_OVERLAP * step)
    count = (lengths // step - (_OVERLAP - 1)).clamp(min=0).unsqueeze(-1)
    loud = (count_up(blocks.shape[-1], squares.device) < count) & (blocks > _GATE)
    mean = _mean(blocks, loud)
    gated = _mean(blocks, loud & (blocks > mean.unsqueeze(-1) / 10))
    energies = where(count[:, 0] > 0, gated, sums.sum(-1) / lengths.clamp(min=1))
    return safe_sqrt(energies * 10 ** (-OFFSET_DB / 10))


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Returns the mean of the chosen values along the last axis, 0 if there are none."""
    return where(chosen, values, 0).sum(-1) / chosen.sum(-1).clamp(min=1)
