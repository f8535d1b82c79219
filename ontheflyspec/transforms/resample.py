"""Resampling of waveforms by a rational factor."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.batch import PaddedBatch, as_float, lift
from ontheflyspec.functional import resampling
from ontheflyspec.functional.masks import zero_past
from ontheflyspec.transforms.base import Transform
from ontheflyspec.transforms.synthesis import whole_lengths

MOST_TAPS = 2**25
"""Taps of the filters of rates that have no common divisor, at most: about as many as rates of 240 kHz have."""


class Resample(Transform):
    """Resampling by a rational factor, with a Kaiser-windowed sinc as a polyphase filter.

    Flat to 0.01 dB up to 0.88 of the lower Nyquist frequency; aliases and images lie 100 dB down from 1.0 of it on.
    Called as ``resample(waves, lengths=samples)`` it gives exactly so many samples, int64 ``[B]`` on the host, where a
    signal goes to another rate and back: they may be fewer than ``ceil(n * new / old)``, not more.

    Args:
        sample_rate: Hz of the waveforms, a whole number; batches of another rate raise.
        new_sample_rate: Hz of the output, a whole number.

    Shape:
        ``[B, T]`` to ``[B, ceil(T * new / old)]``, likewise ``[B, C, T]`` and a Tensor ``[T]``.

    Padding:
        Beyond its ends an item goes on with zeros, whatever stands in the padding; exactly 0 past each new end.

    Raises:
        ValueError: rates that are no whole numbers, or of so large terms that their filters do not fit (more than 2**25
            taps); ``lengths`` above those that come out.
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
        _, step_out, reach = resampling.plan(**self.rates)
        whole, taps = not resampling.parts(**self.rates), 2 * reach * step_out
        if not whole and taps > MOST_TAPS:
            rule = f"rates whose filters have at most {MOST_TAPS} taps"
            got = f"{int(sample_rate)} to {int(new_sample_rate)} Hz with {taps}"
            remedy = "Choose rates with a larger common divisor, or AudioDataset(sample_rate=...), which uses soxr."
            raise ValueError(checks.message("Resample", rule, got, remedy))
        self.keep("kernels", partial(resampling.kernel if whole else resampling.kernel_parts, **self.rates))

    def output_lengths(self, lengths: Any) -> Any:
        """Returns ``ceil(n * new / old)``."""
        return resampling.resampled_length(lengths, **self.rates)

    def output_rate(self, rate: float | None) -> float | None:  # noqa: ARG002
        """Returns the new sample rate."""
        return self.new_sample_rate

    def __call__(self, x: Any, *, lengths: Any = None) -> Any:
        """Resamples a Tensor or a batch, to ``lengths`` samples if given; see the class."""
        return nn.Module.__call__(self, x, lengths=lengths)

    def forward(self, x: Any, *, lengths: Any = None) -> Any:
        """Resamples a Tensor or a batch, to ``lengths`` samples if given; see the class."""
        if lengths is None:
            return super().forward(x)
        sizes = whole_lengths("Resample", lengths)

        def on_batch(batch: PaddedBatch) -> PaddedBatch:
            made = self.applied(batch)
            check_count("Resample", sizes, made.lengths)
            data = made.data[..., : max(sizes.tolist(), default=0)]
            return made._replace(data=zero_past(data.clone(), sizes), lengths=sizes)

        def on_tensor(data: Tensor) -> Tensor:
            items = data.unsqueeze(0) if data.dim() == 1 else data
            full = torch.full((items.shape[0],), items.shape[-1], device="cpu")
            out = on_batch(PaddedBatch(items, full, None)).data
            return out[0] if data.dim() == 1 else out

        return lift("Resample", x, on_batch, on_tensor)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns ``[B, T]`` or ``[B, C, T]`` samples at the new rate."""
        if self.rates["old"] == self.rates["new"] or data.shape[-1] == 0:
            out = as_float(data).clone()
            return out if lengths is None else zero_past(out, lengths)
        kernels = self.constant("kernels", data.dtype)
        return resampling.resample(data, lengths, kernels=kernels, **self.rates)


def check_count(where: str, sizes: Tensor, made: Tensor) -> None:
    """Raises unless there is one length an item on the host, none above what comes out."""
    if sizes.shape != made.shape or sizes.device.type != "cpu":
        rule = f"lengths as int64 [{len(made)}] on the host"
        raise ValueError(checks.message(where, rule, f"{list(sizes.shape)} on {sizes.device}", "Pass one an item."))
    if made.device.type == "cpu" and bool(((sizes < 0) | (sizes > made)).any()):
        remedy = "Pass the samples that the waves had before."
        raise ValueError(checks.message(where, f"lengths of 0 to {made.tolist()}", sizes.tolist(), remedy))
