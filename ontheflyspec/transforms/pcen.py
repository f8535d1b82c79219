"""Per-channel energy normalisation (PCEN)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import pcen
from ontheflyspec.functional.limits import held
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import Transform
from ontheflyspec.transforms.synthesis import waves_rate

PARAMETERS = ("gain", "bias", "power", "b")
LEAST = 1e-4
"""Trained bias and power stay at or above this."""
SMALLEST = 1e-30
"""Least ``eps``, and least ``bias`` above 0, that float32 can divide by."""


class PCEN(Transform):
    """Per-channel energy normalisation of each item as if it stood alone: gain control by band, then compression.

    ``(x / (eps + m)^gain + bias)^power - bias^power``, where m is x smoothed over time by a first-order recursion,
    ``m[n] = (1 - b) m[n - 1] + b x[n]``; ``log(1 + x / (eps + m)^gain)`` for ``power=0``.

    Args:
        sample_rate: Hz of the waveforms behind the frames; with ``hop_length`` it says how many frames
            ``time_constant`` is, and batches of another rate raise. Not where ``b`` is given.
        hop_length: samples between frames, as ``sample_rate``.
        gain: exponent of the smoothed energies, at least 0.
        bias: added before the compression, 0 or at least 1e-30.
        power: exponent of the compression, at least 0.
        time_constant: seconds of the smoothing (None: 0.4). Not where ``b`` is given.
        eps: added to the smoothed energies, at least 1e-30.
        b: weight of the newest frame, between 0 and 1 (None: by ``time_constant``).
        start: m before the first frame, ``"one"`` (the value 1, as librosa has it) or ``"first"`` (the first frame's
            own energies, whatever their scale).
        trainable: whether gain, bias, power and b are parameters, one each a band. In use they are held at or above 0,
            1e-4, 1e-4, and between 0 and 1.
        n_bands: bands F of the input, needed if ``trainable``; input of another number raises (None: any).

    Shape:
        Non-negative ``[B, F, N]`` or ``[B, C, F, N]``, unchanged; a Tensor ``[F, N]`` is one item.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range; neither ``b`` nor both of ``sample_rate`` and ``hop_length``, or ``b`` and
            one of them or ``time_constant``; ``trainable`` without ``n_bands``; input of other than ``n_bands`` bands;
            a batch whose rate is not ``sample_rate / hop_length``.
        TypeError: features that are not real floats.

    Matches:
        ``librosa.pcen`` of each item alone, 1e-5 of the peak (tests/parity/test_pcen.py).

    References:
        Wang et al., "Trainable frontend for robust and far-field keyword spotting", ICASSP 2017; Lostanlen et al.,
        "Per-channel energy normalization: why and how", IEEE Signal Processing Letters 2019.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> mel = ofs.MelSpectrogram(sample_rate=16_000, n_fft=512, hop_length=160, n_mels=40, power=1.0)
        >>> pcen = ofs.PCEN(sample_rate=16_000, hop_length=160)
        >>> pcen(mel(torch.randn(2, 16_000)) * 2**31).shape
        torch.Size([2, 40, 101])
    """

    item_rank = 2

    def __init__(
        self,
        *,
        sample_rate: float | None = None,
        hop_length: int | None = None,
        gain: float = 0.98,
        bias: float = 2.0,
        power: float = 0.5,
        time_constant: float | None = None,
        eps: float = 1e-6,
        b: float | None = None,
        start: Literal["one", "first"] = "one",
        trainable: bool = False,
        n_bands: int | None = None,
    ) -> None:
        super().__init__()
        where = "PCEN"
        self.frames: tuple[float, int] | None = None
        if b is None:
            if sample_rate is None or hop_length is None:
                rule = "sample_rate and hop_length, which say how many frames time_constant is, or b"
                raise ValueError(checks.message(where, rule, (sample_rate, hop_length), "Pass both, or b."))
            rate = checks.positive(where, "sample_rate", sample_rate)
            self.frames = (rate, checks.integer(where, "hop_length", hop_length))
            seconds = checks.positive(where, "time_constant", 0.4 if time_constant is None else time_constant)
            b = 2 / (math.hypot(1, 2 * (seconds * rate / hop_length)) + 1)  # as librosa has it
        else:
            frames = {"sample_rate": sample_rate, "hop_length": hop_length, "time_constant": time_constant}
            checks.unused(where, "b=None", frames)
            b = checks.number(where, "b", b, low=0.0, high=1.0)
        self.eps = checks.number(where, "eps", eps, low=SMALLEST)
        self.start = checks.choice(where, "start", start, ("one", "first"))
        self.trainable = checks.flag(where, "trainable", trainable)
        if self.trainable and n_bands is None:
            raise ValueError(checks.message(where, "n_bands with trainable=True", None, "Pass the number of bands."))
        self.n_bands = None if n_bands is None else checks.integer(where, "n_bands", n_bands)
        least = LEAST if self.trainable else 0.0
        gain = checks.number(where, "gain", gain, low=0.0)
        bias = checks.number(where, "bias", bias, low=least)
        power = checks.number(where, "power", power, low=least)
        if 0 < bias < SMALLEST:
            rule = f"bias to be 0 or at least {SMALLEST:g}"
            raise ValueError(checks.message(where, rule, bias, "Change bias."))
        self.form = "log" if power == 0 else "power" if bias == 0 else "root"
        count = self.n_bands if self.trainable and self.n_bands else 1
        for name, value in zip(PARAMETERS, (gain, bias, power, b), strict=True):
            self.keep(name, partial(filled, count, value), trainable=self.trainable)

    def output_rate(self, rate: float | None) -> float | None:
        """Returns the same rate, or raises unless it is that of the frames that the time constant is meant for."""
        if self.frames is not None and rate is not None:
            waves_rate("PCEN", *self.frames, rate)
        return rate

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:
        """Returns the normalisation of energies."""
        if self.n_bands is not None and n_features != self.n_bands:
            rule = f"features of n_bands = {self.n_bands} bands"
            raise ValueError(checks.message("PCEN", rule, n_features, "Change n_bands."))
        gain, bias, power, weight = (self.constant(name, like.dtype) for name in PARAMETERS)
        if self.trainable:
            bias, power = held(bias, LEAST), held(power, LEAST)
        options: dict[str, Any] = {"gain": held(gain, 0), "smoothing": (weight, self.start), "eps": self.eps}
        options |= {"bias": None if self.form == "power" else bias, "power": None if self.form == "log" else power}
        return Pipeline((Node(pcen.pcen, options),))


def filled(count: int, value: float) -> Tensor:
    """Returns a value for each band, float64 ``[count]``."""
    return torch.full((count,), value, dtype=torch.float64, device="cpu")
