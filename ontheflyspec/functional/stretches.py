"""Stretches of signals put elsewhere, faded at their seams; and where a signal is loud."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec import threads
from ontheflyspec.batch import expand_mask
from ontheflyspec.functional.blocks import applicable, map_items
from ontheflyspec.functional.framing import cut
from ontheflyspec.functional.masking import zero_past

QUIET = 1e-5
"""Root mean square below which nothing is told apart, as in librosa."""


def placed(data: Tensor, start: Tensor, end: Tensor, place: Tensor, size: int, *, backwards: bool = False) -> Tensor:
    """Returns stretches of each item, first samples at their places, 0 elsewhere: ``[B, ..., size]``.

    Args:
        data: ``[B, ..., T]``; what no stretch holds counts for nothing.
        start: first sample of each stretch, int64 ``[B, P]`` on any device.
        end: last sample of each + 1, likewise.
        place: where it begins in the result, likewise; stretches do not overlap there.
        size: samples of the result.
        backwards: whether stretches are put down last sample first.
    """
    if applicable(data, start, end, place):
        out = data.new_zeros(*data.shape[:-1], size)
        table = [torch.stack([start, end, place], -1)[row].tolist() for row in range(len(start))]

        def job(row: int) -> None:
            for first, last, there in table[row]:
                if last > first:
                    part = data[row, ..., first:last]
                    out[row, ..., there : there + last - first] = part.flip(-1) if backwards else part

        threads.each(job, len(table), out.numel())
        return out
    if data.shape[-1] == 0:
        data = pad(data, (0, 1))
    start, end, place = (one.to(data.device, non_blocking=True) for one in (start, end, place))
    steps = torch.arange(size, device=data.device)
    source = torch.full((data.shape[0], size), -1, device=data.device)
    for piece in range(start.shape[1]):
        first, last, there = (one[:, piece : piece + 1] for one in (start, end, place))
        inside = (steps >= there) & (steps < there + last - first)
        source = torch.where(inside, last - 1 - steps + there if backwards else first + steps - there, source)
    index = expand_mask(source.clamp(min=0), data).expand(*data.shape[:-1], size)
    return torch.where(expand_mask(source >= 0, data), data.gather(-1, index), 0)


def seam_gain(size: int, seam: Tensor, fade: int, dtype: torch.dtype) -> Tensor:
    """Returns gains ``[B, size]`` that fall to 0 and rise again over ``fade`` samples on each side of a seam.

    Args:
        size: samples.
        seam: first sample after the seam, int64 ``[B]``.
        fade: samples.
        dtype: of the gains.
    """
    away = (torch.arange(size, device=seam.device) - seam.unsqueeze(-1)).to(dtype) + 0.5
    return (away.abs() / fade).clamp(max=1)


def span_gain(size: int, start: Tensor, end: Tensor, fade: int, dtype: torch.dtype) -> Tensor:
    """Returns gains ``[B, size]``, 0 inside spans ``[B, k]`` up to ``fade`` samples from their ends, 1 outside."""
    steps = torch.arange(size, device=start.device)
    start, end = start.unsqueeze(-1), end.unsqueeze(-1)
    inside = (steps >= start) & (steps < end)
    depth = torch.minimum(steps - start, end - 1 - steps).to(dtype) + 0.5
    gain = 1 - (depth / fade).clamp(max=1) if fade else torch.zeros_like(depth)
    return torch.where(inside, gain, 1).amin(1)


def blend(data: Tensor, lengths: Tensor, gain: Tensor, other: Tensor | None = None) -> Tensor:
    """Returns ``data * gain + other * (1 - gain)``, data bit for bit where the gain is 1, 0 past each length.

    Args:
        data: ``[B, ..., T]``.
        lengths: int64 ``[B]`` on any device.
        gain: ``[B, T]``.
        other: of the shape of ``data``, None for zeros.
    """

    def mixed(part: Tensor, gain: Tensor, other: Tensor | None) -> Tensor:
        gain = expand_mask(gain, part)
        return torch.where(gain == 1, part, part * gain if other is None else part * gain + other * (1 - gain))

    if not applicable(data, lengths, gain):
        return cut(mixed(cut(data, lengths), gain, other), lengths)

    def compute(part: Tensor, own: Tensor | None, items: slice) -> Tensor:
        size = part.shape[-1]
        made = mixed(part, gain[items, :size], None if other is None else other[items, ..., :size])
        return made if own is None else zero_past(made, own)

    return map_items(data, lengths, compute)


def loud_part(
    data: Tensor, lengths: Tensor, *, top_db: float, frame_length: int, hop_length: int
) -> tuple[Tensor, Tensor]:
    """Returns where the first loud frame of each item begins and the last one ends, int64 ``[B]`` beside the data.

    A frame is loud if its root mean square in any channel lies less than ``top_db`` below the item's loudest frame.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        top_db: in dB.
        frame_length: samples of a frame, centred every ``hop_length`` samples, on zeros beyond the ends.
        hop_length: samples between frames.
    """
    share = 10 ** (-top_db / 20) * frame_length**0.5
    wave = data.detach()

    def find(wave: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
        frames = pad(wave, (frame_length // 2, frame_length)).unfold(-1, frame_length, hop_length)
        level = torch.linalg.vector_norm(frames, dim=-1).flatten(1, -2).amax(1)
        level = level.clamp(min=QUIET * frame_length**0.5)
        number = torch.arange(level.shape[-1], device=wave.device)
        known = number <= n.unsqueeze(-1) // hop_length
        level = torch.where(known, level, 0)
        loud = known & (level > level.amax(-1, keepdim=True) / frame_length**0.5 * share)
        first = torch.where(loud, number, level.shape[-1]).amin(-1) * hop_length
        last = (torch.where(loud, number, -1).amax(-1) + 1) * hop_length
        end = torch.minimum(last, n)
        return torch.minimum(first, end), end

    if not applicable(wave, lengths):
        there = lengths.to(data.device, non_blocking=True)
        return find(cut(wave, lengths).unsqueeze(1) if wave.dim() == 2 else cut(wave, lengths), there)
    sizes, found = lengths.tolist(), torch.zeros(2, len(lengths), dtype=torch.int64, device="cpu")

    def job(row: int) -> None:
        part = wave[row, ..., : sizes[row]].reshape(1, -1, sizes[row]) if sizes[row] else None
        if part is not None:
            start, end = find(part, torch.tensor([sizes[row]], device="cpu"))
            found[0, row], found[1, row] = start[0], end[0]

    threads.each(job, len(sizes), 4 * data.numel())
    return found[0], found[1]
