"""Filter banks over the power of an STFT: base of mel, bark, linear and gammatone spectrograms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import filterbanks
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.options import FrameOptions
from ontheflyspec.transforms.stft import STFT


def frequency_range(where: str, fmin: Any, fmax: Any, sample_rate: float, lowest: float = 0.0) -> tuple[float, float]:
    """Returns ``fmin`` and ``fmax`` in Hz, within ``lowest`` and ``sample_rate / 2`` (for None), or raises."""
    nyquist = sample_rate / 2
    high = checks.number(where, "fmax", nyquist if fmax is None else fmax, low=0.0, high=nyquist)
    low = checks.number(where, "fmin", fmin, low=lowest)
    if low >= high:
        rule = f"fmin below fmax = {high} Hz"
        raise ValueError(checks.message(where, rule, f"{low} Hz", "Lower fmin or raise fmax."))
    return low, high


class BandSpectrogram(FrameTransform):
    """Base of spectrograms of filters over the power of an STFT.

    Args:
        frames: options of the STFT.
        fmin: Hz of the lowest filter's lower edge.
        fmax: Hz of the highest filter's upper edge, None for ``sample_rate / 2``.
        norm: ``"slaney"`` or None.
        power: exponent of the magnitudes that are filtered.
    """

    filterbank: Tensor
    bands: list[filterbanks.Band]

    def __init__(self, frames: FrameOptions, fmin: Any, fmax: Any, *, norm: Any = None, power: Any) -> None:
        super().__init__()
        where = type(self).__name__
        self.stft = STFT(**frames)
        self.sample_rate, self.framing = self.stft.sample_rate, self.stft.framing
        self.fmin, self.fmax = frequency_range(where, fmin, fmax, self.sample_rate)
        self.norm = norm if norm is None else checks.choice(where, "norm", norm, ("slaney",))
        self.power = checks.positive(where, "power", power)

    def keep_filters(self, maker: Callable[[], Tensor], kind: str, count: str) -> None:
        """Keeps ``filterbank``, ``[F, bins]``, and the ``bands`` in which to multiply by it quickly.

        Args:
            maker: makes the filters in float64.
            kind: name of the filters in the warning that some hold no FFT bin.
            count: name of the option that says how many they are.
        """
        self.keep("filterbank", maker, trainable=self.stft.trainable)
        if empty := int((self.filterbank == 0).all(1).sum()):
            rule = f"every {kind} filter to meet an FFT bin"
            got = f"none for {empty} of {len(self.filterbank)} {kind} filters"
            where, remedy = type(self).__name__, f"They give 0: lower {count} or raise n_fft."
            checks.warn(checks.message(where, rule, got, remedy))
        self.bands = filterbanks.bands(self.filterbank.detach())

    def filtered(self, like: Tensor) -> Pipeline:
        """Returns the pipeline to filter outputs, for data of the type of ``like``; subclasses add nodes to it."""
        return filters(self, self.stft, self.bands, self.power, like)

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline | None:  # noqa: ARG002
        """Returns power spectra and filters, if nothing else follows."""
        return self.filtered(like)


def filters(
    owner: FrameTransform, stft: STFT, bands: list[filterbanks.Band], exponent: float, like: Tensor
) -> Pipeline:
    """Returns the pipeline to a filter bank's outputs for magnitudes to a power.

    Args:
        owner: keeps the ``filterbank``, ``[F, bins]``.
        stft: of the waveforms.
        bands: runs of neighbouring filters with their bins, for sparse products.
        exponent: of the magnitudes.
        like: the samples to come, or others of their type and device.
    """
    spectra = stft.spectra(like)
    weights = owner.constant("filterbank", like if spectra.kernels is None else spectra.kernels)
    options = {"weights": weights, "bands": bands, "exponent": exponent}
    return spectra.then([Node(filterbanks.filtered, options, weights)])
