"""Recursive filters of waveforms by overlapping blocks of one FFT each: every item its own response.

A filter is a cascade of sections, float64 ``[B, S, 2, 3]``: numerator and denominator of each as coefficients of 1, s
and s^2 of an analog filter, where the bilinear transform takes the frequency ``f`` to ``s = j tan(pi f / rate)``. The
responses are those of the digital filters that scipy designs, and stay exact in float32 far below the rate.
"""
# ruff: noqa: UP006, UP035

from __future__ import annotations

import functools
import math
from typing import List

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec import threads
from ontheflyspec.batch import per_item
from ontheflyspec.functional.blocks import applicable, map_rows
from ontheflyspec.functional.framing import cut
from ontheflyspec.functional.masking import zero_past
from ontheflyspec.functional.programs import compiled, put_blocks
from ontheflyspec.functional.sizes import fast_size

NEPERS = 16.0
"""How far a response must have decayed before it is cut: to 1e-7."""
BLOCK = 4096
"""Samples of one FFT at least: small ones stay in the cache, but what neighbours share must be a quarter at most."""
GROUP = 64
"""Blocks that a CPU takes at once: many calls cost more than the cache saves, all at once needs room for long items."""
TOP = 0.49
"""Highest frequency, as a share of the rate, that a filter is put to: nearer to the half its response never ends."""


def warped(hertz: Tensor, rate: float, top: float = TOP) -> Tensor:
    """Returns frequencies on the scale of `s`; those above ``top`` times the rate count as that."""
    return torch.tan((hertz / rate).clamp(max=top) * math.pi)


