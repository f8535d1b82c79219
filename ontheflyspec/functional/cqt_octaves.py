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
from ontheflyspec.precision import add_matmul, conv1d, matmul
from ontheflyspec.torch_internals import in_traces


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


def decimate(x: Tensor, start: int, rows: int, filters: Tensor) -> Tensor:
    """Returns low-pass filtered signals at a lower rate, ``[R, rows * ROW]``.

    Args:
        x: signals ``[R, n]``, with all ``(rows + 2) * filters.shape[1]`` samples from ``start`` on.
        start: first sample that the first output needs.
        rows: of `ROW` outputs each.
        filters: of `decimator`.
    """
    width = filters.shape[1]
    blocks = x[:, start : start + (rows + 2) * width].reshape(x.shape[0], rows + 2, width)
    out = matmul(blocks[:, :rows], filters[0])
    for place in (1, 2):
        out = add_matmul(out, blocks[:, place : place + rows], filters[place])
    return out.flatten(1)


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
    real, imaginary = (torch.cat([half[place] for half in halves], 1).reshape(shape)[..., :count] for place in range(2))
    valid = None if lengths is None else framing.count(lengths)
    return zero_padding(stft.present((real, imaginary), output), valid)


def analyse(x: Tensor, bank: FilterBank, frames: int) -> list[Tensor]:
    """Returns the spectra of each group of bins, real parts above imaginary parts, ``[R, 2 * bins, frames]``.

    Args:
        x: signals ``[R, n]`` from the margin of level 0 on.
        bank: filters.
        frames: number of frames.
    """
    plan, hop_length = bank.plan, bank.framing.hop_length
    needed = in_traces(simple_sizes, level_sizes)(bank, frames)
    missing = needed[0] - x.shape[1]
    signals = [torch.nn.functional.pad(x, (0, missing)) if in_traces(True, False) or missing > 0 else x]
    for start, count, taps in zip(plan.starts, needed[1:], bank.decimators, strict=True):
        signals.append(decimate(signals[-1], start, count // ROW, taps))
    return [
        _convolve(signals[group.level], kernel, group, plan.before[group.level], hop_length, frames)
        for group, kernel in zip(plan.groups, bank.kernels, strict=True)
    ]


def level_sizes(bank: FilterBank, frames: int) -> list[int]:
    """Returns samples of every level: a little more than needed, in whole rows, without zeros to be added at each."""
    plan, hop_length = bank.plan, bank.framing.hop_length
    sizes = plan.sizes((frames - 1) * hop_length)
    for group in plan.groups:
        first, size, _ = reading(group, plan.before[group.level], hop_length, frames)
        last = (group.period - 1) * hop_length // group.step
        sizes[group.level] = max(sizes[group.level], first + last + size)
    for level in range(len(plan.starts) - 1, -1, -1):
        rows = -(-sizes[level + 1] // ROW)
        sizes[level + 1] = rows * ROW
        sizes[level] = max(sizes[level], plan.starts[level] + (rows + 2) * bank.decimators[level].shape[1])
    return sizes


def simple_sizes(bank: FilterBank, frames: int) -> list[int]:
    """Returns sizes as of `level_sizes`, somewhat larger, that all grow with one number: such terms a tracer bears."""
    row = ROW * bank.plan.steps[-1]
    rows = frames * bank.framing.hop_length // row + 1
    return [size + rows * (row // step) for size, step in zip(level_sizes(bank, 1), bank.plan.steps, strict=True)]


def reading(group: Group, before: int, hop_length: int, count: int) -> tuple[int, int, int]:
    """Returns the first sample that a group of bins reads, how many, and the samples between those of two frames."""
    stride = group.period * hop_length // group.step
    return before + group.low, (-(-count // group.period) - 1) * stride + group.width, stride


def _convolve(x: Tensor, kernel: Tensor, group: Group, before: int, hop_length: int, count: int) -> Tensor:
    """Returns filter outputs ``[R, 2 * bins, count]``."""
    first, size, stride = reading(group, before, hop_length, count)
    made = []
    for j in range(group.period):
        start = first + j * hop_length // group.step
        made.append(conv1d(x[:, start : start + size].unsqueeze(1), kernel[j].unsqueeze(1), stride))
    return made[0] if group.period == 1 else torch.stack(made, -1).flatten(-2)[..., :count]
