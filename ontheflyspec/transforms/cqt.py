"""Constant-Q transform (CQT) and variable-Q transform (VQT)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

from torch import Tensor

from ontheflyspec import checks, windows
from ontheflyspec.batch import as_float
from ontheflyspec.framing import Framing
from ontheflyspec.functional import cqt_filters, cqt_octaves, stft
from ontheflyspec.options import Unpack, hands_on
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.options import Output, PadMode, VQTOptions, chosen_way

Filters = Literal["librosa", "nnaudio"]
Method = Literal["auto", "direct", "octaves"]


class VQT(FrameTransform):
    """Variable-Q transform of each item as if it stood alone: constant-Q filters widened by ``gamma`` Hz.

    Bin k at frame t is the sum over n of ``x[t * hop_length + n] * conj(b_k[n]) * sqrt(length_k)`` with filters
    ``b_k`` around n = 0. ``method="octaves"`` runs low filters on signals decimated again and again, and gives
    the same within 3e-5 of the peak at every frame and hop, ends included.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        hop_length: samples between frames.
        fmin: Hz of the lowest bin.
        n_bins: bins; the highest may lie at ``sample_rate / 2`` at most.
        bins_per_octave: bins an octave.
        gamma: Hz added to every bandwidth; 0 gives the constant-Q transform, None the bandwidths of ERB filters.
        filter_scale: factor of the filters' lengths; small values resolve time better, large ones frequency.
        window: of the filters, as in `STFT`. Only with ``"hann"`` and ``"blackman"`` is ``"octaves"`` faster: spectra
            of the others do not die away.
        norm: order of the norm that each filter is divided by, 1, 2 or ``math.inf``; None leaves them as they are.
        pad_mode: ``"constant"`` (zeros) or ``"reflect"``.
        output: ``"complex"``, ``"magnitude"``, ``"power"`` or ``"phase"`` (radians).
        filters: ``"librosa"`` (fractional lengths, relative bandwidth ``(r^2 - 1) / (r^2 + 1)`` with r the ratio of two
            neighbours) or ``"nnaudio"`` (lengths rounded up, relative bandwidth ``r - 1``).
        method: ``"direct"`` (every filter on the whole signal), ``"octaves"``, or ``"auto"``: direct if trainable.
        trainable: whether the filters are parameters.

    Shape:
        ``[B, T]`` to ``[B, n_bins, N]``, ``[B, C, T]`` to ``[B, C, n_bins, N]``, a Tensor ``[T]`` to ``[n_bins, N]``,
        with ``N = 1 + T // hop_length``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect. Clips may be shorter
        than a filter.

    Raises:
        ValueError: an option out of range, bins above half the sample rate, ``method="octaves"`` with
            ``trainable=True``, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        Sums in float64 over the filters of ``librosa.filters.wavelet`` and of nnAudio: 1e-5 of the peak for
        ``"direct"``, 3e-5 for ``"octaves"`` (tests/parity/test_cqt.py). ``librosa.vqt`` itself is off by 1 to 15
        percent, as it halves the signal with filters that cut into its bins.

    References:
        Schoerkhuber et al., "A Matlab toolbox for efficient perfect reconstruction time-frequency transforms with
        log-frequency resolution", AES 2014; Glasberg, Moore, "Derivation of auditory filter shapes", 1990.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> vqt = ofs.VQT(sample_rate=22_050, n_bins=60, gamma=10.0, output="magnitude")
        >>> vqt(torch.randn(2, 22_050)).shape
        torch.Size([2, 60, 44])
    """

    def __init__(
        self,
        *,
        sample_rate: float,
        hop_length: int = 512,
        fmin: float = 32.703,
        n_bins: int = 84,
        bins_per_octave: int = 12,
        gamma: float | None = None,
        filter_scale: float = 1.0,
        window: Any = "hann",
        norm: float | None = 1,
        pad_mode: PadMode = "constant",
        output: Output = "complex",
        filters: Filters = "librosa",
        method: Method = "auto",
        trainable: bool = False,
    ) -> None:
        super().__init__()
        where = "VQT"
        self.sample_rate = checks.positive(where, "sample_rate", sample_rate)
        hop_length = checks.integer(where, "hop_length", hop_length)
        self.fmin = checks.positive(where, "fmin", fmin)
        self.n_features = self.n_bins = checks.integer(where, "n_bins", n_bins)
        self.bins_per_octave = checks.integer(where, "bins_per_octave", bins_per_octave)
        check_top(where, "top bin", self.sample_rate, self.fmin, self.n_bins, self.bins_per_octave)
        self.gamma = None if gamma is None else checks.number(where, "gamma", gamma, low=0.0)
        self.filter_scale = checks.positive(where, "filter_scale", filter_scale)
        window = windows.parse(where, window)
        checks.choice(where, "window", window if isinstance(window, str) else window[0], windows.SHAPES)
        norm = norm if norm is None or norm == math.inf else checks.number(where, "norm", norm, low=1.0)
        ends = checks.choice(where, "pad_mode", pad_mode, ("reflect", "constant"))
        self.output: Any = checks.choice(where, "output", output, stft.OUTPUTS)
        kind = checks.choice(where, "filters", filters, ("librosa", "nnaudio"))
        self.trainable = checks.flag(where, "trainable", trainable)
        self.method = chosen_way(where, "method", method, ("octaves", "direct"), trainable=self.trainable)
        self.framing = Framing(self.sample_rate, 1, hop_length, 1, window, pad_mode=ends)
        shape = (self.sample_rate, self.bins_per_octave, self.filter_scale, self.gamma, kind)
        lengths = cqt_filters.filter_lengths(self.frequencies, *shape)
        self.wavelets = cqt_filters.Wavelets(self.frequencies, lengths, self.sample_rate, window, norm, kind)
        self.plan = cqt_filters.plan(self.wavelets, hop_length, octaves=self.method == "octaves")
        for place, group in enumerate(self.plan.groups):
            maker = partial(cqt_filters.kernels, group, self.wavelets, hop_length)
            self.keep(f"kernels_{place}", maker, trainable=self.trainable)
        for level, factor in enumerate(self.plan.factors):
            self.keep(f"decimator_{level}", partial(cqt_octaves.decimator, factor))

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bins, float64 ``[n_bins]``."""
        return cqt_filters.bin_frequencies(self.fmin, self.n_bins, self.bins_per_octave)

    def filter_bank(self, data: Tensor) -> cqt_octaves.FilterBank:
        """Returns filters and decimators in the precision of these samples."""
        like = as_float(data[..., :0])
        kernels = [self.constant(f"kernels_{place}", like.dtype) for place in range(len(self.plan.groups))]
        decimators = [self.constant(f"decimator_{level}", like.dtype) for level in range(len(self.plan.factors))]
        return cqt_octaves.FilterBank(kernels, decimators, self.plan, self.framing)

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the spectrum of ``[B, T]`` or ``[B, C, T]`` samples."""
        bank = self.filter_bank(data)
        return cqt_octaves.constant_q_spectra(data, lengths, bank=bank, output=self.output)


class CQT(FrameTransform):
    """Constant-Q transform of each item as if it stood alone: bins evenly spaced in pitch, filters of as many periods.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        hop_length: as in `VQT`.
        fmin: as in `VQT`.
        n_bins: as in `VQT`.
        bins_per_octave: as in `VQT`.
        filter_scale: as in `VQT`.
        window: as in `VQT`.
        norm: as in `VQT`.
        pad_mode: as in `VQT`.
        output: as in `VQT`.
        filters: as in `VQT`.
        method: as in `VQT`.
        trainable: as in `VQT`.

    Shape:
        ``[B, T]`` to ``[B, n_bins, N]``, ``[B, C, T]`` to ``[B, C, n_bins, N]``, a Tensor ``[T]`` to ``[n_bins, N]``,
        with ``N = 1 + T // hop_length``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect. Clips may be shorter
        than a filter.

    Raises:
        ValueError: an option out of range, bins above half the sample rate, ``method="octaves"`` with
            ``trainable=True``, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        As `VQT` with ``gamma=0`` (tests/parity/test_cqt.py).

    References:
        Brown, "Calculation of a constant Q spectral transform", 1991; Schoerkhuber, Klapuri, "Constant-Q transform
        toolbox for music processing", 2010.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> cqt = ofs.CQT(sample_rate=22_050, output="magnitude")
        >>> batch = ofs.pad([torch.randn(22_050), torch.randn(5_000)], rate=22_050)
        >>> out = cqt(batch)
        >>> out.data.shape, out.lengths.tolist()
        (torch.Size([2, 84, 44]), [44, 10])
    """

    @hands_on(VQT, without=("gamma",))
    def __init__(self, **options: Unpack[VQTOptions]) -> None:
        super().__init__()
        options["gamma"] = 0.0
        self.vqt = VQT(**options)
        self.sample_rate, self.framing = self.vqt.sample_rate, self.vqt.framing
        self.n_features = self.vqt.n_bins

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bins, float64 ``[n_bins]``."""
        return self.vqt.frequencies

    def transform(self, data: Tensor, lengths: Tensor | None) -> Tensor:
        """Returns the spectrum of ``[B, T]`` or ``[B, C, T]`` samples."""
        return self.vqt.transform(data, lengths)


def check_top(
    where: str,
    what: str,
    sample_rate: float,
    fmin: float,
    n_bins: int,
    bins_per_octave: int,
    remedy: str = "Lower fmin",
) -> None:
    """Raises unless the last of ``n_bins`` bins from ``fmin`` on, called ``what``, is at most half the sample rate."""
    nyquist, octaves = sample_rate / 2, (n_bins - 1) / bins_per_octave
    if octaves > math.log2(nyquist / fmin) + 1e-12:
        most = cqt_filters.most_bins(nyquist, fmin, bins_per_octave)
        top = f"{fmin * 2.0**octaves:.1f} Hz" if octaves < 100 else f"{octaves:g} octaves above {fmin:g} Hz"
        remedy = f"Lower n_bins to at most {most}" if most > 0 else remedy
        rule = f"{what} at or below sample_rate / 2 = {nyquist:.1f} Hz"
        raise ValueError(checks.message(where, rule, top, f"{remedy} or raise sample_rate."))
