"""Constant-Q and variable-Q transforms: complex filter banks on signals that are decimated octave by octave."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ontheflyspec.batch import as_float
from ontheflyspec.framing import Framing
from ontheflyspec.functional import stft
from ontheflyspec.functional.cqt_filters import ROW, TAPS, Group, Plan
from ontheflyspec.functional.signal_frames import extend, zero_padding
from ontheflyspec.op import Op


class FilterBank(NamedTuple):
    """The filters of a constant-Q transform, in the type and on the device of the signals.

    Args:
        kernels: of each group, real parts above imaginary ones, ``[period, 2 * bins, width]``.
        decimators: of `decimator`, for every level but the last.
        plan: which bins run on which signals.
        framing: where the frames' centres lie, and how a signal goes on beyond its ends.
    """

    kernels: list[Tensor]
    decimators: list[Tensor]
    plan: Plan
    framing: Framing


def decimator(factor: int) -> Tensor:
    """Returns a decimating filter as matrices, float64 ``[3, factor * ROW, ROW]``, for a row and the two after it.

    A Kaiser window on a sinc: flat within 1e-5 up to 0.395 of the new rate, below -100 dB from 0.605 of it on.
    """
    reach = int(TAPS * factor)
    n = torch.arange(-reach, reach + 1, dtype=torch.float64)
    window = torch.kaiser_window(2 * reach + 1, periodic=False, beta=10.06, dtype=torch.float64)
    taps = torch.sinc(n / factor) / factor * window
    place = torch.arange(3 * factor * ROW).unsqueeze(-1) - factor * torch.arange(ROW)
    inside = (place >= 0) & (place <= 2 * reach)
    return (taps[place.clamp(0, 2 * reach)] * inside).reshape(3, factor * ROW, ROW)


def decimate(x: Tensor, start: int, count: int, filters: Tensor) -> Tensor:
    """Returns ``count`` samples of low-pass filtered signals at a lower rate, ``[R, count]``.

    Args:
        x: signals ``[R, n]``, 0 beyond their ends.
        start: first sample that the first output needs, at least 0.
        count: outputs.
        filters: of `decimator`.
    """
    rows, width = -(-count // ROW), filters.shape[1]
    size = (rows + 2) * width
    x = torch.nn.functional.pad(x[:, start : start + size], (0, max(start + size - x.shape[1], 0)))
    blocks = x.reshape(x.shape[0], rows + 2, width)
    parts = [torch.matmul(blocks[:, place : place + rows], filters[place]) for place in range(3)]
    out = parts[0] + parts[1] + parts[2]
    return out.flatten(1)[:, :count]


@Op
def constant_q_spectra(x: Tensor, lengths: Tensor | None, *, bank: FilterBank, output: str) -> Tensor:
    """Returns constant-Q spectra ``[..., n_bins, N]``, 0 past each item's frames.

    Args:
        x: samples ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]``, None if all items are full.
        bank: filters.
        output: one of `stft.OUTPUTS`.
    """
    plan, framing, x = bank.plan, bank.framing, as_float(x)
    count: int = framing.count(x.shape[-1])
    if x.shape[-1] == 0:
        x = torch.nn.functional.pad(x, (0, 1))
    signal = extend(x, lengths, plan.before[0], plan.after[0] + 1, framing.pad_mode)
    frames = max(count, 1)
    halves = [part.chunk(2, 1) for part in analyse(signal.reshape(-1, signal.shape[-1]), bank, frames)]
    shape = (*x.shape[:-1], plan.groups[-1].last, frames)
    parts = (torch.cat([half[place] for half in halves], 1).reshape(shape)[..., :count] for place in range(2))
    valid = None if lengths is None else framing.count(lengths)
    real, imaginary = (zero_padding(part, valid) for part in parts)
    return stft.present(real, imaginary, output)


def analyse(x: Tensor, bank: FilterBank, frames: int) -> list[Tensor]:
    """Returns the spectra of each group of bins, real parts above imaginary parts, ``[R, 2 * bins, frames]``.

    Args:
        x: signals ``[R, n]`` from the margin of level 0 on.
        bank: filters.
        frames: number of frames.
    """
    plan, hop_length = bank.plan, bank.framing.hop_length
    signals, sizes = [x], plan.sizes((frames - 1) * hop_length)
    for start, size, taps in zip(plan.starts, sizes[1:], bank.decimators, strict=True):
        signals.append(decimate(signals[-1], start, size, taps))
    return [
        _convolve(signals[group.level], kernel, group, plan.before[group.level], hop_length, frames)
        for group, kernel in zip(plan.groups, bank.kernels, strict=True)
    ]


def _convolve(x: Tensor, kernel: Tensor, group: Group, before: int, hop_length: int, count: int) -> Tensor:
    """Returns filter outputs ``[R, 2 * bins, count]``."""
    period = group.period
    each = -(-count // period)
    stride = period * hop_length // group.step
    made = []
    for j in range(period):
        start = before + j * hop_length // group.step + group.low
        size = (each - 1) * stride + group.width
        piece = torch.nn.functional.pad(x[:, start : start + size], (0, max(start + size - x.shape[1], 0)))
        made.append(torch.nn.functional.conv1d(piece.unsqueeze(1), kernel[j].unsqueeze(1), stride=stride))
    return made[0] if period == 1 else torch.stack(made, -1).flatten(-2)[..., :count]
