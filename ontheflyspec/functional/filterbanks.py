"""Triangular filter banks over FFT bins (mel, bark, linear), and their cheapest split into dense products."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ontheflyspec.functional.scales import bin_frequencies, hz_to_scale, spaced
from ontheflyspec.functional.stft import raise_power
from ontheflyspec.op import Op
from ontheflyspec.precision import matmul
from ontheflyspec.torch_internals import transforming, version_of

FilterBlock = tuple[int, int, int, int]
"""Neighbouring filters and the bins they need, a small dense product: first and last + 1 filter, then bin."""
Run = tuple[Tensor, int]
"""Weights of neighbouring filters on their own bins, and the first of these."""


def triangular_filterbank(
    sample_rate: float, n_fft: int, n_bands: int, fmin: float, fmax: float, scale: str, norm: str | None
) -> Tensor:
    """Returns triangular filters, evenly spaced in mels, barks or Hz, float64 ``[n_bands, n_fft // 2 + 1]``.

    Each rises from its left neighbour's centre to its own and falls to its right neighbour's, straight over Hz, or
    over mels for ``"kaldi"``. For ``"slaney"`` and ``"htk"`` they are those of ``librosa.filters.mel``.

    Args:
        sample_rate: Hz of the samples.
        n_fft: samples of a frame.
        n_bands: filters.
        fmin: Hz of the lowest edge.
        fmax: Hz of the highest edge.
        scale: as in `hz_to_scale`.
        norm: ``"slaney"`` for unit area over Hz, None for peaks of 1.
    """
    points, shape = spaced(n_bands + 2, fmin, fmax, scale), "kaldi" if scale == "kaldi" else "linear"
    edges, bins = hz_to_scale(points, shape), hz_to_scale(bin_frequencies(sample_rate, n_fft), shape)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    weights = torch.minimum(rising, falling).clamp(min=0.0)
    if norm == "slaney":
        weights = weights * (2.0 / (points[2:] - points[:-2]))[:, None]
    return weights


def filter_blocks(weights: Tensor, overhead: int = 2000) -> list[FilterBlock]:
    """Splits filters into runs of neighbours, each with its own range of bins, so that few zeros are multiplied.

    The split is the cheapest one: a run costs filters times bins, plus ``overhead`` for one more product.

    Args:
        weights: ``[F, bins]``.
        overhead: cost of one product in multiplications.
    """
    used = [row.nonzero().flatten().tolist() or [0] for row in weights.cpu() != 0]
    return cheapest([row[0] for row in used], [row[-1] + 1 for row in used], overhead)


def cheapest(lows: list[int], highs: list[int], overhead: int, most: float = math.inf) -> list[FilterBlock]:
    """Returns the runs of `filter_blocks` by dynamic programming, for filters whose first and last bins are known.

    Args:
        lows: first bin of each filter.
        highs: last bin + 1 of each filter.
        overhead: cost of one product in multiplications.
        most: filters times bins that no run of several filters needs to exceed.
    """
    n = len(lows)
    best, cut = [0.0] + [float("inf")] * n, [0] * (n + 1)
    for end in range(1, n + 1):
        low, high = lows[end - 1], highs[end - 1]
        for start in range(end - 1, -1, -1):
            low = lows[start] if lows[start] < low else low
            high = highs[start] if highs[start] > high else high
            area = (end - start) * (high - low)
            if area > most and start < end - 1:
                break
            cost = best[start] + area + overhead
            if cost < best[end]:
                best[end], cut[end] = cost, start
    result: list[FilterBlock] = []
    while n:
        start = cut[n]
        result.append((start, n, min(lows[start:n]), max(highs[start:n])))
        n = start
    return result[::-1]


class Runs:
    """Runs of filters, of `filter_blocks`, found anew where other values took a tensor's place.

    Args:
        names: of the tensors, whose runs are not known yet.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.known: dict[str, tuple[Callable[[], Tensor | None], int, list[FilterBlock]]] = {}
        self.known.update((name, (lambda: None, 0, [])) for name in names)

    def __reduce__(self) -> tuple[Any, ...]:
        return Runs, (list(self.known),)

    def of(self, name: str, weights: Tensor) -> list[FilterBlock]:
        """Returns the runs of filters ``[F, bins]`` as they are now, none in a trace, which has no values.

        They are one run while they are trained, and the first time that others are met on a device: those may be new at
        every call, and asking for their values makes the host wait.
        """
        if transforming():
            return []
        whole = [(0, weights.shape[0], 0, weights.shape[1])]
        if weights.requires_grad:
            return whole
        known = self.known.get(name)
        met = known is not None and known[0]() is weights and known[1] == version_of(weights)
        if known is None or not met or not known[2]:
            blocks = filter_blocks(weights) if met or weights.device.type == "cpu" else []
            known = self.known[name] = weakref.ref(weights), version_of(weights), blocks
        return known[2] or whole

    def refresh(self, tensors: Mapping[str, Tensor | None]) -> None:
        """Finds runs of those tensors anew that lie on the host, if they are others than before."""
        for name in list(self.known):
            if (weights := tensors.get(name)) is not None and weights.device.type == "cpu":
                self.of(name, weights)

    def moved(self, before: Mapping[str, Tensor | None], after: Mapping[str, Tensor | None]) -> None:
        """Takes the runs of tensors for those of the tensors that their values went to."""
        for name, (weights, version, blocks) in list(self.known.items()):
            old, new = before.get(name), after.get(name)
            if new is not None and old is not None and weights() is old and version == version_of(old):
                self.known[name] = weakref.ref(new), version_of(new), blocks


@Op
def filtered(
    power: Tensor,
    _: Tensor | None,
    *,
    weights: Tensor,
    bands: list[FilterBlock],  # noqa: ARG001
    exponent: float,
) -> Tensor:
    """Returns filter outputs ``[..., F, N]`` of power ``[..., bins, N]``.

    Args:
        power: squared magnitudes, 0 past each length.
        _: lengths, not used.
        weights: ``[F, bins]``.
        bands: of `filter_blocks`, not used here.
        exponent: of the magnitudes that are filtered, 2 for power.
    """
    return matmul(weights, raise_power(power, exponent))
