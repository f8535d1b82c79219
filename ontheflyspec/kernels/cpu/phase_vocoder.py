"""Phase vocoder (time stretch and pitch shift) on a CPU: a few items of about one length side by side on a thread."""
# ruff: noqa: UP006, UP035, UP045

from __future__ import annotations

from typing import Any, List, Optional

import torch
from torch import Tensor

from ontheflyspec.functional.phase_vocoder import peak_scale, read_middle, steps_between, turns, vocode
from ontheflyspec.functional.phase_vocoder_tables import HOPS, StretchSettings, prepared
from ontheflyspec.kernels import threads
from ontheflyspec.kernels.compiled import compiled
from ontheflyspec.kernels.rows import keep_rows

CHUNK = 64
"""Frames that are worked on at a time, so that they stay in the cache."""
MOST = 16
"""Items that turn side by side on one thread."""


@compiled(turns, steps_between, read_middle)
def turned_items(
    signal: Tensor,
    starts: Tensor,
    shapes: Tensor,
    rest: Optional[Tensor],
    signs: Tensor,
    fades: Tensor,
    points: List[int],
) -> Tensor:
    """Returns the vocoded signals of all items, overlap-added, ``[B, C, frames + parts - 1, hop]``.

    Operations whose bits might depend on the shape of their operands always see one item and one chunk of frames.

    Args:
        signal: ``[B, C, T]``.
        starts: see `Tables`, in chunks, for the channels of an item one after the other, ``[2, B, chunks, C, chunk]``.
        shapes: see `Tables`.
        rest: see `Tables`.
        signs: see `Tables`.
        fades: window of a synthesised frame in parts of a hop, ``[parts, hop]``.
        points: of the inverse transform of each item; 0 where the pitch stays.
    """
    items, channels, n_fft, chunk = signal.size(0), signal.size(1), shapes.size(-1), starts.size(4)
    bins, parts, hop, frames = n_fft // 2 + 1, fades.size(0), fades.size(1), starts.size(2) * chunk
    state = signal.new_zeros([2, items, bins])
    state[0].fill_(1.0)
    spectra = torch.view_as_complex(signal.new_zeros([items, channels, chunk + 1, bins, 2]))
    products = signal.new_empty([2, chunk, items, bins])
    out = signal.new_zeros([items, channels, frames + parts - 1, hop])
    for first in range(0, frames, chunk):
        for row in range(items):
            own, cuts = spectra[row], signal[row].view(-1).unfold(0, n_fft, 1)
            which = row if shapes.size(1) > 1 else 0
            here, before = starts[0, row, first // chunk].reshape(-1), starts[1, row, first // chunk].reshape(-1)
            new = cuts.index_select(0, here).view([channels, chunk, n_fft]).mul_(shapes[0, which])
            old = cuts.index_select(0, before).view([channels, chunk, n_fft]).mul_(shapes[1, which])
            own.select(1, 0).copy_(own.select(1, chunk))
            own.narrow(1, 1, chunk).copy_(torch.fft.rfft(new))
            step = steps_between(own.narrow(1, 0, chunk), torch.fft.rfft(old))
            if rest is not None:
                step = step * rest[row]
            products.select(2, row).copy_(torch.view_as_real(step).permute(2, 0, 1))
        run = turns(products[0], products[1], state)
        state = run[chunk]
        for row in range(items):
            turn = run.narrow(0, 1, chunk).select(2, row)
            if points[row] > 0:
                turn = turn * signs
            new = spectra[row].narrow(1, 1, chunk) * torch.complex(turn.select(1, 0), turn.select(1, 1))
            read = read_middle(new, points[row], n_fft, parts * hop)
            for part in range(parts):
                target = out[row].narrow(1, first + part, chunk)
                target.addcmul_(read.narrow(2, part * hop, hop), fades[part])
    return out


@vocode.kernel("cpu")
def vocode_groups(
    data: Tensor, lengths: Tensor, *, active: Tensor, sizes: Tensor, size: int, settings: StretchSettings, **_: Any
) -> Tensor:
    """Returns each item at its own pace or pitch, a few items of about one length at a time."""
    wave = data.unsqueeze(1) if data.dim() == 2 else data
    out = wave.new_empty(*wave.shape[:-1], size)
    ends, news = lengths.tolist(), sizes.tolist()
    wanted = [on and n > 0 for on, n in zip(active.tolist(), ends, strict=True)]
    rows = sorted((row for row, on in enumerate(wanted) if on), key=lambda row: -news[row])
    share = min(max(-(-len(rows) // torch.get_num_threads()), 1), MOST)
    groups = [rows[first : first + share] for first in range(0, len(rows), share)]
    kept = [row for row, on in enumerate(wanted) if not on]

    def job(number: int) -> None:
        if number == len(groups):
            keep_rows(out, wave, ends, news, kept, [row for row, new in enumerate(news) if new < size])
            return
        group = groups[number]
        signal = wave.new_zeros(len(group), wave.shape[1], max(ends[row] for row in group))
        for target, row in zip(signal, group, strict=True):
            target[:, : ends[row]] = wave[row, :, : ends[row]]
        made = _side_by_side(signal, news[group[0]], settings.of(group))
        for source, row in zip(made, group, strict=True):
            out[row, :, : news[row]] = source[:, : news[row]]

    threads.each(job, len(groups) + 1, 16 * sum(news))
    return out.squeeze(1) if data.dim() == 2 else out


def _side_by_side(wave: Tensor, size: int, settings: StretchSettings) -> Tensor:
    """Returns ``size`` samples of every signal ``[b, C, T]``, 0 past its end."""
    scale = peak_scale(wave)
    signal, tables = prepared(wave * scale, size, settings, settings.pace, CHUNK)
    starts = tables.starts + torch.arange(wave.shape[1], device=wave.device).unsqueeze(-1) * signal.shape[-1]
    starts = starts.reshape(*starts.shape[:3], -1, CHUNK).transpose(2, 3)
    points = [0] * wave.shape[0] if settings.points is None else settings.points.tolist()
    fades = tables.fade.view(HOPS, settings.hop)
    out = turned_items(signal, starts, tables.shapes, tables.rest, tables.signs, fades, points)
    first = settings.hop + HOPS * settings.hop // 2
    return out.flatten(2)[..., first : first + size] / scale
