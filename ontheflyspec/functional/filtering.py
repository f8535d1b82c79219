"""Recursive (IIR) filters: Butterworth, peaking and shelving EQ, applied by overlap-save FFT; and pre-emphasis.

A filter is a cascade of second-order sections, float64 ``[B, S, 2, 3]``: numerator and denominator of each as
coefficients of 1, s and s^2 of an analog filter, where the bilinear transform takes the frequency ``f`` to
``s = j tan(pi f / rate)``. The responses are those of the digital filters that scipy designs, and stay exact in float32
for frequencies far below the rate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from ontheflyspec.batch import items_mask, per_item
from ontheflyspec.functional.fft_sizes import fast_size
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.kept import kept
from ontheflyspec.op import Op
from ontheflyspec.precision import complex_type, wide
from ontheflyspec.torch_internals import tiles

NEPERS = 16.0
"""Decay after which an impulse response is cut: to 1e-7."""
BLOCK = 4096
"""Samples of one FFT at least: short blocks stay in the cache, but a quarter at most may overlap with neighbours."""
TOP = 0.49
"""Highest frequency of a filter as a share of the rate: nearer to 0.5 its response rings for too long."""


def warped(hertz: Tensor, rate: float, top: float = TOP) -> Tensor:
    """Returns prewarped frequencies ``tan(pi f / rate)`` of the bilinear transform, f at most ``top * rate``."""
    return torch.tan((hertz / rate).clamp(max=top) * math.pi)


def _quadratics(order: int) -> list[tuple[float, float]]:
    """Returns minus the real part, and the imaginary part, of the poles of a Butterworth filter, one of each pair."""
    angles = [math.pi * (2 * k + 1) / (2 * order) for k in range((order + 1) // 2)]
    return [(math.sin(angle), math.cos(angle)) for angle in angles]


def _sections(*pairs: tuple[list[Tensor], list[Tensor]]) -> Tensor:
    """Returns sections ``[B, S, 2, 3]`` of coefficients ``[B]`` of numerators and denominators."""
    return torch.stack([torch.stack([torch.stack(part, -1) for part in pair], -2) for pair in pairs], -3)


def butterworth(edge: Tensor, order: int, kind: str) -> Tensor:
    """Returns a Butterworth filter's sections, 3 dB down at ``edge``.

    Args:
        edge: float64 ``[B]`` of `warped`.
        order: poles; the roll-off is 6 dB an octave for each.
        kind: ``"low"`` or ``"high"`` pass.
    """
    none, one = torch.zeros_like(edge), torch.ones_like(edge)
    sections = []
    for damping, imaginary in _quadratics(order):
        paired = imaginary > 1e-9
        below = [edge * edge, 2 * damping * edge, one] if paired else [edge, one, none]
        highest = [none, none, one] if paired else [none, one, none]
        sections.append(([below[0], none, none] if kind == "low" else highest, below))
    return _sections(*sections)


def butterworth_band(low: Tensor, high: Tensor, order: int, kind: str) -> Tensor:
    """Returns the sections of a Butterworth filter of twice ``order`` poles, 3 dB down at both edges.

    Args:
        low: lower edge, float64 ``[B]`` of `warped`.
        high: upper edge, float64 ``[B]`` of `warped`.
        order: the roll-off is 6 dB an octave for each, on both sides.
        kind: ``"pass"`` or ``"stop"``.
    """
    width, centre = high - low, low * high
    none, one = torch.zeros_like(low), torch.ones_like(low)
    passed = [none, width, none] if kind == "pass" else [centre, none, one]
    sections = []
    for damping, imaginary in _quadratics(order):
        if imaginary <= 1e-9:
            sections.append((passed, [centre, width, one]))
            continue
        pole = torch.complex(-damping * width, imaginary * width)
        root = (pole * pole - 4 * centre).sqrt()
        root = torch.where((pole.conj() * root).real < 0, -root, root)
        first = (pole + root) / 2
        for where in (first, centre / first):
            sections.append((passed, [where.real.square() + where.imag.square(), -2 * where.real, one]))
    return _sections(*sections)


def peaking(centre: Tensor, gain_db: Tensor, q: Tensor) -> Tensor:
    """Returns the section of a peaking EQ (Bristow-Johnson): ``gain_db`` at its centre, 0 dB far from it."""
    root = torch.exp(gain_db * (math.log(10) / 40))
    top, one = centre * centre, torch.ones_like(centre)
    return _sections(([top, centre * root / q, one], [top, centre / (root * q), one]))


def shelf(edge: Tensor, gain_db: Tensor, q: Tensor, kind: str) -> Tensor:
    """Returns the section of a shelving EQ: ``gain_db`` on one side, half of it at the edge, 0 dB on the other side.

    Args:
        edge: float64 ``[B]`` of `warped`.
        gain_db: float64 ``[B]``.
        q: steepness, float64 ``[B]``; 0.707 is the steepest without overshoot.
        kind: ``"low"`` or ``"high"``: the side that gets the gain.
    """
    root = torch.exp(gain_db * (math.log(10) / 40))
    middle = edge * root.sqrt() / q
    top, one = edge * edge, torch.ones_like(edge)
    if kind == "low":
        return _sections(([root * top * root, root * middle, root * one], [top, middle, root * one]))
    return _sections(([root * top, root * middle, root * root * one], [root * top, middle, one]))


def decay(real: Tensor, imaginary: Tensor) -> Tensor:
    """Returns the decay in nepers a sample of the response of a pole at ``-real + j imaginary`` in the plane of s."""
    return torch.log1p(4 * real / ((1 - real).square() + imaginary.square())) / -2


@Op
def slowest_decay(sections: Tensor) -> Tensor:
    """Returns the asymptotic decay of each item's impulse response in nepers a sample, float64 ``[B]``."""
    a, b, c = sections.select(2, 1).unbind(-1)
    split = b * b - 4 * a * c
    twin, single = split < 0, c == 0
    square = torch.where(single, 1.0, c)
    outer = (b + split.clamp(min=0.0).sqrt()) / -2
    inner = torch.where(twin, b / (-2 * square), a / torch.where(twin, 1.0, outer))
    outer = torch.where(twin | single, inner, outer / square)
    imaginary = (-split).clamp(min=0.0).sqrt() / (2 * square)
    return torch.minimum(decay(inner, imaginary), decay(outer, imaginary)).amin(-1)


