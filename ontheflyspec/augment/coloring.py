"""Augmentations that act along the bands of spectrograms."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment, Params, between, column
from ontheflyspec.augment.spectrogram import checked_fill, fill_values
from ontheflyspec.batch import PaddedBatch, as_tensor, per_item
from ontheflyspec.functional.masking import raise_items, scale_items, shift_bands
from ontheflyspec.functional.warping import read_between, region_gains, tract_positions
from ontheflyspec.functional.waveform import db_to_amplitude


class FrequencyShift(Augment):
    """Moves the bands of each item up or down by a drawn number of them.

    On mel or constant-Q bands this is about a change of pitch, on the bins of an STFT a shift in Hz. What leaves at one
    end is lost.

    Args:
        shift_bands: range of whole numbers of bands that the shift is drawn from, both ends possible; above 0 moves to
            higher bands.
        fill: what comes in at the other end: ``"mean"`` of the item's own valid part, ``"zero"``, or a number.
        p: probability that an item is changed.
        seed: makes two shifts differ.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one shift an item over all its channels.

    Padding:
        Left out of the mean; 0 past each length.

    Raises:
        ValueError: a range with low above high, an unknown fill, a probability outside 0..1.
        TypeError: shifts that are no whole numbers, complex spectrograms.

    Matches:
        ``numpy.roll`` with the bands that came round overwritten, bitwise (tests/augment/test_bands.py).

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> bands = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
        >>> ofs.augment.FrequencyShift(shift_bands=1, fill="zero")(bands)
        tensor([[0., 0.],
                [1., 1.],
                [2., 2.]])
    """

    item_rank = 2

    def __init__(
        self,
        *,
        shift_bands: int | tuple[int, int] = (-4, 4),
        fill: str | float = "mean",
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.shift_bands = checks.integer_span("FrequencyShift", "shift_bands", shift_bands, low=-(2**31))
        self.fill = checked_fill("FrequencyShift", fill)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``shift_bands`` (int64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        low, high = self.shift_bands
        return {"active": unit[:, 0] < self.p, "shift_bands": low + (unit[:, 1] * (high - low + 1)).long()}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with the bands of each active item moved."""
        data, lengths = batch.data, batch.lengths
        shift = torch.where(column(params["active"], torch.bool), column(params["shift_bands"], torch.int64), 0)
        return batch._replace(data=shift_bands(data, lengths, shift, fill_values(self.fill, data, lengths)))


