"""Resampling of waveforms by a rational factor."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import resampling
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.transforms.base import Transform

LARGEST_KERNEL = 2**24


class Resample(Transform):
    """Resampling by a rational factor, with a Kaiser-windowed sinc as a polyphase filter.

    Flat to 0.01 dB up to 0.88 of the lower Nyquist frequency; aliases and images lie 100 dB down from 1.0 of it on.

    Args:
        sample_rate: Hz of the waveforms, a whole number; batches of another rate raise.
        new_sample_rate: Hz of the output, a whole number.

    Shape:
        ``[B, T]`` to ``[B, ceil(T * new / old)]``, likewise ``[B, C, T]`` and a Tensor ``[T]``.

    Padding:
        Beyond its ends an item goes on with zeros, whatever stands in the padding; exactly 0 past each new end.

    Raises:
        ValueError: rates that are no whole numbers, or so unlike that their filters do not fit (more than 2**24 taps).
        TypeError: samples that are neither float nor int16.

    Matches:
        Ideal resampled sines and soxr, 1e-4 of the peak inside the clip (tests/parity/test_resample.py).

    References:
        Smith, "Digital Audio Resampling", https://ccrma.stanford.edu/~jos/resample/.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.Resample(sample_rate=44_100, new_sample_rate=16_000)(torch.zeros(2, 44_100)).shape
        torch.Size([2, 16000])
    """

    sample_rate: float
    kernels: Tensor

    def __init__(self, *, sample_rate: float, new_sample_rate: float) -> None:
        super().__init__()
        self.sample_rate = checks.positive("Resample", "sample_rate", sample_rate)
        self.new_sample_rate = checks.positive("Resample", "new_sample_rate", new_sample_rate)
        for name, value in (("sample_rate", self.sample_rate), ("new_sample_rate", self.new_sample_rate)):
            if value != int(value):
                raise ValueError(checks.message("Resample", f"{name} as a whole number of Hz", value, "Round it."))
        self.rates = {"old": int(sample_rate), "new": int(new_sample_rate)}
        step_in, step_out, reach = resampling.plan(**self.rates)
        if step_out * (step_in + 2 * reach) > LARGEST_KERNEL:
            rule = f"rates whose filters have at most {LARGEST_KERNEL} taps"
            got = f"{int(sample_rate)} to {int(new_sample_rate)} Hz with {step_out * (step_in + 2 * reach)}"
            remedy = "Choose rates with a larger common divisor, or AudioDataset(sample_rate=...), which uses soxr."
            raise ValueError(checks.message("Resample", rule, got, remedy))
        self.keep("kernels", partial(resampling.kernel, **self.rates))

    def output_lengths(self, lengths: Any) -> Any:
        """Returns ``ceil(n * new / old)``."""
        return resampling.resampled_length(lengths, **self.rates)

    def output_rate(self, rate: float | None) -> float | None:  # noqa: ARG002
        """Returns the new sample rate."""
        return self.new_sample_rate

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns ``[B, T]`` or ``[B, C, T]`` samples at the new rate."""
        if self.rates["old"] == self.rates["new"] or data.shape[-1] == 0:
            out = as_float(data).clone()
            return out if lengths is None else zero_past(out, lengths)
        kernels = self.constant("kernels", data.dtype)
        return resampling.resample(data, lengths, kernels=kernels, **self.rates)
