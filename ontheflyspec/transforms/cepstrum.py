"""Cepstral coefficients: MFCC of mel bands, LFCC of linearly spaced bands."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.functional import dct, decibels, filterbanks
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.mel import MelSpectrogram
from ontheflyspec.transforms.options import NOT_FRAMES, FrameOptions, MelOptions
from ontheflyspec.transforms.stft import STFT, BandSpectrogram

LOG_OFFSET = 1e-6
"""What torchaudio adds to the bands before it takes their natural logarithm."""


class MFCC(FrameTransform):
    """Mel-frequency cepstral coefficients of each item as if it stood alone: mel spectrogram, decibels, DCT.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_mfcc: coefficients, at most ``n_mels``.
        lifter: L of HTK's liftering, ``1 + L / 2 sin(pi (k + 1) / L)``, 0 for none.
        top_db: dB that a band may lie below the item's own maximum, None for no floor.
        n_fft: as in `MelSpectrogram`.
        win_length: as in `MelSpectrogram`.
        hop_length: as in `MelSpectrogram`.
        window: as in `MelSpectrogram`.
        center: as in `MelSpectrogram`.
        pad_mode: as in `MelSpectrogram`.
        symmetric, normalized, drop_last: as in `MelSpectrogram`.
        n_mels: as in `MelSpectrogram`.
        fmin: as in `MelSpectrogram`.
        fmax: as in `MelSpectrogram`.
        mel_scale: as in `MelSpectrogram`.
        norm: as in `MelSpectrogram`.
        power: as in `MelSpectrogram`; decibels are ``10 log10`` of the bands.
        backend: as in `MelSpectrogram`.
        trainable: as in `MelSpectrogram`; the DCT is constant.

    Shape:
        ``[B, T]`` to ``[B, n_mfcc, N]``, ``[B, C, T]`` to ``[B, C, n_mfcc, N]``, a Tensor ``[T]`` to ``[n_mfcc, N]``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Warns:
        UserWarning: filters too narrow to hold an FFT bin; they count as silent.

    Matches:
        ``librosa.feature.mfcc`` of each item alone, with librosa's zeros at the ends for ``pad_mode="constant"``, 1e-5
        of the peak (tests/parity/test_cepstrum.py).

    References:
        Davis, Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", 1980.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> mfcc = ofs.MFCC(sample_rate=16_000, n_mfcc=13, n_fft=512, hop_length=160, n_mels=40)
        >>> mfcc(torch.randn(2, 16_000)).shape
        torch.Size([2, 13, 101])
    """

    @hands_on(MelSpectrogram, first=("n_mfcc", "lifter", "top_db"))
    def __init__(
        self, *, n_mfcc: int = 20, lifter: float = 0.0, top_db: float | None = 80.0, **mel: Unpack[MelOptions]
    ) -> None:
        super().__init__()
        where = "MFCC"
        self.mel = MelSpectrogram(**mel)
        self.sample_rate, self.framing = self.mel.sample_rate, self.mel.framing
        self.top_db = None if top_db is None else checks.number(where, "top_db", top_db, low=0.0)
        self.n_features = self.n_mfcc = checks.integer(where, "n_mfcc", n_mfcc, high=self.mel.n_mels)
        self.lifter = checks.number(where, "lifter", lifter, low=0.0)
        self.keep("cosines", partial(dct.cosine_matrix, self.n_mfcc, self.mel.n_mels, self.lifter))

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:  # noqa: ARG002
        """Returns mel bands, their decibels, and the DCT of these."""
        bands = self.mel.filtered(like)
        return bands.then([decibel_node(self.top_db), cosines(self, bands)])


class LFCC(BandSpectrogram):
    """Linear-frequency cepstral coefficients of each item as if it stood alone: linear filters, logarithm, DCT.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_lfcc: coefficients, at most ``n_filter``.
        n_filter: triangular filters, evenly spaced in Hz, with peaks of 1.
        log: ``"db"`` for decibels, or ``"log"`` for ``ln(x + 1e-6)``.
        top_db: dB that a band may lie below the item's own maximum, None for no floor; a value other than the default
            only with ``log="db"``, as ``"log"`` has no such floor.
        n_fft: as in `STFT`.
        win_length: as in `STFT`.
        hop_length: as in `STFT`.
        window: as in `STFT`.
        center: as in `STFT`.
        pad_mode: as in `STFT`.
        symmetric, normalized, drop_last: as in `STFT`.
        fmin: Hz of the lowest filter's lower edge.
        fmax: Hz of the highest filter's upper edge (None: ``sample_rate / 2``).
        power: exponent of the magnitude; decibels are ``10 log10`` of the bands.
        backend: as in `STFT`.
        trainable: whether Fourier kernels and filters are parameters; the DCT is constant.

    Shape:
        ``[B, T]`` to ``[B, n_lfcc, N]``, ``[B, C, T]`` to ``[B, C, n_lfcc, N]``, a Tensor ``[T]`` to ``[n_lfcc, N]``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, ``top_db`` with ``log="log"``, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Warns:
        UserWarning: filters too narrow to hold an FFT bin; their outputs are 0.

    Matches:
        ``torchaudio.transforms.LFCC`` of each item alone, 1e-5 of the peak (tests/parity/test_cepstrum.py).

    References:
        Zhou et al., "Linear versus mel frequency cepstral coefficients for speaker recognition", ASRU 2011.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> lfcc = ofs.LFCC(sample_rate=16_000, n_lfcc=20, n_filter=64, n_fft=512, hop_length=160)
        >>> lfcc(torch.randn(2, 16_000)).shape
        torch.Size([2, 20, 101])
    """

    @hands_on(STFT, first=("n_lfcc", "n_filter", "log", "top_db"), without=NOT_FRAMES)
    def __init__(
        self,
        *,
        n_lfcc: int = 40,
        n_filter: int = 128,
        log: Literal["db", "log"] = "db",
        top_db: float | None = 80.0,
        fmin: float = 0.0,
        fmax: float | None = None,
        power: float = 2.0,
        **frames: Unpack[FrameOptions],
    ) -> None:
        super().__init__(frames, fmin, fmax, power=power)
        where = "LFCC"
        self.n_filter = checks.integer(where, "n_filter", n_filter)
        self.n_features = self.n_lfcc = checks.integer(where, "n_lfcc", n_lfcc, high=self.n_filter)
        self.log = checks.choice(where, "log", log, ("db", "log"))
        if self.log == "log" and top_db is not None:
            checks.unused(where, 'log="db"', {"top_db": top_db}, top_db=80.0)
        self.top_db = None if top_db is None else checks.number(where, "top_db", top_db, low=0.0)
        shape = (self.sample_rate, self.framing.n_fft, n_filter, self.fmin, self.fmax)
        self.keep_filters(partial(filterbanks.triangular_filterbank, *shape, "linear", None), "linear", "n_filter")
        self.keep("cosines", partial(dct.cosine_matrix, self.n_lfcc, n_filter, 0.0))

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:  # noqa: ARG002
        """Returns linear bands, their logarithms, and the DCT of these."""
        bands = self.filtered(like)
        logarithm = decibel_node(self.top_db) if self.log == "db" else Node(decibels.log_above, {"offset": LOG_OFFSET})
        return bands.then([logarithm, cosines(self, bands)])


def decibel_node(top_db: float | None) -> Node:
    """Returns the node for decibels of power, at most ``top_db`` below the item's maximum."""
    return Node(decibels.decibels, {"stype": "power", "ref": 1.0, "amin": 1e-10, "top_db": top_db})


def cosines(owner: FrameTransform, bands: Pipeline) -> Node:
    """Returns the node for the DCT of a pipeline's features, by the owner's matrix of cosines."""
    like = bands.nodes[-1].like
    assert like is not None
    matrix = owner.constant("cosines", like.dtype)
    return Node(dct.project, {"matrix": matrix}, matrix)
