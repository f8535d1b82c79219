"""Constant-Q transforms on CUDA: one launch for the extended signal, and one for each group of bins.

The first group of a level brings the decimated signal of the next level with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ontheflyspec.functional.cqt_filters import ROW, TAPS
from ontheflyspec.functional.cqt_octaves import FilterBank, constant_q_spectra, level_sizes, reading
from ontheflyspec.kept import full
from ontheflyspec.kernels.cuda import launches
from ontheflyspec.kernels.cuda.frames import FORMS, TYPES
from ontheflyspec.kernels.cuda.launches import MOST_SIGNALS, Cost, on_cuda

BLOCK, FRAMES, COLUMNS = 1024, 32, 32
"""Samples, frames and taps of one tile."""


@on_cuda(constant_q_spectra)
def spectra_by_levels(x: Tensor, lengths: Tensor | None, *, bank: FilterBank, output: str) -> Tensor:
    """Returns constant-Q spectra in true float32."""
    signals, items, size = math.prod(x.shape[:-1]), x.shape[0], x.shape[-1]
    frames: int = bank.framing.count(size)
    handled = x.dtype in TYPES and bank.kernels[0].dtype == torch.float32 and output in FORMS
    if not handled or signals > MOST_SIGNALS or frames == 0:
        return constant_q_spectra.reference(x, lengths, bank=bank, output=output)
    ends = full(x.device, items, size)[0] if lengths is None else lengths
    valid = full(x.device, items, frames)[0] if lengths is None else bank.framing.count(lengths)
    plan, sizes, channels, given = bank.plan, level_sizes(bank, frames), signals // items, x.contiguous()
    signal = x.new_empty(signals, sizes[0], dtype=torch.float32)
    launches.launch(
        "octaves", "extend_waves", (-(-sizes[0] // BLOCK), signals), Cost(1, x.nbytes + signal.nbytes),
        given, ends, signal, size, channels, sizes[0], plan.before[0], plan.after[0] + 1,
        REFLECT=bank.framing.pad_mode == "reflect", INT16=x.dtype == torch.int16, BLOCK=BLOCK,
    )  # fmt: skip
    bins = plan.groups[-1].last
    kind = torch.complex64 if output == "complex" else torch.float32
    out = x.new_empty((*x.shape[:-1], bins, frames), dtype=kind)
    written = torch.view_as_real(out) if kind == torch.complex64 else out
    for level in range(len(plan.steps)):
        lower = signal.new_empty(signals, sizes[level + 1]) if level + 1 < len(sizes) else None
        own = [place for place, group in enumerate(plan.groups) if group.level == level]
        for place in own:
            _launch(signal, lower if place == own[0] else None, written, valid, (bank, place, channels, FORMS[output]))
        if lower is not None:
            signal = lower
    return out


def _launch(
    signal: Tensor, lower: Tensor | None, out: Tensor, valid: Tensor, what: tuple[FilterBank, int, int, int]
) -> None:
    """Writes the spectra of a group of bins, and the next level's signal if there is memory for it."""
    bank, place, channels, form = what
    plan, group, kernels = bank.plan, bank.plan.groups[place], bank.kernels[place]
    bins, width, hop_length = group.last - group.first, kernels.shape[-1], bank.framing.hop_length
    count = out.shape[-2 if form == 0 else -1]
    first, _, stride = reading(group, plan.before[group.level], hop_length, count)
    tiles = -(-count // (group.period * FRAMES)) * group.period
    start, factor, size, taps = 0, 1, 0, signal
    if lower is not None:
        start, factor, size = plan.starts[group.level], plan.factors[group.level], lower.shape[1]
        taps = bank.decimators[group.level]  # in its first column
    wide = max(1 << (bins - 1).bit_length(), 16)
    moved = signal.nbytes + 4 * signal.shape[0] * (size + bins * count * (1 if form else 2))
    launches.launch(
        "octaves", "level", (tiles + -(-size // BLOCK), signal.shape[0]), Cost(1, moved),
        signal, taps, signal if lower is None else lower, kernels, valid, out, signal.shape[1], size, start, tiles,
        channels, count, first, hop_length, group.step, stride, group.first, plan.groups[-1].last,
        FACTOR=factor, N_TAPS=2 * int(TAPS * factor) + 1, ROW=ROW, BINS=bins, WIDE=wide, WIDTH=width,
        PERIOD=group.period, FRAMES=FRAMES, COLUMNS=COLUMNS, BLOCK=BLOCK, FORM=form,
    )  # fmt: skip
