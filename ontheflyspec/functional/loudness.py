"""Levels of waveforms: peaks, loudness by ITU-R BS.1770-4, and bringing items to a level."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import per_item
from ontheflyspec.functional.filtering import TOP, overlapped
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.functional.signal_frames import cut
from ontheflyspec.functional.statistics import valid_power
from ontheflyspec.functional.stft import safe_sqrt
from ontheflyspec.functional.waveform import db_to_amplitude
from ontheflyspec.op import Op

Measure = Literal["peak", "rms", "loudness"]

OFFSET_DB = 0.691
"""What is taken off ten times the logarithm of the energy, so that a tone of 997 Hz has its level."""
_GATE = 10 ** ((-70 + OFFSET_DB) / 10)
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
    """Returns each active item times the factor that brings its level to a target, exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit, as do those without a level.
        target_db: float64 ``[B]``, dB of an amplitude of 1.
        measure: the level: largest magnitude, root mean square, or loudness, of all channels together.
        rate: samples per second, which loudness needs.
    """
    if measure == "peak":
        level = valid_peak(data, lengths)
    elif measure == "rms":
        level = safe_sqrt(valid_power(data, lengths))
    else:
        assert rate is not None
        level = loudness_amplitude(data, lengths, rate)
    heard = (per_item(active, data) != 0) & (level > 0)
    factors = factors_to(level, per_item(db_to_amplitude(target_db), data), heard)
    return zero_past(cut(data, lengths) * factors, lengths)


def factors_to(level: Tensor, target: Tensor, heard: Tensor) -> Tensor:
    """Returns ``target / level`` of amplitudes where items are heard, 1 elsewhere."""
    return torch.where(heard, target / torch.where(heard, level, 1), 1)


def valid_peak(data: Tensor, lengths: Tensor) -> Tensor:
    """Returns the largest magnitude of each item's valid samples, ``[B, 1, ...]``; 0 for items without samples."""
    values = cut(data, lengths).abs().flatten(1)
    return per_item(values.amax(1) if values.shape[1] else values.sum(1), data)


def k_weighting(rate: float) -> Tensor:
    """Returns the sections of the filters of the standard for a rate, float64 ``[1, 2, 2, 3]``, on the host.

    They are those of its table at 48 kHz, and elsewhere those of the same analog filters, as in libebur128: at 8 kHz a
    tone of 1 kHz counts 0.2 dB less.
    """
    shelf, high_pass = (math.tan(math.pi * min(hertz / rate, TOP)) for hertz in (_SHELF_HZ, _HIGH_PASS_HZ))
    sections = [
        [[shelf**2, _SHELF_MIDDLE * shelf / _SHELF_Q, _SHELF_HIGH], [shelf**2, shelf / _SHELF_Q, 1.0]],
        [[0.0, 0.0, _HIGH_PASS_GAIN], [high_pass**2, high_pass / _HIGH_PASS_Q, 1.0]],
    ]
    return torch.tensor([sections], dtype=torch.float64, device="cpu")


def loudness_amplitude(data: Tensor, lengths: Tensor, rate: float) -> Tensor:
    """Returns ``10 ** (loudness / 20)`` of each item, ``[B, 1, ...]``; 0 where nothing passes the gates.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``; all channels weigh the same.
        lengths: int64 ``[B]`` on any device.
        rate: samples per second.
    """
    # The shelf rings for less than 512 samples, wherever it lies.
    tail = max(int(10 / math.tan(math.pi * min(_HIGH_PASS_HZ / rate, TOP))) + 1, 512)
    every = k_weighting(rate).expand(len(data), -1, -1, -1)
    sections = every.to(device=data.device, dtype=data.dtype, non_blocking=True)
    weighted = cut(overlapped(cut(data, lengths), sections, tail, zero_phase=False), lengths)
    return per_item(gated_amplitude(weighted, lengths.to(data.device, non_blocking=True), rate), data)


def gated_amplitude(weighted: Tensor, lengths: Tensor, rate: float) -> Tensor:
    """Returns the loudness of waves after the filters of the standard as an amplitude, ``[B]``.

    It is that of the mean over the blocks that pass both gates; of items below a block, over all.

    Args:
        weighted: ``[B, T]`` or ``[B, C, T]``, 0 past each length.
        lengths: int64 ``[B]`` on the same device.
        rate: samples per second.
    """
    squares = weighted.square() if weighted.dim() == 2 else weighted.square().sum(1)
    step = max(round(rate / 10), 1)
    hops = max(-(-squares.shape[-1] // step), _OVERLAP)
    sums = pad(squares, (0, hops * step - squares.shape[-1])).reshape(-1, hops, step).sum(-1)
    blocks = sums.unfold(-1, _OVERLAP, 1).sum(-1) / (_OVERLAP * step)
    count = (lengths // step - (_OVERLAP - 1)).clamp(min=0).unsqueeze(-1)
    loud = (torch.arange(blocks.shape[-1], device=squares.device) < count) & (blocks > _GATE)
    mean = _mean(blocks, loud)
    gated = _mean(blocks, loud & (blocks > mean.unsqueeze(-1) / 10))
    energies = torch.where(count[:, 0] > 0, gated, sums.sum(-1) / lengths.clamp(min=1))
    return safe_sqrt(energies * 10 ** (-OFFSET_DB / 10))


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen, values, 0).sum(-1) / chosen.sum(-1).clamp(min=1)
