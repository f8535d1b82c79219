"""Harmonic-percussive source separation (HPSS) by median filtering."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import FEATURE_DTYPES, as_float
from ontheflyspec.functional import hpss
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import Transform


class HPSS(Transform):
    """Harmonic or percussive part of a spectrum, of each item as if it stood alone, by medians and soft masks.

    A median over time (H) keeps sustained sounds, one over frequency (P) broad-band ones; each part is the input times
    a mask, ``H^power / (H^power + (margin P)^power)`` for the harmonic one, with H and P exchanged for the other.

    Args:
        kernel_size: frames of the medians over time and bins of those over frequency, or one number for both.
        power: exponent of the masks, above 0; ``math.inf`` for masks of 0 and 1.
        margin: how many times the other part must be exceeded, at least 1, for the harmonic and the percussive mask,
            or one number for both; above 1 the parts do not add up to the input.
        output: ``"harmonic"``, ``"percussive"``, or ``"both"``: the harmonic part's F bins, then the percussive one's.
        mask: whether the masks come out instead of the parts.

    Shape:
        Non-negative or complex ``[B, F, N]`` or ``[B, C, F, N]``, unchanged (``2 F`` bins for ``"both"``); a Tensor
        ``[F, N]`` is one item. Complex spectra are masked by their magnitude and stay complex.

    Padding:
        Exactly 0 past each item's frames. Medians are mirrored at the item's own ends; padding takes no part.

    Raises:
        ValueError: an option out of range.
        TypeError: features that are neither floats nor complex.

    Matches:
        ``librosa.decompose.hpss`` of each item alone, 1e-5 of the peak (tests/parity/test_hpss.py).

    References:
        Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010; Driedger, Müller, Disch,
        "Extending harmonic-percussive separation of audio signals", ISMIR 2014.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> spectrum = ofs.STFT(sample_rate=16_000, n_fft=512)(torch.randn(2, 16_000))
        >>> ofs.HPSS(output="percussive", margin=2.0)(spectrum).shape
        torch.Size([2, 257, 126])
    """

    item_rank = 2
    dtypes = (*FEATURE_DTYPES, torch.complex64, torch.complex128)

    def __init__(
        self,
        *,
        kernel_size: int | tuple[int, int] = 31,
        power: float = 2.0,
        margin: float | tuple[float, float] = 1.0,
        output: Literal["harmonic", "percussive", "both"] = "harmonic",
        mask: bool = False,
    ) -> None:
        super().__init__()
        where = "HPSS"
        self.kernel_size = tuple(checks.integer(where, "kernel_size", n) for n in _pair("kernel_size", kernel_size))
        self.power = math.inf if power == math.inf else checks.positive(where, "power", power)
        self.margin = tuple(checks.number(where, "margin", one, low=1.0) for one in _pair("margin", margin))
        self.output = checks.choice(where, "output", output, ("harmonic", "percussive", "both"))
        self.mask = checks.flag("HPSS", "mask", mask)

    def output_features(self, n_features: int) -> int:
        """Returns bins out for bins in."""
        return 2 * n_features if self.output == "both" else n_features

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:
        """Returns a part, or its mask."""
        options = {"kernel_size": self.kernel_size, "power": self.power, "margin": self.margin}
        made = as_float(like.new_empty(self.output_features(n_features)))
        made = made.abs() if self.mask else made  # masks of complex spectra are real
        return Pipeline((Node(hpss.hpss, {**options, "output": self.output, "mask": self.mask}, made),))


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    """Returns the values for time and for frequency, given as one for both or as two."""
    if not isinstance(value, (tuple, list)):
        return value, value
    if len(value) != 2:
        rule = f"{name} to be one number or two (time, frequency)"
        raise ValueError(checks.message("HPSS", rule, value, f"Change {name}."))
    return value[0], value[1]
