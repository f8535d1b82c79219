"""Spectral descriptors: centroid, bandwidth, roll-off, flatness, contrast, RMS and zero-crossing rate of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ontheflyspec import checks, pipeline
from ontheflyspec.batch import as_float
from ontheflyspec.functional import descriptors, scales
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.options import NOT_FRAMES, ONLY_SPECTRA, FrameOptions
from ontheflyspec.transforms.stft import STFT

FEATURES = ("centroid", "bandwidth", "rolloff", "flatness", "contrast", "rms", "zero_crossing_rate")
OPTIONS = ("features", "roll_percent", "n_contrast_bands", "fmin", "quantile", "p", "amin")
"""Options that the STFT does not have."""
MOST_BANDS = 6
"""Octaves of the contrast where nobody says how many."""


class SpectralDescriptors(FrameTransform):
    """Spectral descriptors of each frame, of each item as if it stood alone, by one Fourier transform for all rows.

    Rows stand in the order asked for; `names` lists them. All but the last two are taken of the magnitudes S:

    - ``"centroid"``: Hz of the mean of S; 0 for silence.
    - ``"bandwidth"``: Hz, ``sum(S / sum(S) |f - centroid|^p)^(1 / p)``; 0 for silence.
    - ``"rolloff"``: Hz of the first bin up to which lies ``roll_percent`` of S; 0 for silence. It has no gradient.
    - ``"flatness"``: geometric over arithmetic mean of S squared, between 0 and 1; 1 for silence.
    - ``"contrast"``: dB between the largest and the smallest magnitudes (taken for powers, as librosa does) of
      ``n_contrast_bands + 1`` bands, one row each. Both lie at most 80 dB below the item's own maximum of their kind,
      not below -100 dB. A band that holds nothing but rounding errors has the contrast of these.
    - ``"rms"``: root of the mean square of the frame's samples, not windowed.
    - ``"zero_crossing_rate"``: share of the frame's samples that differ in sign from the one before; 0 counts as
      positive. Beyond its ends a clip goes on with its first and last sample. It has no gradient.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        features: which rows, in which order.
        roll_percent: share of the magnitudes below the roll-off, between 0 and 1 (None: 0.85).
        n_contrast_bands: octaves above ``fmin``; the lower edge of the last lies below ``sample_rate / 2`` (None: as
            many as that allows, at most 6).
        fmin: Hz of the upper edge of the lowest contrast band (None: 200).
        quantile: share of a contrast band's bins that make its peak and its valley, between 0 and 1 (None: 0.02).
        p: exponent of the bandwidth, at least 1 (None: 2).
        amin: smallest power that counts for the flatness (None: 1e-10).
        n_fft: samples of a frame.
        win_length: samples of the window (None: ``n_fft``).
        hop_length: samples between frames (None: ``n_fft // 4``).
        window: as in `STFT`.
        center: as in `STFT`.
        pad_mode: as in `STFT`; for the spectrum and ``"rms"``.

    Shape:
        ``[B, T]`` to ``[B, K, N]``, ``[B, C, T]`` to ``[B, C, K, N]``, a Tensor ``[T]`` to ``[K, N]``, with
        ``K = len(names)``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, or of a row that is not asked for, a contrast band without FFT bins, a batch
            of another rate.
        TypeError: samples that are neither float nor int16, ``features`` that are no sequence.

    Matches:
        ``spectral_centroid``, ``spectral_bandwidth``, ``spectral_rolloff``, ``spectral_flatness``,
        ``spectral_contrast``, ``rms`` and ``zero_crossing_rate`` of ``librosa.feature`` for each item alone, with
        librosa's zeros at the ends for ``pad_mode="constant"``, 1e-5 of each row's peak
        (tests/parity/test_descriptors.py).

    References:
        Jiang et al., "Music type classification by spectral contrast feature", ICME 2002; McFee et al., "librosa:
        audio and music signal analysis in Python", SciPy 2015.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> shape = ofs.SpectralDescriptors(sample_rate=16_000, features=("centroid", "rms"), n_fft=512)
        >>> shape(torch.randn(2, 16_000)).shape, shape.names
        (torch.Size([2, 2, 126]), ['centroid', 'rms'])
    """

    @hands_on(STFT, first=OPTIONS, without=(*NOT_FRAMES, *ONLY_SPECTRA, "backend", "trainable"))
    def __init__(
        self,
        *,
        features: Sequence[str] = FEATURES,
        roll_percent: float | None = None,
        n_contrast_bands: int | None = None,
        fmin: float | None = None,
        quantile: float | None = None,
        p: float | None = None,
        amin: float | None = None,
        **frames: Unpack[FrameOptions],
    ) -> None:
        super().__init__()
        where = "SpectralDescriptors"
        self.stft = STFT(**frames)
        self.sample_rate, self.framing = self.stft.sample_rate, self.stft.framing
        asked = checks.sequence(where, "features", features)
        self.features = tuple(checks.choice(where, "each of features", feature, FEATURES) for feature in asked)
        if not self.features or len(set(self.features)) < len(self.features):
            rule = "features to be different names, at least one"
            raise ValueError(checks.message(where, rule, list(self.features), "Name each row once."))
        own: dict[str, dict[str, Any]] = {
            "rolloff": {"roll_percent": roll_percent},
            "bandwidth": {"p": p},
            "flatness": {"amin": amin},
            "contrast": {"n_contrast_bands": n_contrast_bands, "fmin": fmin, "quantile": quantile},
        }
        for row, options in own.items():
            if row not in self.features:
                checks.unused(where, f'"{row}" among features', options)
        self.roll_percent = _share("roll_percent", 0.85 if roll_percent is None else roll_percent)
        self.quantile = _share("quantile", 0.02 if quantile is None else quantile)
        self.fmin = checks.positive(where, "fmin", 200.0 if fmin is None else fmin)
        if n_contrast_bands is None:
            edges = [self.fmin * 2.0**octave for octave in range(MOST_BANDS)]
            n_contrast_bands = max(sum(edge < self.sample_rate / 2 for edge in edges), 1)
        self.n_contrast_bands = checks.integer(where, "n_contrast_bands", n_contrast_bands)
        self.p = checks.number(where, "p", 2.0 if p is None else p, low=1.0)
        self.amin = checks.positive(where, "amin", 1e-10 if amin is None else amin)
        self.bands = self._bands() if "contrast" in self.features else []
        self.n_features = len(self.names)
        self.keep("hertz", partial(scales.bin_frequencies, self.sample_rate, self.framing.n_fft))

    @property
    def names(self) -> list[str]:
        """What each row is; contrast bands are numbered from the lowest."""
        contrasts = [f"contrast_{band}" for band in range(self.n_contrast_bands + 1)]
        return [row for name in self.features for row in (contrasts if name == "contrast" else [name])]

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns descriptors of ``[B, T]`` or ``[B, C, T]`` samples."""
        wave, valid = as_float(data), None if lengths is None else self.framing.count(lengths)
        # Zero crossings are counted over the whole signal, all else is of frames.
        framed = [feature for feature in self.features if feature != "zero_crossing_rate"]
        rows = pipeline.run([self._framed(wave, framed)], wave, lengths)[0] if framed else wave.new_empty(0)
        made = []
        for feature in self.features:
            if feature == "zero_crossing_rate":
                made.append(descriptors.crossing_rate(wave, lengths, self.framing))
                continue
            width = 2 * len(self.bands) if feature == "contrast" else 1
            part, rows = rows[..., :width, :], rows[..., width:, :]
            made.append(descriptors.contrast(part, valid) if feature == "contrast" else part)
        return torch.cat(made, -2)

    def _framed(self, wave: Tensor, features: list[str]) -> Pipeline:
        """Returns the pipeline to descriptors of frames, with peaks and valleys in place of the contrast.

        The contrast needs the maximum of an item, so `transform` computes it when all frames are there.
        """
        window = self.stft.constant("window", wave.dtype)
        parameters = {"bandwidth": self.p, "rolloff": self.roll_percent, "flatness": self.amin, "contrast": self.bands}
        rows = {name: parameters.get(name) for name in features}
        options: dict[str, Any] = {"features": rows, "window": window, "hertz": self.constant("hertz", wave.dtype)}
        like = window.new_empty(sum(2 * len(self.bands) if name == "contrast" else 1 for name in features))
        node = Node(descriptors.frame_rows, options, like)
        return Pipeline((node,), self.framing, "frames", torch.ones_like(window))

    def _bands(self) -> list[descriptors.ContrastBand]:
        """Returns the FFT bins of each contrast band, or raises if a band has none."""
        where, rate = "SpectralDescriptors", self.sample_rate
        if (edge := self.fmin * 2.0 ** (self.n_contrast_bands - 1)) >= rate / 2:
            rule = f"the last contrast band to begin below sample_rate / 2 = {rate / 2} Hz"
            raise ValueError(checks.message(where, rule, f"{edge} Hz", "Lower n_contrast_bands or fmin."))
        bands = descriptors.contrast_bands(rate, self.framing.n_fft, self.n_contrast_bands, self.fmin, self.quantile)
        for place, (first, last, _) in enumerate(bands):
            if last <= first:
                rule = f"FFT bins in every contrast band (they lie {rate / self.framing.n_fft:g} Hz apart)"
                raise ValueError(checks.message(where, rule, f"none in band {place}", "Raise n_fft or fmin."))
        return bands


def _share(name: str, value: float) -> float:
    """Returns a number above 0 and below 1, or raises."""
    value = checks.number("SpectralDescriptors", name, value, low=0.0, high=1.0)
    if not 0 < value < 1:
        raise ValueError(checks.message("SpectralDescriptors", f"{name} above 0 and below 1", value, f"Change {name}."))
    return value
