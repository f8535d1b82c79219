"""Harmonic constant-Q transform (HCQT): a constant-Q transform for each harmonic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ontheflyspec import checks
from ontheflyspec.functional import cqt_filters
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.cqt import CQT, check_top
from ontheflyspec.transforms.options import VQTOptions


class HarmonicCQT(FrameTransform):
    """Harmonic constant-Q transform of each item as if it stood alone: constant-Q transforms, stacked by harmonic.

    Bin k of harmonic h lies at ``h * fmin * 2 ** (k / bins_per_octave)`` Hz: the harmonics of a sound at the frequency
    of bin k all stand at k, along an axis of harmonics. Harmonics with bins at the same frequencies, such as two an
    octave apart, come from one transform.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        harmonics: multiples of the frequencies, above 0, also below 1.
        hop_length: as in `CQT`.
        fmin: Hz of the lowest bin of harmonic 1.
        n_bins: bins of each harmonic; the highest of all may lie at ``sample_rate / 2`` at most.
        bins_per_octave: as in `CQT`.
        filter_scale: as in `CQT`.
        window: as in `CQT`.
        norm: as in `CQT`.
        pad_mode: as in `CQT`.
        output: as in `CQT`.
        filters: as in `CQT`.
        method: as in `CQT`.
        trainable: as in `CQT`.

    Shape:
        ``[B, T]`` to ``[B, H, n_bins, N]`` with harmonics in the place of channels, ``[B, C, T]`` to
        ``[B, C, H, n_bins, N]`` (flatten two axes for steps that take spectrograms), a Tensor ``[T]`` to
        ``[H, n_bins, N]``, with ``N = 1 + T // hop_length``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, bins above half the sample rate, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        `CQT` with ``fmin`` times each harmonic, 1e-5 of the peak for ``method="direct"``, 3e-5 for ``"octaves"``
        (tests/parity/test_harmonic_cqt.py).

    References:
        Bittner, McFee, Salamon, Li, Bello, "Deep salience representations for F0 estimation in polyphonic music",
        ISMIR 2017, whose bins are the defaults.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> hcqt = ofs.HarmonicCQT(sample_rate=22_050, n_bins=72, bins_per_octave=12)
        >>> hcqt(torch.randn(2, 22_050)).shape
        torch.Size([2, 6, 72, 87])
    """

    @hands_on(CQT, first=("harmonics",), hop_length=256, n_bins=360, bins_per_octave=60, output="magnitude")
    def __init__(self, *, harmonics: Sequence[float] = (0.5, 1, 2, 3, 4, 5), **options: Unpack[VQTOptions]) -> None:
        super().__init__()
        where = "HarmonicCQT"
        self.sample_rate = checks.positive(where, "sample_rate", options["sample_rate"])
        self.fmin = checks.positive(where, "fmin", options["fmin"])
        self.n_features = self.n_bins = checks.integer(where, "n_bins", options["n_bins"])
        self.bins_per_octave = checks.integer(where, "bins_per_octave", options["bins_per_octave"])
        given = checks.sequence(where, "harmonics", harmonics)
        self.harmonics = tuple(checks.positive(where, "harmonics", harmonic) for harmonic in given)
        if not self.harmonics:
            raise ValueError(checks.message(where, "at least one harmonic", "none", "Change harmonics."))
        top, shape = max(self.harmonics), (self.n_bins, self.bins_per_octave)
        what, remedy = f"top bin of harmonic {top:g}", "Leave out high harmonics"
        check_top(where, what, self.sample_rate, self.fmin * top, *shape, remedy)
        self.cqts = nn.ModuleList()
        self.places = [(0, 0)] * len(self.harmonics)
        for number, span in enumerate(shared_spans(self.harmonics, *shape)):
            options["fmin"] = self.fmin * self.harmonics[next(iter(span))]
            options["n_bins"] = max(span.values()) + self.n_bins
            self.cqts.append(CQT(**options))
            for place, offset in span.items():
                self.places[place] = number, offset
        self.framing = cast(CQT, self.cqts[0]).framing

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bins of harmonic 1, float64 ``[n_bins]``."""
        return cqt_filters.bin_frequencies(self.fmin, self.n_bins, self.bins_per_octave)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the spectra of ``[B, T]`` or ``[B, C, T]`` samples."""
        made = [cast(CQT, cqt).transform(data, lengths) for cqt in self.cqts]
        return torch.stack([made[number][..., start : start + self.n_bins, :] for number, start in self.places], -3)


def shared_spans(harmonics: Sequence[float], n_bins: int, bins_per_octave: int) -> list[dict[int, int]]:
    """Groups harmonics whose bins lie at the same frequencies, and whose ranges meet, into one transform each.

    Returns:
        For each transform the place of every harmonic that comes from it, with the harmonic's first bin there.
    """
    steps = [bins_per_octave * math.log2(harmonic) for harmonic in harmonics]
    spans: list[dict[int, int]] = []
    for place in sorted(range(len(steps)), key=steps.__getitem__):
        for span in spans:
            first = next(iter(span))
            offset = steps[place] - steps[first]
            if abs(offset - round(offset)) < 1e-9 and round(offset) <= max(span.values()) + n_bins:
                span[place] = round(offset)
                break
        else:
            spans.append({place: 0})
    return spans
