"""Learnable filter banks on the waveform: Gabor (LEAF) and sinc (SincNet) filters, and pooling of their energies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ontheflyspec.functional.limits import held
from ontheflyspec.functional.scales import spaced
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.kept import count_up
from ontheflyspec.op import Op
from ontheflyspec.precision import matmul
from ontheflyspec.torch_internals import parts_of, tiles

CHUNK = 1 << 19
"""Filtered samples that are made together on a CPU."""
CHUNK_ON_DEVICE = 1 << 25
"""The same elsewhere."""
HALF_WIDTH = math.sqrt(2 * math.log(2))
"""From a Gaussian's standard deviation to half its width at half its height."""
STEEP = 1e-3
"""Radians a sample by which centres of `gabor_filters` stay away from their limits: 1e-6 of the response."""
NARROWEST_HZ = 1.0
"""Least width of a band of `sinc_filters`."""


def gabor_start(sample_rate: float, n_filters: int, fmin: float, fmax: float, scale: str) -> Tensor:
    """Returns initial centres (radians a sample) and widths (samples) of Gabor filters, float64 ``[2, n_filters]``.

    Centres are evenly spaced over a scale, see `spaced`. Each Gaussian is as wide at half its height as the square
    root of the triangular filter there: three quarters of the triangle.
    """
    points = spaced(n_filters + 2, fmin, fmax, scale)
    widths = HALF_WIDTH * sample_rate / (math.pi * 0.75 * (points[2:] - points[:-2]))
    return torch.stack([2 * math.pi * points[1:-1] / sample_rate, widths])


def sinc_start(sample_rate: float, n_filters: int, fmin: float, fmax: float, scale: str) -> Tensor:
    """Returns initial lower edges and widths of adjacent bands in Hz, float64 ``[2, n_filters]``, see `spaced`."""
    top = min(fmax, sample_rate / 2 * (1 - 2.5e-7))  # so that no sum in float32 lies beyond half the rate
    edges = spaced(n_filters + 1, fmin, top, scale)
    return torch.stack([edges[:-1], edges.diff()])


def held_centres(centres: Tensor) -> Tensor:
    """Returns centre frequencies of `gabor_filters` in radians a sample, clamped to 0..pi."""
    return centres.clamp(0, math.pi)


def held_edges(low_hz: Tensor, band_hz: Tensor, sample_rate: float) -> tuple[Tensor, Tensor]:
    """Returns lower and upper edges of `sinc_filters` in Hz, clamped to 0..``sample_rate / 2``, at least 1 Hz apart."""
    low = held(low_hz, 0, sample_rate / 2 - NARROWEST_HZ)
    return low, held(low + held(band_hz, NARROWEST_HZ), high=sample_rate / 2)


def gabor_filters(centres: Tensor, widths: Tensor, size: int) -> Tensor:
    """Returns Gabor filters, complex sinusoids under Gaussians of area 1: real and imaginary parts, ``[2, F, size]``.

    Args:
        centres: radians a sample ``[F]``, clamped to 0..pi.
        widths: standard deviations of the Gaussians in samples, ``[F]``, clamped so that their spectra are neither
            wider than half of all frequencies nor narrower than the filter can resolve.
        size: samples of a filter, an odd number.
    """
    # Energies are even around both limits: right at them their slopes, by which a centre comes back, are 0.
    centres = held(centres, STEEP, math.pi - STEEP).unsqueeze(-1)
    widths = held(widths, 4 * HALF_WIDTH / math.pi, size * HALF_WIDTH / math.pi).unsqueeze(-1)
    steps = torch.arange(size, device=centres.device, dtype=centres.dtype) - size // 2
    bell = (-0.5 * (steps / widths).square()).exp() / (math.sqrt(2 * math.pi) * widths)
    return torch.stack([(centres * steps).cos() * bell, (centres * steps).sin() * bell])


def sinc_filters(low_hz: Tensor, band_hz: Tensor, sample_rate: float, size: int) -> Tensor:
    """Returns sinc band-pass filters, differences of two sincs under a Hamming window, 1 at the centre tap.

    Args:
        low_hz: lower edges ``[F]``, clamped to 0..``sample_rate / 2``.
        band_hz: widths ``[F]``, at least 1 Hz; upper edges are clamped to ``sample_rate / 2``.
        sample_rate: Hz.
        size: samples of a filter, an odd number.

    Shape: ``[1, F, size]``.
    """
    low, high = (edge.unsqueeze(-1) for edge in held_edges(low_hz, band_hz, sample_rate))
    steps = torch.arange(size, device=low.device, dtype=low.dtype) - size // 2
    twice = 2 * steps / sample_rate
    shape = (high * torch.sinc(high * twice) - low * torch.sinc(low * twice)) / (high - low)
    return (shape * (0.54 + 0.46 * (2 * math.pi / size * steps).cos())).unsqueeze(0)


def gaussian_pools(widths: Tensor, size: int) -> Tensor:
    """Returns Gaussian pooling windows of height 1, ``[F, size]``.

    Args:
        widths: standard deviations ``[F]`` in halves of ``size - 1`` samples, clamped to ``2 / size``..0.5.
        size: samples of a window.
    """
    widths = held(widths, 2 / size, 0.5).unsqueeze(-1)
    steps = torch.linspace(-1, 1, size, device=widths.device, dtype=widths.dtype)
    return (-0.5 * (steps / widths).square()).exp()


