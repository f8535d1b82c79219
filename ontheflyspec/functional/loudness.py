"""Levels of waveforms: peaks, loudness by ITU-R BS.1770-4, and bringing items to a level."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec import threads
from ontheflyspec.functional.blocks import applicable
from ontheflyspec.functional.filtering import TOP, filter_items
from ontheflyspec.functional.fourier import safe_sqrt
from ontheflyspec.functional.framing import cut
from ontheflyspec.functional.masking import scale_items

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


def valid_peak(data: Tensor, lengths: Tensor) -> Tensor:
    """Returns the largest magnitude of each item's valid samples, ``[B, 1, ...]``; 0 for items without samples."""
    shape = (-1, *[1] * (data.dim() - 1))
    if data.shape[-1] == 0:
        return data.new_zeros(data.shape[0]).reshape(shape)
    if not applicable(data, lengths):
        return cut(data, lengths).abs().flatten(1).amax(1).reshape(shape)
    peaks, sizes = data.new_zeros(data.shape[0]), lengths.tolist()

    def job(row: int) -> None:
        if sizes[row]:
            low, high = data[row, ..., : sizes[row]].aminmax()
            peaks[row] = torch.maximum(-low, high)

    threads.each(job, len(sizes), data.numel())
    return peaks.reshape(shape)


def bring_to(data: Tensor, lengths: Tensor, level: Tensor, target: Tensor, active: Tensor) -> Tensor:
    """Returns each active item times what brings its level to a target, exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        level: amplitudes, ``[B, 1, ...]``; items with 0 stay as they are.
        target: likewise.
        active: bool ``[B, 1, ...]``; other items keep their valid part bit for bit.
    """
    heard = active & (level > 0)
    factors = torch.where(heard, target / torch.where(heard, level, 1), 1)
    if not applicable(data, lengths, factors):
        data = cut(data, lengths)
    return scale_items(data, lengths, factors)


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


def loudness_amplitude(data: Tensor, lengths: Tensor, rate: float, active: Tensor) -> Tensor:
    """Returns ``10 ** (loudness / 20)`` of each item, ``[B, 1, ...]``; 0 where nothing passes the gates.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``; all channels weigh the same.
        lengths: int64 ``[B]`` on any device.
        rate: samples per second.
        active: bool ``[B]``; other items are not measured.
    """
    sections = k_weighting(rate)
    # The shelf rings for less than 512 samples, wherever it lies.
    tail, count = max(int(10 / math.tan(math.pi * min(_HIGH_PASS_HZ / rate, TOP))) + 1, 512), data.shape[0]
    every = sections.expand(count, -1, -1, -1)
    weighted = filter_items(data, lengths, every, active, zero_phase=False, tail=tail)
    step = max(round(rate / 10), 1)
    if not applicable(weighted, lengths):
        energies = gated_energy(_squares(weighted), lengths.to(data.device, non_blocking=True), step)
    else:
        energies, sizes = weighted.new_zeros(count), lengths.tolist()

        def job(row: int) -> None:
            own = _squares(weighted[row : row + 1, ..., : sizes[row]].contiguous())
            energies[row : row + 1] = gated_energy(own, lengths[row : row + 1], step)

        threads.each(job, count, data.numel())
    scaled = energies * 10 ** (-OFFSET_DB / 10)
    return safe_sqrt(scaled).reshape(-1, *[1] * (data.dim() - 1))


def _squares(x: Tensor) -> Tensor:
    return x.square() if x.dim() == 2 else x.square().sum(1)


def gated_energy(squares: Tensor, lengths: Tensor, step: int) -> Tensor:
    """Returns the mean of squares over the blocks that pass both gates, ``[B]``; over all of items below a block.

    Args:
        squares: ``[B, T]``, 0 past each length.
        lengths: int64 ``[B]`` on the same device.
        step: samples between blocks, a quarter of one.
    """
    hops = max(-(-squares.shape[-1] // step), _OVERLAP)
    sums = pad(squares, (0, hops * step - squares.shape[-1])).reshape(-1, hops, step).sum(-1)
    blocks = sums.unfold(-1, _OVERLAP, 1).sum(-1) / (_OVERLAP * step)
    count = (lengths // step - (_OVERLAP - 1)).clamp(min=0).unsqueeze(-1)
    loud = (torch.arange(blocks.shape[-1], device=squares.device) < count) & (blocks > _GATE)
    mean = _mean(blocks, loud)
    gated = _mean(blocks, loud & (blocks > mean.unsqueeze(-1) / 10))
    return torch.where(count[:, 0] > 0, gated, sums.sum(-1) / lengths.clamp(min=1))


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen, values, 0).sum(-1) / chosen.sum(-1).clamp(min=1)