def _quadratics(order: int) -> list[tuple[float, float]]:
    """Returns minus the real and the imaginary part of the poles of a Butterworth filter, one of each pair."""
    angles = [math.pi * (2 * k + 1) / (2 * order) for k in range((order + 1) // 2)]
    return [(math.sin(angle), math.cos(angle)) for angle in angles]


def _sections(numerators: list[list[Tensor]], denominators: list[list[Tensor]]) -> Tensor:
    parts = [
        torch.stack([torch.stack(part, -1) for part in both], -2) for both in zip(numerators, denominators, strict=True)
    ]
    return torch.stack(parts, -3)


def butterworth(edge: Tensor, order: int, kind: str) -> Tensor:
    """Returns a Butterworth filter's sections, 3 dB down at ``edge``.

    Args:
        edge: float64 ``[B]`` of `warped`.
        order: poles; the roll-off is 6 dB an octave for each.
        kind: ``"low"`` or ``"high"``: what passes.
    """
    none, one = torch.zeros_like(edge), torch.ones_like(edge)
    above, below = [], []
    for damping, imaginary in _quadratics(order):
        paired = imaginary > 1e-9
        top = edge * edge if paired else edge
        passed = [top, none, none] if kind == "low" else [none, none, one] if paired else [none, one, none]
        above.append(passed)
        below.append([top, 2 * damping * edge, one] if paired else [top, one, none])
    return _sections(above, below)


def butterworth_band(low: Tensor, high: Tensor, order: int, kind: str) -> Tensor:
    """Returns the sections of a Butterworth filter of twice ``order`` poles, 3 dB down at both edges.

    Args:
        low: lower edge, float64 ``[B]`` of `warped`.
        high: upper edge, likewise.
        order: the roll-off is 6 dB an octave for each, on both sides.
        kind: ``"pass"`` or ``"stop"``.
    """
    width, centre = high - low, low * high
    none, one = torch.zeros_like(low), torch.ones_like(low)
    passed = [none, width, none] if kind == "pass" else [centre, none, one]
    below = []
    for damping, imaginary in _quadratics(order):
        if imaginary <= 1e-9:
            below.append([centre, width, one])
            continue
        pole = torch.complex(-damping * width, imaginary * width)
        root = (pole * pole - 4 * centre).sqrt()
        root = torch.where((pole.conj() * root).real < 0, -root, root)
        first = (pole + root) / 2
        for where in (first, centre / first):
            below.append([where.real.square() + where.imag.square(), -2 * where.real, one])
    return _sections([passed] * len(below), below)


def peaking(centre: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
    """Returns the section of a bell: ``gain_db`` at its centre, 0 dB far from it (Bristow-Johnson's peaking EQ)."""
    root = torch.exp(gain_db * (math.log(10) / 40))
    one = torch.ones_like(centre)
    top = centre * centre
    return _sections([[top, centre * root / q, one]], [[top, centre / (root * q), one]])


def shelf(edge: Tensor, gain_db: Tensor, q: Tensor, kind: str) -> Tensor:
    """Returns the section of a shelf: ``gain_db`` on one side, half of it at the edge, 0 dB on the other side.

    Args:
        edge: float64 ``[B]`` of `warped`.
        gain_db: likewise.
        q: steepness, likewise; 0.707 is the steepest without a bump.
        kind: ``"low"`` or ``"high"``: the side that gets the gain.
    """
    root = torch.exp(gain_db * (math.log(10) / 40))
    middle = edge * root.sqrt() / q
    top, one = edge * edge, torch.ones_like(edge)
    raised, plain = [root * top * root, root * middle, root * one], [top, middle, root * one]
    if kind == "low":
        return _sections([raised], [plain])
    return _sections([[root * top, root * middle, root * root * one]], [[root * top, middle, one]])


def decay(real: Tensor, imaginary: Tensor) -> Tensor:
    """Returns by how many nepers a sample the response of a pole falls, at minus ``real`` in the plane of s."""
    return torch.log1p(4 * real / ((1 - real).square() + imaginary.square())) / -2


def slowest_decay(sections: Tensor) -> Tensor:
    """Returns by how many nepers a sample each item's response falls at last, float64 ``[B]``."""
    a, b, c = sections.select(2, 1).unbind(-1)
    split = b * b - 4 * a * c
    twin, single = split < 0, c == 0
    square = torch.where(single, 1.0, c)
    outer = (b + split.clamp(min=0.0).sqrt()) / -2
    inner = torch.where(twin, b / (-2 * square), a / torch.where(twin, 1.0, outer))
    outer = torch.where(twin | single, inner, outer / square)
    imaginary = (-split).clamp(min=0.0).sqrt() / (2 * square)
    return torch.minimum(decay(inner, imaginary), decay(outer, imaginary)).amin(-1)


_SLOWEST = compiled([decay, slowest_decay])(slowest_decay)


def tails(sections: Tensor) -> Tensor:
    """Returns after how many samples each item's response has decayed by `NEPERS`, float64 ``[B]``."""
    slowest = _SLOWEST if applicable(sections) else slowest_decay
    return (NEPERS / slowest(sections)).ceil() + 2


def circle(size: int, like: Tensor) -> Tensor:
    """Returns squares of cosines and of sines, and their products, at half the angles of the bins, ``[3, bins]``.

    Args:
        size: of the Fourier transform.
        like: for type and device.
    """
    angle = torch.arange(size // 2 + 1, device=like.device, dtype=like.dtype) * (math.pi / size)
    # The cosine of no float is 0: sections of one pole, 0 / 0 at half the rate, keep their limit there.
    sine, cosine = angle.sin(), angle.cos()
    return torch.stack([cosine * cosine, sine * sine, sine * cosine])


def responses(sections: Tensor, table: Tensor, zero_phase: bool) -> Tensor:
    """Returns what spectra are multiplied by, complex ``[..., bins]``.

    Args:
        sections: ``[..., S, 2, 3]``, float, on the device of the spectra.
        table: of `circle`.
        zero_phase: forwards and backwards, which squares the magnitude and leaves the phase; else as it is.
    """
    above, below, cross = table[0], table[1], table[2]
    a, b, c = sections.unsqueeze(-1).unbind(-2)
    real = a * above - c * below
    if zero_phase:
        power = real * real + (b * b) * (cross * cross)
        made = power.select(-2, 0) / power.select(-2, 1)
        whole = made.prod(-2) if made.size(-2) > 1 else made.squeeze(-2)
        return torch.complex(whole, torch.zeros_like(whole))
    both = torch.complex(real, b * cross)
    return (both.select(-2, 0) / both.select(-2, 1)).prod(-2)


def filter_rows(
    out: Tensor,
    waves: Tensor,
    rows: List[int],
    sizes: List[int],
    sections: Tensor,
    zero_phase: bool,
    rings: List[int],
    shapes: List[List[int]],
    tables: List[Tensor],
    group: int,
) -> None:
    """Writes items after their filters, by blocks that overlap by what rings on.

    Args:
        out: ``[B, C, T]``.
        waves: likewise.
        rows: which items.
        sizes: samples of each of the B items.
        sections: ``[B, S, 2, 3]``.
        zero_phase: as in `responses`.
        rings: after how many samples the response of each of the B items has ended.
        shapes: of `_blocks`, of those of ``rows``.
        tables: of `circle`, likewise.
        group: blocks that are worked on at a time.
    """
    for i in range(len(rows)):
        row, n, left = rows[i], sizes[rows[i]], rings[rows[i]]
        size, step, count = shapes[i][0], shapes[i][1], shapes[i][2]
        right = left if zero_phase else 0
        own = waves[row].narrow(1, 0, n)
        padded = torch.nn.functional.pad(own, [left, right + step * count - n])
        blocks = padded.unfold(-1, left + step + right, step)
        filters = responses(sections[row], tables[i], zero_phase)
        for first in range(0, count, group):
            some = min(group, count - first)
            spectra = torch.fft.rfft(blocks.narrow(1, first, some), size).mul_(filters)
            made = torch.fft.irfft(spectra, size).narrow(2, left, step)
            put_blocks(out[row].narrow(1, first * step, min(n - first * step, some * step)), made, 0)


@functools.lru_cache(2)
def _circle(size: int, dtype: torch.dtype) -> Tensor:
    return circle(size, torch.empty(0, dtype=dtype, device="cpu"))


_FILTER = compiled([put_blocks, responses, filter_rows])(filter_rows)


def _blocks(n: int, tail: int, zero_phase: bool) -> list[int]:
    """Returns the size of one Fourier transform, how many samples it yields, and how many of them n samples need."""
    both = 2 * tail if zero_phase else tail
    size = max(BLOCK, 1 << (4 * both - 1).bit_length())
    if n + both <= size:
        return [fast_size(n + both, 2), max(n, 1), 1]
    return [size, size - both, -(-n // (size - both))]


def _through(x: Tensor, sections: Tensor, tail: int, zero_phase: bool) -> Tensor:
    """Returns waves ``[B, ..., n]`` after their filters, in the same way, all at once."""
    n = x.shape[-1]
    right = tail if zero_phase else 0
    size, step, count = _blocks(n, tail, zero_phase)
    blocks = pad(x, (tail, right + step * count - n)).unfold(-1, tail + step + right, step)
    made = responses(sections, circle(size, sections), zero_phase)
    spectra = torch.fft.rfft(blocks, n=size) * made.reshape(made.shape[0], *[1] * (x.dim() - 1), -1)
    waves: Tensor = torch.fft.irfft(spectra, n=size)[..., tail : tail + step].flatten(-2)
    return waves[..., :n]


def filter_items(
    data: Tensor, lengths: Tensor, sections: Tensor, active: Tensor, *, zero_phase: bool, tail: int | None = None
) -> Tensor:
    """Returns waves after their own filters, with silence before and after each item, exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        sections: float64 ``[B, S, 2, 3]``.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        zero_phase: as in `responses`.
        tail: samples that no response is longer than, None to look at the sections, which then lie on the host.
    """
    if not applicable(data, lengths, sections, active):
        longest = int(tails(sections).max()) if tail is None and data.shape[0] else tail or 0
        coefficients = sections.to(device=data.device, dtype=data.dtype, non_blocking=True)
        made = _through(cut(data, lengths), coefficients, longest, zero_phase)
        return zero_past(torch.where(per_item(active, data) != 0, made, data), lengths)
    waves = data if data.dim() == 3 else data.unsqueeze(1)
    sizes, longest_of, coefficients = lengths.tolist(), tails(sections).long().tolist(), sections.to(data.dtype)

    def write(out: Tensor, rows: list[int]) -> None:
        shapes = [_blocks(sizes[row], longest_of[row], zero_phase) for row in rows]
        tables = [_circle(shape[0], data.dtype) if shape[0] == BLOCK else circle(shape[0], data) for shape in shapes]
        _FILTER(out, waves, rows, sizes, coefficients, zero_phase, longest_of, shapes, tables, GROUP)

    return map_rows(waves, lengths, active, write, cost=8).view(data.shape)


def emphasise(data: Tensor, lengths: Tensor, coefficients: Tensor) -> Tensor:
    """Returns each sample less a share of the one before it, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        coefficients: float64 ``[B]``, the shares; 0 leaves an item's bits alone.
    """
    if not applicable(data, lengths, coefficients):
        share = per_item(coefficients, data)
        less = data[..., 1:] - share * data[..., :-1]
        return cut(torch.cat([data[..., :1], torch.where(share != 0, less, data[..., 1:])], -1), lengths)
    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    sizes, shares = lengths.tolist(), coefficients.tolist()

    def job(row: int) -> None:
        source, target, n = data[row], out[row], sizes[row]
        target[..., n:].zero_()
        if shares[row] == 0:
            target[..., :n] = source[..., :n]
        elif n:
            target[..., 0] = source[..., 0]
            torch.sub(source[..., 1:n], source[..., : n - 1], alpha=shares[row], out=target[..., 1:n])

    threads.each(job, len(sizes), data.numel())
    return out