class VTLP(Augment):
    """Vocal tract length perturbation: warps the frequencies of each item as another speaker's vocal tract would.

    What was at frequency f comes to ``alpha * f`` up to a knee, and straight on from there to the top of the axis,
    which stays: formants move, time does not. Each band reads the frequency that comes to it, linearly between the two
    bands around it; below the lowest and above the highest band it reads that band. Values are not scaled by the
    density of frequencies: amplitudes stay.

    The bands may lie anywhere: evenly from 0 Hz to half the sample rate, as those of `STFT`, or as ``frequencies``
    says (those of `MelSpectrogram`, or a constant-Q transform).

    Args:
        alpha: range of the factor that frequencies are multiplied by, drawn evenly; above 1 is a shorter tract.
        boundary: share of the top frequency up to which neither old nor new frequencies go beyond the knee; the paper's
            4800 Hz of 8000 Hz.
        frequencies: Hz of the bands, ascending, one each; None for bands spaced evenly from 0.
        fmax: Hz at the top that stay in their place, half the sample rate in the paper; None for the highest band.
        p: probability that an item is changed.
        seed: makes two warps differ.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one warp an item over all its channels.

    Padding:
        Frames are warped one by one; 0 past each length.

    Raises:
        ValueError: a range with low above high, factors or a boundary outside their range, frequencies that do not
            ascend or are not one a band, ``fmax`` below the highest band or without ``frequencies``.
        TypeError: complex spectrograms.

    Matches:
        The paper's formula inverted by ``numpy.interp``, 1e-6 of the peak; a peak at f comes to ``alpha * f``
        (tests/augment/test_bands.py).

    References:
        Jaitly and Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition", ICML workshop on deep
        learning for audio, speech and language, 2013.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.VTLP(alpha=1.25)(torch.eye(11)[:, [4]]).flatten().topk(1).indices
        tensor([5])
    """

    item_rank = 2

    def __init__(
        self,
        *,
        alpha: float | tuple[float, float] = (0.9, 1.1),
        boundary: float = 0.6,
        frequencies: Any = None,
        fmax: float | None = None,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.alpha = checks.span("VTLP", "alpha", alpha, low=0.1, high=10.0)
        self.boundary = checks.number("VTLP", "boundary", boundary, low=0.01, high=0.99)
        self.band_hz = None
        if frequencies is None:
            checks.unused("VTLP", "frequencies", {"fmax": fmax})
            return
        self.band_hz = as_tensor(frequencies, torch.float64).cpu().clone()
        if self.band_hz.dim() != 1 or not bool((self.band_hz.diff() > 0).all()):
            got = f"shape {list(self.band_hz.shape)}"
            rule = "frequencies as one ascending row of Hz"
            raise ValueError(checks.message("VTLP", rule, got, "Pass those of a transform."))
        highest = float(self.band_hz[-1])
        self.top_hz = checks.number("VTLP", "fmax", highest if fmax is None else fmax, low=highest)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``alpha`` (float64), ``[B]`` each."""
        unit = self.uniform(ids, key, 2)
        return {"active": unit[:, 0] < self.p, "alpha": between(unit[:, 1], self.alpha)}

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with the frequencies of each active item warped."""
        count = batch.data.shape[-2]
        alpha = torch.where(column(params["active"], torch.bool), column(params["alpha"], torch.float64), 1)
        if self.band_hz is None:
            frequencies, top = torch.arange(count, dtype=torch.float64, device="cpu"), max(count - 1.0, 1.0)
        else:
            frequencies, top = self.band_hz, self.top_hz
        if frequencies.shape[0] != count:
            rule, got = f"spectrograms of {frequencies.shape[0]} bands, as its frequencies are", f"{count} bands"
            raise ValueError(checks.message("VTLP", rule, got, "Pass the frequencies of these bands."))
        positions = tract_positions(alpha, frequencies, top, self.boundary)
        return batch._replace(data=read_between(batch.data, batch.lengths, positions, axis=-2))


class FilterAugment(Augment):
    """Weights random regions of the bands of each item by random gains, as rooms, microphones and distance do.

    The bands are cut into a drawn number of regions of drawn widths. With ``shape="step"`` each region has one gain,
    with ``"linear"`` the edges of regions do, and dB go straight from one to the next.

    Args:
        n_bands: range of the number of regions, drawn evenly, both ends possible.
        gain_db: range in dB that each gain is drawn from, evenly.
        shape: ``"linear"`` or ``"step"``.
        stype: what the values are: ``"power"`` or ``"magnitude"``, which are multiplied, ``"db"`` or ``"log"`` (natural
            logarithm of power, as `Log` makes it), to which is added.
        min_bandwidth: bands of the narrowest region; less where the regions would not fit.
        p: probability that an item is changed.
        seed: makes two filters differ.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one filter an item over all its channels and frames.

    Padding:
        Left out; 0 past each length.

    Raises:
        ValueError: a range with low above high, counts below 1, an unknown shape or stype, a probability outside 0..1.
        TypeError: complex spectrograms.

    Matches:
        The filter of the authors' code for the same edges and gains, 1e-9 (tests/augment/test_bands.py); there the
        number of regions excludes the upper end of its range, and all items of a batch share the edges.

    References:
        Nam, Kim and Park, "FilterAugment: an acoustic environmental data augmentation method", ICASSP 2022.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.augment.FilterAugment(n_bands=1, gain_db=10.0, shape="step")(torch.ones(2, 3))
        tensor([[10., 10., 10.],
                [10., 10., 10.]])
    """

    item_rank = 2

    def __init__(
        self,
        *,
        n_bands: int | tuple[int, int] = (3, 6),
        gain_db: float | tuple[float, float] = (-6.0, 6.0),
        shape: str = "linear",
        stype: str = "power",
        min_bandwidth: int = 6,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        where = "FilterAugment"
        self.n_bands = checks.integer_span(where, "n_bands", n_bands, low=1)
        self.gain_db = checks.span(where, "gain_db", gain_db)
        self.shape = checks.choice(where, "shape", shape, ("linear", "step"))
        self.stype = checks.choice(where, "stype", stype, ("power", "magnitude", "db", "log"))
        self.min_bandwidth = checks.integer(where, "min_bandwidth", min_bandwidth)

    def sample(self, ids: Tensor, key: int | None = None) -> Params:
        """Returns ``active`` (bool) and ``n_bands`` (int64), ``[B]``; ``cut`` and ``gain_db`` (float64), ``[B, k]``.

        Cuts are fractions of the bands that regions may be moved by; of both there are as many as the most regions
        need, and an item uses the first ones.
        """
        low, most = self.n_bands
        active, count, cut, gain = torch.split(self.uniform(ids, key, 2 * most + 2), [1, 1, most - 1, most + 1], -1)
        return {
            "active": active[:, 0] < self.p,
            "n_bands": low + (count[:, 0] * (most - low + 1)).long(),
            "cut": cut,
            "gain_db": between(gain, self.gain_db),
        }

    def change(self, batch: PaddedBatch, params: Params) -> PaddedBatch:
        """Returns the batch with the bands of each active item weighted."""
        data, lengths = batch.data, batch.lengths
        cut, gain_db = column(params["cut"], torch.float64), column(params["gain_db"], torch.float64)
        bands, linear = data.shape[-2], self.shape == "linear"
        counts = column(params["n_bands"], torch.int64)
        gains = region_gains(counts, cut, gain_db, bands, least=self.min_bandwidth, linear=linear)
        active = column(params["active"], torch.bool).unsqueeze(-1)
        if self.stype in ("power", "magnitude"):
            factors = db_to_amplitude(torch.where(active, gains, 0) * (2 if self.stype == "power" else 1))
            return batch._replace(data=scale_items(data, lengths, _per_band(factors, data)))
        # Adding minus zero leaves all bits as they are, those of minus zero too; adding zero does not.
        offsets = torch.where(active, gains * (1 if self.stype == "db" else math.log(10) / 10), -0.0)
        return batch._replace(data=raise_items(data, lengths, _per_band(offsets, data)))


def _per_band(values: Tensor, data: Tensor) -> Tensor:
    """Returns ``[B, F]`` host values as ``[B, 1, ..., F, 1]`` in the type and on the device of ``data``."""
    return per_item(values.flatten(), data).reshape(-1, *[1] * (data.dim() - 3), data.shape[-2], 1)