class Blocks(NamedTuple):
    """The filtering and pooling of signals in blocks of frames, one FFT each, numbered signal by signal.

    Args:
        compute: returns pooled energies ``[c, F, frames]`` of the blocks of some numbers.
        numbers: of all blocks.
        ends: samples of each row.
        step: samples between blocks.
        shape: rows, blocks of each, filters, frames of a block.
        cost: filtered samples of a block.
    """

    compute: Callable[[Tensor], Tensor]
    numbers: Tensor
    ends: Tensor
    step: int
    shape: tuple[int, int, int, int]
    cost: int

    def begun(self) -> Tensor:
        """Returns the numbers of blocks that hold frames of their item."""
        each = self.shape[1]
        last = self.ends[self.numbers // each]
        return self.numbers[(last > 0) & (self.numbers % each * self.step <= last)]

    def split(self, numbers: Tensor) -> Sequence[Tensor]:
        """Returns numbers of blocks in chunks that are made together."""
        chunk = CHUNK if numbers.device.type == "cpu" else CHUNK_ON_DEVICE
        return parts_of(numbers, max(chunk // self.cost, 1))

    def joined(self, made: Tensor, x: Tensor, count: int) -> Tensor:
        """Returns ``[B, ..., F, count]`` energies of ``[B, ..., T]`` signals from those of all blocks."""
        bands = self.shape[2]
        frames = made.reshape(self.shape).transpose(1, 2).flatten(2)[..., :count]
        return frames.reshape(*x.shape[:-1], bands, count)


def blocks(x: Tensor, lengths: Tensor | None, filters: Tensor, pools: Tensor, hop_length: int, count: int) -> Blocks:
    """Returns the blocks of at least one signal and frame; arguments as in `pooled_energies`."""
    (parts, bands, taps), wide = filters.shape, -(-pools.shape[-1] // hop_length)
    rows = x.flatten(0, -2)
    if lengths is None:
        ends = torch.full((rows.shape[0],), x.shape[-1], device=x.device)
    else:
        ends = lengths.to(x.device, non_blocking=True).reshape(-1, 1)
        ends = ends.expand(-1, rows.shape[0] // x.shape[0]).reshape(-1)
        rows = zero_padding(rows, ends)
    # A power of two, of which neighbours share a quarter at most.
    size = 1 << (4 * (taps + pools.shape[-1] + hop_length)).bit_length()
    frames = (size - taps + 1) // hop_length - wide + 1
    inner, step, each = (frames + wide - 1) * hop_length, frames * hop_length, tiles(-(-count // frames))
    before = pools.shape[-1] // 2 + taps // 2
    after = (each - 1) * step + inner + taps - 1 - before - x.shape[-1]
    pieces = torch.nn.functional.pad(rows, (before, after)).unfold(-1, inner + taps - 1, step)
    spectra = torch.fft.rfft(filters.flatten(0, 1), size)
    weights = torch.nn.functional.pad(pools, (0, wide * hop_length - pools.shape[-1]))
    weights = weights.reshape(-1, wide, hop_length).mT
    inside = count_up(inner, x.device) - pools.shape[-1] // 2

    def compute(numbers: Tensor) -> Tensor:
        row, block = numbers // each, numbers % each
        spectrum = torch.fft.rfft(pieces[row, block], size).unsqueeze(1)
        filtered = torch.fft.irfft(spectrum * spectra, size)[..., taps - 1 : taps - 1 + inner]
        energy = filtered.reshape(-1, parts, bands, inner).square().sum(1)
        places = inside + (block * step).unsqueeze(-1)
        outside = (places < 0) | (places >= ends[row].unsqueeze(-1))
        energy = energy.masked_fill(outside.unsqueeze(1), 0)
        sums = matmul(energy.reshape(-1, bands, frames + wide - 1, hop_length), weights)
        return torch.stack([sums[..., place : place + frames, place] for place in range(wide)]).sum(0)

    numbers, shape = count_up(rows.shape[0] * each, x.device), (rows.shape[0], each, bands, frames)
    return Blocks(compute, numbers, ends, step, shape, parts * bands * size)


@Op
def pooled_energies(
    x: Tensor, lengths: Tensor | None, *, filters: Tensor, pools: Tensor, hop_length: int, count: int
) -> Tensor:
    """Returns energies of filtered signals, pooled by weighted sums around each frame's centre ``t * hop_length``.

    Signals and energies are 0 beyond each item's own ends. Samples go through in blocks of frames, by FFT.

    Args:
        x: floats ``[B, ..., T]``.
        lengths: int64 ``[B]`` on any device, None if all items are full.
        filters: ``[m, F, K]``, the m parts of each filter, K odd.
        pools: weights ``[F, P]`` or ``[1, P]``, P odd.
        hop_length: samples between frames.
        count: frames.

    Shape: ``[B, ..., F, count]``; values past an item's frames are arbitrary.
    """
    if x.numel() * count == 0:
        return x.sum(-1)[..., None, None].expand(*x.shape[:-1], filters.shape[1], count)
    parts = blocks(x, lengths, filters, pools, hop_length, count)
    made = torch.cat([parts.compute(numbers) for numbers in parts.split(parts.numbers)])
    return parts.joined(made, x, count)