def tails(sections: Tensor) -> Tensor:
    """Returns the samples after which each item's impulse response has decayed by `NEPERS`, float64 ``[B]``."""
    return (NEPERS / slowest_decay(sections)).ceil() + 2


@kept(32)
def circle(device: torch.device, size: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Returns squared cosines, squared sines and their products at half the angles of FFT bins, ``[3, bins]``.

    These turn coefficients of s into those of the bilinear transform's values on the unit circle.

    Args:
        device: where they lie.
        size: points of the Fourier transform.
        dtype: their type.
    """
    angle = torch.arange(size // 2 + 1, device=device, dtype=dtype) * (math.pi / size)
    # The cosine of a float is never exactly 0: first-order sections, 0 / 0 at half the rate, keep their limit there.
    sine, cosine = angle.sin(), angle.cos()
    return (torch.stack([cosine * cosine, sine * sine, sine * cosine]),)


def responses(sections: Tensor, table: Tensor, zero_phase: bool) -> Tensor:
    """Returns frequency responses at FFT bins, complex ``[..., bins]``.

    Args:
        sections: ``[..., S, 2, 3]``, float, on the device of the spectra.
        table: of `circle`.
        zero_phase: whether the filter runs forwards and backwards, which squares the magnitude and leaves the phase.
    """
    above, below, cross = table.unbind(0)
    a, b, c = sections.unsqueeze(-1).unbind(-2)
    real = a * above - c * below
    if zero_phase:
        power = real * real + (b * b) * (cross * cross)
        made = power.select(-2, 0) / power.select(-2, 1)
        whole = made.prod(-2) if made.size(-2) > 1 else made.squeeze(-2)
        return torch.complex(whole, torch.zeros_like(whole))
    both = torch.complex(real, b * cross)
    return (both.select(-2, 0) / both.select(-2, 1)).prod(-2)


def block_size(overlap: int) -> int:
    """Returns points of an FFT of blocks that overlap by so many samples."""
    return max(BLOCK, 1 << (4 * overlap - 1).bit_length())


def block_sizes(n: int, tail: int, zero_phase: bool) -> list[int]:
    """Returns points of an FFT, samples that it yields after the overlap, and the number of FFTs for n samples."""
    both = 2 * tail if zero_phase else tail
    size = block_size(both)
    if n + both <= size:
        return [fast_size(n + both, 2), max(n, 1), 1]
    return [size, size - both, -(-n // (size - both))]


def overlapped(x: Tensor, response: Tensor, tail: int, zero_phase: bool) -> Tensor:
    """Returns filtered waves ``[B, ..., n]`` by overlap-save: blocks overlap by the length of the impulse response.

    Args:
        x: with zeros past each item's end.
        response: frequency responses of `responses` for blocks of `block_size`, ``[B, bins]``, or ``[1, bins]`` for
            all; near a pole they are exact in double precision alone.
        tail: upper limit of the impulse responses' length in samples.
        zero_phase: as in `responses`.
    """
    n, right = x.shape[-1], tail if zero_phase else 0
    size = 2 * (response.shape[-1] - 1)
    step = size - tail - right
    count = tiles(-(-n // step)) if n else 1
    parts = pad(x, (tail, right + step * count - n)).unfold(-1, size, step)
    made = response.to(complex_type(x.dtype))
    spectra = torch.fft.rfft(parts) * made.reshape(made.shape[0], *[1] * (x.dim() - 1), -1)
    waves: Tensor = torch.fft.irfft(spectra, n=size)[..., tail : tail + step].flatten(-2)
    return waves[..., :n]


@Op
def filter_items(
    data: Tensor, lengths: Tensor, *, active: Tensor, sections: Tensor, zero_phase: bool, tail: int
) -> Tensor:
    """Filters each item by its own sections, with silence before and after the item; exactly 0 past its length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        active: bool ``[B]``; other items keep their valid part bit for bit.
        sections: float64 ``[B, S, 2, 3]``.
        zero_phase: as in `responses`.
        tail: as in `overlapped`. Whatever the filters of the batch need, so that no item depends on its mates.
    """
    coefficients = sections.to(data.device, wide(data.device), non_blocking=True)
    (table,) = circle(data.device, block_size(2 * tail if zero_phase else tail), coefficients.dtype)
    made = overlapped(zero_padding(data, lengths), responses(coefficients, table, zero_phase), tail, zero_phase)
    return zero_past(torch.where(items_mask(active, data), made, data), lengths)


@Op
def emphasise(data: Tensor, lengths: Tensor, *, coefficients: Tensor) -> Tensor:
    """Returns waveforms after pre-emphasis, ``x[n] - coefficient * x[n - 1]``, exactly 0 past each length.

    Args:
        data: ``[B, T]`` or ``[B, C, T]``.
        lengths: int64 ``[B]`` on any device.
        coefficients: float64 ``[B]``; 0 leaves an item bit for bit.
    """
    share = per_item(coefficients, data)
    less = data[..., 1:] - share * data[..., :-1]
    return zero_padding(torch.cat([data[..., :1], torch.where(share != 0, less, data[..., 1:])], -1), lengths)
