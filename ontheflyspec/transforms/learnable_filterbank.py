"""Learnable filter banks on the samples: LEAF and SincNet."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.framing import Framing
from ontheflyspec.functional import learnable_filterbank
from ontheflyspec.functional.signal_frames import zero_padding
from ontheflyspec.transforms import stft
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.pcen import PCEN, filled

FLOOR = 1e-5
"""Least energy that goes into the normalisation, as in LEAF."""
IN_HZ = {"low_share": "low_hz", "band_share": "band_hz"}
"""Parameters of sinc filters, shares of half the rate, and their names in checkpoints, which have them in Hz."""


class LearnableFilterbank(FrameTransform):
    """Energies of learnable band-pass filters of each item as if it stood alone: LEAF, or SincNet's filters.

    Filters with two parameters each run over the samples; their output is squared, pooled around each frame's centre
    ``t * hop_length``, and normalised as `PCEN` does. Parameters that leave their range are used as if at its end, and
    have the gradient of the end, so that they come back where that leads inside.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_filters: filters.
        filter_length: samples of a filter, an odd number.
        hop_length: samples between frames.
        kind: ``"gabor"``, complex sinusoids under Gaussians with parameters ``centres`` (radians a sample) and
            ``widths`` (samples); or ``"sinc"``, band-passes with parameters ``low_share`` and ``band_share``,
            in units of half the rate, which ``low_hz`` and ``band_hz`` give, set and keep in checkpoints in Hz.
        pooling: ``"gaussian"`` with the parameter ``pool_widths`` (in halves of the pool's length, between
            ``2 / pooling_length`` and 0.5, 0.4 to begin with), or ``"mean"``, which has none.
        pooling_length: samples that a frame's energy is pooled over, an odd number from 3 on.
        pcen: whether energies, at least 1e-5, are normalised over time, with parameters of each filter.
        init: how filters are spaced to begin with, ``"mel"`` (HTK's mels) or ``"linear"``.
        fmin: Hz of the lowest filter's lower edge to begin with.
        fmax: Hz of the highest filter's upper edge to begin with (None: ``sample_rate / 2``).
        trainable: whether all of these are parameters; else nothing is, and checkpoints hold nothing.

    Shape:
        ``[B, T]`` to ``[B, n_filters, N]``, ``[B, C, T]`` to ``[B, C, n_filters, N]``, a Tensor ``[T]`` to
        ``[n_filters, N]``, with ``N = 1 + T // hop_length``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect. Samples and energies
        are 0 beyond an item's own ends.

    Raises:
        ValueError: an option out of range, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        The papers' formulas in float64, 1e-5 of the peak (tests/parity/test_learnable_filterbank.py).

    References:
        Zeghidour et al., "LEAF: a learnable frontend for audio classification", ICLR 2021; Ravanelli, Bengio,
        "Speaker recognition from raw waveform with SincNet", SLT 2018.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> leaf = ofs.LearnableFilterbank(sample_rate=16_000)
        >>> leaf(torch.randn(2, 16_000)).shape, sum(value.numel() for value in leaf.parameters())
        (torch.Size([2, 40, 101]), 280)
    """

    low_share: Tensor
    band_share: Tensor

    def __init__(
        self,
        *,
        sample_rate: float,
        n_filters: int = 40,
        filter_length: int = 401,
        hop_length: int = 160,
        kind: Literal["gabor", "sinc"] = "gabor",
        pooling: Literal["gaussian", "mean"] = "gaussian",
        pooling_length: int = 401,
        pcen: bool = True,
        init: Literal["mel", "linear"] = "mel",
        fmin: float = 60.0,
        fmax: float | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__()
        where = "LearnableFilterbank"
        self.sample_rate = checks.positive(where, "sample_rate", sample_rate)
        self.n_features = self.n_filters = checks.integer(where, "n_filters", n_filters)
        self.filter_length = _odd("filter_length", filter_length)
        hop_length = checks.integer(where, "hop_length", hop_length)
        self.kind = checks.choice(where, "kind", kind, ("gabor", "sinc"))
        self.pooling = checks.choice(where, "pooling", pooling, ("gaussian", "mean"))
        pooling_length = _odd("pooling_length", pooling_length)
        self.framing = Framing(self.sample_rate, pooling_length, hop_length, pooling_length, pad_mode="constant")
        self.init = checks.choice(where, "init", init, ("mel", "linear"))
        self.fmin, self.fmax = stft.frequency_range(where, fmin, fmax, self.sample_rate)
        self.trainable = checks.flag(where, "trainable", trainable)
        start = learnable_filterbank.gabor_start if self.kind == "gabor" else learnable_filterbank.sinc_start
        scale = "htk" if self.init == "mel" else "linear"
        made = partial(start, self.sample_rate, self.n_filters, self.fmin, self.fmax, scale)
        self.names = ("centres", "widths") if self.kind == "gabor" else ("low_share", "band_share")
        # Steps of an optimiser are of one size for all parameters: edges in Hz would hardly move.
        self.unit = 1.0 if self.kind == "gabor" else self.sample_rate / 2
        for place, name in enumerate(self.names):
            self.keep(name, partial(_row, made, place, self.unit), trainable=self.trainable)
        if self.pooling == "gaussian":
            self.keep("pool_widths", partial(filled, self.n_filters, 0.4), trainable=self.trainable)
        self.pcen = None
        if checks.flag(where, "pcen", pcen):
            options: dict[str, Any] = {"trainable": self.trainable, "n_bands": self.n_filters}
            self.pcen = PCEN(b=0.04, gain=0.96, bias=2.0, power=0.5, eps=1e-12, start="first", **options)

    @property
    def frequencies(self) -> Tensor:
        """Hz of the filters' centres as they are now, float64 ``[n_filters]`` on the host."""
        first, second = (self._now(name) for name in self.names)
        if self.kind == "gabor":
            return learnable_filterbank.held_centres(first) * (self.sample_rate / (2 * math.pi))
        low, high = learnable_filterbank.held_edges(first * self.unit, second * self.unit, self.sample_rate)
        return (low + high) / 2

    @property
    def low_hz(self) -> Tensor:
        """Hz of the lower edges of sinc filters, ``[n_filters]``, as checkpoints have them; to be set as a whole."""
        return self.low_share * self.unit

    @low_hz.setter
    def low_hz(self, hertz: Tensor) -> None:
        with torch.no_grad():
            self.low_share.copy_(hertz / self.unit)

    @property
    def band_hz(self) -> Tensor:
        """Hz of the widths of sinc filters, ``[n_filters]``, as checkpoints have them; to be set as a whole."""
        return self.band_share * self.unit

    @band_hz.setter
    def band_hz(self, hertz: Tensor) -> None:
        with torch.no_grad():
            self.band_share.copy_(hertz / self.unit)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Saves edges in Hz."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, in_hz in IN_HZ.items():
            if prefix + name in destination:
                destination[prefix + in_hz] = destination.pop(prefix + name) * self.unit

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Takes edges in Hz."""
        for name, in_hz in IN_HZ.items():
            if self.kind == "sinc" and prefix + in_hz in state_dict:
                state_dict[prefix + name] = state_dict.pop(prefix + in_hz) / self.unit
        super()._load_from_state_dict(state_dict, prefix, *args)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the filters' energies of ``[B, T]`` or ``[B, C, T]`` samples."""
        data, valid = as_float(data), None if lengths is None else self.framing.count(lengths)
        frames: dict[str, Any] = {"hop_length": self.framing.hop_length, "count": self.framing.count(data.shape[-1])}
        filters, pools = self._filters(data), self._pools(data)
        out = learnable_filterbank.pooled_energies(data, lengths, filters=filters, pools=pools, **frames)
        if self.pcen is not None:
            return self.pcen.transform(out.clamp(min=FLOOR), valid)
        return out if valid is None else zero_padding(out, valid)

    def _now(self, name: str) -> Tensor:
        """Returns a parameter in float64 on the host."""
        if self.trainable:
            return self.get_parameter(name).detach().cpu().double()
        return self.constant(name, torch.float64)

    def _filters(self, like: Tensor) -> Tensor:
        """Returns the impulse responses of the filters as their parameters are now."""
        first, second = (self.constant(name, like.dtype) for name in self.names)
        if self.kind == "gabor":
            return learnable_filterbank.gabor_filters(first, second, self.filter_length)
        edges = (first * self.unit, second * self.unit)
        return learnable_filterbank.sinc_filters(*edges, self.sample_rate, self.filter_length)

    def _pools(self, like: Tensor) -> Tensor:
        """Returns the windows that squared filter outputs are averaged with."""
        size = self.framing.n_fft
        if self.pooling == "mean":
            return like.new_full((1, size), 1 / size)
        return learnable_filterbank.gaussian_pools(self.constant("pool_widths", like.dtype), size)


def _odd(name: str, value: int) -> int:
    """Returns an odd number of samples from 3 on, or raises."""
    value = checks.integer("LearnableFilterbank", name, value, low=3)
    if value % 2 == 0:
        rule = f"an odd {name}, so that it has a centre"
        raise ValueError(checks.message("LearnableFilterbank", rule, value, f"Take {value + 1}."))
    return value


def _row(maker: partial[Tensor], place: int, unit: float) -> Tensor:
    """Returns one of the parameters that a maker makes together, in a unit."""
    return maker()[place] / unit
