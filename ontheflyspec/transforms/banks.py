"""Filters over the power of an STFT: what mel, bark, linear and gammatone spectrograms have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import blocks, filterbanks, fourier, stages
from ontheflyspec.functional.stages import Stage
from ontheflyspec.transforms.base import Pointwise, Transform
from ontheflyspec.transforms.stft import STFT


class Banked(Protocol):
    """A transform that filters the power of its STFT; see `keep_filters`."""

    stft: STFT
    power: float

    def constant(self, name: str, like: Tensor) -> Tensor:
        """See `Transform`."""

    def stage(self, data: Tensor) -> Stage | None:
        """See `Transform`."""


def frequency_range(where: str, fmin: Any, fmax: Any, sample_rate: float) -> tuple[float, float]:
    """Returns Hz of a range, up to ``sample_rate / 2`` for None, or raises."""
    nyquist = sample_rate / 2
    high = checks.number(where, "fmax", nyquist if fmax is None else fmax, low=0.0, high=nyquist)
    low = checks.number(where, "fmin", fmin, low=0.0)
    if low >= high:
        rule = f"fmin below fmax = {high} Hz"
        raise ValueError(checks.message(where, rule, f"{low} Hz", "Lower fmin or raise fmax."))
    return low, high


def keep_filters(
    owner: Transform, maker: Callable[[], Tensor], kind: str, count: str, *, trainable: bool
) -> list[filterbanks.Band]:
    """Keeps ``filterbank``, ``[F, bins]``, and returns the ``bands`` in which to multiply by it quickly.

    Args:
        owner: the transform, of which this is called in ``__init__``.
        maker: makes the filters in float64.
        kind: what the filters are called where some meet no FFT bin and a warning says so.
        count: name of the option that says how many they are.
        trainable: whether they are parameters.
    """
    owner.keep("filterbank", maker, trainable=trainable)
    weights: Tensor = owner.get_parameter("filterbank") if trainable else owner.get_buffer("filterbank")
    if empty := int((weights == 0).all(1).sum()):
        rule = f"every {kind} filter to meet an FFT bin, got none for {empty} of {len(weights)} {kind} filters"
        text = f"{type(owner).__name__}: expected {rule}. They give 0: lower {count} or raise n_fft."
        checks.warn(text)
    return filterbanks.bands(weights.detach())


def finishes(stft: STFT, data: Tensor) -> bool:
    """Returns whether items go through in blocks, where pointwise steps can follow at once."""
    return stft.backend == "fft" and blocks.applicable(data)


def stage(owner: Transform, stft: STFT, bands: list[filterbanks.Band], power: float, data: Tensor) -> Stage | None:
    """Returns what filters make of a Fourier stage that others may share, None if their STFT is a convolution.

    Args:
        owner: keeps the ``filterbank``.
        stft: of the waves.
        bands: in which to multiply by the filters.
        power: exponent of the magnitudes.
        data: the samples to come.
    """
    shared = stft.stage(data)
    if shared is None:
        return None
    weights = owner.constant("filterbank", shared.window)
    runs = [(weights[first:last, low:high], low) for first, last, low, high in bands]
    agree = partial(filterbanks.places_agree, runs, weights.shape[1], blocks.rows(stft.n_fft))
    return shared._replace(
        like=weights[:, 0],
        together=lambda: power in (1, 2) and agree(),
        of_power=True,
        make=partial(filterbanks.filter_rows, runs=runs, power=power),
        finish=partial(filterbanks.filter_power, weights=weights, power=power),
    )


def filtered(owner: Banked, data: Tensor, lengths: Tensor | None, after: Sequence[Pointwise] = ()) -> Tensor:
    """Returns filter outputs for magnitudes to the power that the owner has, of ``[B, T]`` or ``[B, C, T]`` samples."""
    own = owner.stage(data)
    if own is not None:
        return stages.features(data, lengths, [own], [after])[0]
    data = as_float(data)
    with fourier.full_precision(data.device):
        energy = fourier.present(*owner.stft.convolved(data, lengths), "power")
        return filterbanks.filter_power(energy, weights=owner.constant("filterbank", data), power=owner.power)
