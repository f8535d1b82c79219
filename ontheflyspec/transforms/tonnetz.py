"""Tonnetz: tonal centroids of chroma on the circles of fifths and thirds."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from ontheflyspec import pipeline
from ontheflyspec.functional import chroma, dct
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.chroma import Chroma
from ontheflyspec.transforms.options import ChromaOptions


class Tonnetz(FrameTransform):
    """Tonal centroids of each item as if it stood alone: where its chroma lies on circles of fifths and thirds.

    Six rows: sine and cosine on the circle of fifths, of minor thirds, and, at half the radius, of major thirds, each
    the mean over the pitch classes of a frame by their share. Frames of silence give 0.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        source: as in `Chroma`, as is everything below.
        n_chroma: as in `Chroma`.
        n_fft: as in `Chroma`.
        win_length: as in `Chroma`.
        hop_length: as in `Chroma`.
        window: as in `Chroma`.
        center: as in `Chroma`.
        pad_mode: as in `Chroma`.
        tuning: as in `Chroma`.
        ctroct: as in `Chroma`.
        octwidth: as in `Chroma`.
        base_c: as in `Chroma`.
        fmin: as in `Chroma`.
        n_octaves: as in `Chroma`.
        bins_per_octave: as in `Chroma`.
        threshold: as in `Chroma`.
        win_len_smooth: as in `Chroma`.
        backend: as in `Chroma`.
        trainable: as in `Chroma`.

    Shape:
        ``[B, T]`` to ``[B, 6, N]``, ``[B, C, T]`` to ``[B, C, 6, N]``, a Tensor ``[T]`` to ``[6, N]``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, or of another source, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        ``librosa.feature.tonnetz`` of each item alone, given the same chroma, 1e-5 of the peak
        (tests/parity/test_chroma.py).

    References:
        Harte, Sandler, Gasser, "Detecting harmonic change in musical audio", 2006.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> ofs.Tonnetz(sample_rate=22_050)(torch.randn(2, 22_050)).shape
        torch.Size([2, 6, 44])
    """

    n_features = 6

    @hands_on(Chroma, without=("norm",), source="cqt")
    def __init__(self, **options: Unpack[ChromaOptions]) -> None:
        super().__init__()
        options["norm"] = 1
        self.chroma = Chroma(**options)
        self.sample_rate, self.framing = self.chroma.sample_rate, self.chroma.framing
        self.keep("circles", partial(chroma.tonnetz_matrix, self.chroma.n_chroma))

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline | None:
        """Returns chroma of the STFT and their places on the circles; None if the chroma has no pipeline."""
        classes = self.chroma.pipeline(like, n_features)
        if classes is None:
            return None
        return classes.then([self._circles(classes.nodes[0].options["weights"])])

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the centroids of ``[B, T]`` or ``[B, C, T]`` samples."""
        if self.chroma.source == "stft":
            return super().transform(data, lengths)
        classes = self.chroma.transform(data, lengths)
        valid = None if lengths is None else self.output_lengths(lengths)
        return pipeline.run([Pipeline((self._circles(classes),))], classes, valid)[0]

    def _circles(self, like: Tensor) -> Node:
        """Returns the node from chroma to places on the circles, in the precision of ``like``."""
        matrix = self.constant("circles", like.dtype)
        return Node(dct.project, {"matrix": matrix}, matrix[:, 0])
