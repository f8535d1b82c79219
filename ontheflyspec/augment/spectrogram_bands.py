"""Frequency axis of spectrograms: band shift, vocal tract length perturbation, FilterAugment."""

from __future__ import annotations

import math
from typing import Any

import torch

from ontheflyspec import checks
from ontheflyspec.augment.base import Augment
from ontheflyspec.augment.ranges import Params, Range, Span, fraction, integers, uniform
from ontheflyspec.augment.spectrogram_masks import checked_fill
from ontheflyspec.batch import as_tensor
from ontheflyspec.functional.masks import raise_items, scale_items, shift_bands
from ontheflyspec.functional.snr import db_to_amplitude
from ontheflyspec.functional.warping import read_between, region_gains, tract_positions
from ontheflyspec.op import Edit
from ontheflyspec.plans import Info


class FrequencyShift(Augment):
    """Frequency shift: moves the bands of each item up or down by a drawn number of bands.

    On mel or constant-Q bands this is about a change of pitch, on the bins of an STFT a shift in Hz. Bands that
    leave at one end are lost.

    Args:
        shift_bands: range of whole numbers of bands that the shift is drawn from, both ends possible; above 0 moves to
            higher bands.
        fill: value of the bands that enter at the other end: ``"mean"`` of the item's own valid part, ``"zero"``, or a
            number.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one shift an item over all its channels.

    Padding:
        Excluded from the mean; 0 past each length.

    Raises:
        ValueError: a range with low above high, an unknown fill, a probability outside 0..1.
        TypeError: shifts that are no whole numbers, complex spectrograms.

    Matches:
        ``numpy.roll`` with the bands that came round overwritten, bitwise (tests/augment/test_spectrogram_bands.py).

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
        self, *, shift_bands: int | tuple[int, int] = (-4, 4), fill: str | float = "mean", p: float = 1.0, seed: int = 0
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.shift_bands = checks.integer_span("FrequencyShift", "shift_bands", shift_bands, low=-(2**31))
        self.fill = checked_fill("FrequencyShift", fill)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``shift_bands``."""
        return {"shift_bands": integers(self.shift_bands)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that shifts the bands of the active items."""
        shift = torch.where(params["active"], params["shift_bands"], 0)
        return info.edit(shift_bands, None, shift=shift, fill=self.fill)


class VTLP(Augment):
    """Vocal tract length perturbation: warps the frequencies of each item as another speaker's vocal tract would.

    What was at frequency f comes to ``alpha * f`` up to a knee, and straight on from there to the top of the axis,
    which stays: formants move, time does not. Each band reads the frequency that comes to it, linearly between the two
    bands around it; below the lowest and above the highest band it reads that band. Values are not scaled by the
    density of frequencies: amplitudes stay.

    The bands may lie anywhere: evenly from 0 Hz to half the sample rate, as those of `STFT`, or as ``frequencies``
    says (those of `MelSpectrogram`, or a constant-Q transform).

    Args:
        alpha: range of the factor that frequencies are multiplied by, drawn uniformly; above 1 is a shorter tract.
        boundary: share of the top frequency up to which neither old nor new frequencies go beyond the knee; the paper's
            4800 Hz of 8000 Hz.
        frequencies: Hz of the bands, ascending, one each; None for bands spaced evenly from 0.
        fmax: Hz at the top that stay in their place, half the sample rate in the paper; None for the highest band.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

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
        (tests/augment/test_spectrogram_bands.py).

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
        alpha: float | Span = (0.9, 1.1),
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
            rule, got = "frequencies as one ascending row of Hz", f"shape {list(self.band_hz.shape)}"
            raise ValueError(checks.message("VTLP", rule, got, "Pass those of a transform."))
        highest = float(self.band_hz[-1])
        self.top_hz = checks.number("VTLP", "fmax", highest if fmax is None else fmax, low=highest)

    def ranges(self) -> dict[str, Range]:
        """Returns the range of ``alpha``."""
        return {"alpha": uniform(self.alpha)}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that warps the bands of the active items."""
        if self.band_hz is None:
            frequencies = torch.arange(info.bands, dtype=torch.float64, device="cpu")
            top = max(info.bands - 1.0, 1.0)
        else:
            frequencies, top = self.band_hz, self.top_hz
        if frequencies.shape[0] != info.bands:
            rule, got = f"spectrograms of {frequencies.shape[0]} bands, as its frequencies are", f"{info.bands} bands"
            raise ValueError(checks.message("VTLP", rule, got, "Pass the frequencies of these bands."))
        alpha = torch.where(params["active"], params["alpha"], 1)
        positions = tract_positions(alpha, frequencies, top, self.boundary)
        return info.edit(read_between, None, positions=positions, axis=-2)


class FilterAugment(Augment):
    """FilterAugment: weights random regions of bands by random gains, as rooms, microphones and distance do.

    The bands are cut into a drawn number of regions of drawn widths. With ``shape="step"`` each region has one gain,
    with ``"linear"`` each edge of a region has one, and gains in dB are interpolated linearly between edges.

    Args:
        n_bands: range of the number of regions, drawn uniformly, both ends possible.
        gain_db: range in dB that each gain is drawn from, uniformly.
        shape: ``"linear"`` or ``"step"``.
        stype: scale of the values: ``"power"`` or ``"magnitude"``, which are multiplied, ``"db"`` or ``"log"`` (natural
            logarithm of power, as `Log` makes it), to which the gain is added.
        min_bandwidth: bands of the narrowest region; less where the regions would not fit.
        p: probability that an item is changed.
        seed: of the draws, beside the id of the item and the place in a chain.

    Shape:
        ``[F, N]``, ``[B, F, N]`` or ``[B, C, F, N]`` in and out; one filter an item over all its channels and frames.

    Padding:
        Ignored; 0 past each length.

    Raises:
        ValueError: a range with low above high, counts below 1, an unknown shape or stype, a probability outside 0..1.
        TypeError: complex spectrograms.

    Matches:
        The filter of the authors' code for the same edges and gains, 1e-9 (tests/augment/test_spectrogram_bands.py);
        there the number of regions excludes the upper end of its range, and all items of a batch share the edges.

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
        gain_db: float | Span = (-6.0, 6.0),
        shape: str = "linear",
        stype: str = "power",
        min_bandwidth: int = 6,
        p: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(p=p, seed=seed)
        self.n_bands = checks.integer_span("FilterAugment", "n_bands", n_bands, low=1)
        self.gain_db = checks.span("FilterAugment", "gain_db", gain_db)
        self.shape = checks.choice("FilterAugment", "shape", shape, ("linear", "step"))
        self.stype = checks.choice("FilterAugment", "stype", stype, ("power", "magnitude", "db", "log"))
        self.min_bandwidth = checks.integer("FilterAugment", "min_bandwidth", min_bandwidth)

    def ranges(self) -> dict[str, Range]:
        """Returns ranges of ``n_bands``, of ``cut``, and of ``gain_db``.

        Cuts are fractions of the bands that regions may be moved by; of both there are as many as the most regions
        need, and an item uses the first ones.
        """
        most = self.n_bands[1]
        gains = uniform(self.gain_db, most + 1)
        return {"n_bands": integers(self.n_bands), "cut": fraction(most - 1), "gain_db": gains}

    def plan(self, info: Info, params: Params) -> Edit:
        """Returns the edit that weights the bands of the active items."""
        drawn, linear = (params["n_bands"], params["cut"], params["gain_db"]), self.shape == "linear"
        gain_db = region_gains(*drawn, info.bands, least=self.min_bandwidth, linear=linear)
        active = params["active"].unsqueeze(-1)
        if self.stype in ("power", "magnitude"):
            factors = db_to_amplitude(torch.where(active, gain_db, 0) * (2 if self.stype == "power" else 1))
            return info.edit(scale_items, None, factors=factors)
        # Adding minus zero leaves all bits as they are, those of minus zero too; adding zero does not.
        offsets = torch.where(active, gain_db * (1 if self.stype == "db" else math.log(10) / 10), -0.0)
        return info.edit(raise_items, None, offsets=offsets)
