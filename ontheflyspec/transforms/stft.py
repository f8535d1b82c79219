"""Short-time Fourier transform (STFT), and filter banks over its power: the base of mel, bark, linear and gammatone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ontheflyspec import checks, windows
from ontheflyspec.framing import Center, Framing
from ontheflyspec.functional import filterbanks, nufft, stft
from ontheflyspec.pipeline import Node, Pipeline
from ontheflyspec.transforms.base import FrameTransform
from ontheflyspec.transforms.options import Backend, FrameOptions, Output, PadMode, chosen_way

FreqScale = Literal["linear", "log"]


class STFT(FrameTransform):
    """Short-time Fourier transform of each item as if it stood alone.

    Frame t has its centre at sample ``t * hop_length`` (``center``) or begins there. Reflection happens at each
    item's own end, repeated where a clip is shorter than half a window. ``center="same"`` gives ``n // hop_length``
    frames, with centres half a hop later, as HiFi-GAN and Vocos have them.

    With ``freq_scale`` it is the spectrum of each frame at ``n_bins`` other frequencies, a finer or logarithmic grid
    between ``fmin`` and ``fmax``; the phase counts from the frame's first sample there too. By FFT these values come
    from one twice as long, interpolated between 16 of its bins, within 1e-6 of the exact sums.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_fft: samples of a frame.
        win_length: samples of the window, at most ``n_fft``, centred in the frame (None: ``n_fft``, or as many as the
            samples that are given as ``window``).
        hop_length: samples between frames (None: ``n_fft // 4``).
        window: a name that ``scipy.signal.get_window`` knows; a tuple of a name and its numbers, ``("kaiser", 12.0)``;
            ``"povey"``, that of Kaldi; or the samples, a tensor ``[win_length]``.
        center: True for frames that are centred, with ``n_fft // 2`` samples of padding at both ends; False for none;
            ``"same"`` for ``(n_fft - hop_length) // 2`` samples of padding.
        pad_mode: ``"reflect"`` or ``"constant"`` (zeros).
        symmetric: whether the window is symmetric; else it is periodic.
        normalized: False; True or ``"frame_length"`` for spectra over the root of ``n_fft``, as in ``torch.stft``;
            ``"window"`` for spectra over the root of the window's sum of squares, as in torchaudio.
        drop_last: whether the last frame is left out, as Whisper does: n samples then give ``n // hop_length`` centred
            frames.
        output: ``"complex"``, ``"magnitude"``, ``"power"`` or ``"phase"`` (radians).
        backend: ``"fft"``, ``"conv"`` (a strided convolution with Fourier kernels) or ``"auto"``: conv if trainable.
        trainable: whether the Fourier kernels are parameters.
        freq_scale: None for the bins of the FFT, ``"linear"`` for ``fmin + k (fmax - fmin) / n_bins``, ``"log"`` for
            ``fmin (fmax / fmin) ** (k / n_bins)``.
        fmin: Hz of the lowest frequency with ``freq_scale`` (None: 50 Hz), above 0 for ``"log"``.
        fmax: Hz that the frequencies with ``freq_scale`` end below (None: 6000 Hz or ``sample_rate / 2``, the lower).
        n_bins: frequencies with ``freq_scale`` (None: ``n_fft // 2 + 1``).

    Shape:
        ``[B, T]`` to ``[B, F, N]``, ``[B, C, T]`` to ``[B, C, F, N]``, a Tensor ``[T]`` to ``[F, N]``, with ``F`` of
        ``n_bins`` or ``n_fft // 2 + 1`` and ``N = output_lengths(T)``.

    Padding:
        Exactly 0 past each item's frames; the input's padding has no effect.

    Raises:
        ValueError: an option out of range, ``backend="fft"`` with ``trainable=True``, ``fmin``, ``fmax`` or ``n_bins``
            without ``freq_scale``, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        ``torch.stft`` and ``librosa.stft`` within 1e-5 of the peak (tests/parity/test_stft.py); with ``freq_scale``
        the sums themselves and nnAudio's ``STFT`` within 1e-5 (tests/parity/test_nufft.py).

    References:
        Cheuk et al., "nnAudio: An on-the-fly GPU audio to spectrogram conversion toolbox", IEEE Access 2020; Fessler,
        Sutton, "Nonuniform fast Fourier transforms using min-max interpolation", IEEE Trans. Signal Process. 2003.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> stft = ofs.STFT(sample_rate=16_000, n_fft=512, hop_length=128, output="magnitude")
        >>> stft(torch.randn(2, 16_000)).shape
        torch.Size([2, 257, 126])
    """

    window: Tensor

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        win_length: int | None = None,
        hop_length: int | None = None,
        window: Any = "hann",
        center: Center = True,
        pad_mode: PadMode = "reflect",
        symmetric: bool = False,
        normalized: bool | Literal["frame_length", "window"] = False,
        drop_last: bool = False,
        output: Output = "complex",
        backend: Backend = "auto",
        trainable: bool = False,
        freq_scale: FreqScale | None = None,
        fmin: float | None = None,
        fmax: float | None = None,
        n_bins: int | None = None,
    ) -> None:
        super().__init__()
        where = "STFT"
        self.sample_rate = checks.positive(where, "sample_rate", sample_rate)
        n_fft = checks.integer(where, "n_fft", n_fft)
        hop_length = checks.integer(where, "hop_length", max(n_fft // 4, 1) if hop_length is None else hop_length)
        shape, win_length = checked_window(where, window, win_length, n_fft)
        self.framing = Framing(
            self.sample_rate,
            n_fft,
            hop_length,
            win_length,
            shape,
            checked_center(where, center, n_fft, hop_length),
            checks.choice(where, "pad_mode", pad_mode, ("reflect", "constant")),
            checks.flag(where, "symmetric", symmetric),
            checked_norm(where, normalized),
            checks.flag(where, "drop_last", drop_last),
        )
        self.output: Any = checks.choice(where, "output", output, stft.OUTPUTS)
        self.trainable = checks.flag(where, "trainable", trainable)
        self.backend = chosen_way(where, "backend", backend, ("fft", "conv"), trainable=self.trainable)
        self._set_scale(freq_scale, fmin, fmax, n_bins)
        self._keep_constants()

    def _set_scale(self, freq_scale: str | None, fmin: float | None, fmax: float | None, n_bins: int | None) -> None:
        """Checks the options of the frequencies and sets their number and range."""
        where, nyquist = "STFT", self.sample_rate / 2
        self.freq_scale = freq_scale
        self.n_features, self._range = self.framing.n_fft // 2 + 1, (0.0, nyquist)
        if freq_scale is None:
            checks.unused(where, "a freq_scale", {"fmin": fmin, "fmax": fmax, "n_bins": n_bins})
            return
        checks.choice(where, "freq_scale", freq_scale, nufft.SCALES)
        high = checks.number(where, "fmax", min(6000.0, nyquist) if fmax is None else fmax, low=0.0, high=nyquist)
        low = checks.number(where, "fmin", 50.0 if fmin is None else fmin, low=0.0)
        if low >= high or (freq_scale == "log" and low == 0):
            rule = f"fmin{' above 0 and' if freq_scale == 'log' else ''} below fmax = {high} Hz"
            raise ValueError(checks.message(where, rule, f"{low} Hz", "Change fmin or raise fmax."))
        self.n_features = self.n_features if n_bins is None else checks.integer(where, "n_bins", n_bins)
        self._range = (low, high)

    def _keep_constants(self) -> None:
        """Makes the window or the Fourier kernels, and weights that interpolate between bins for other frequencies."""
        make_window, n_fft = self.framing.taper, self.framing.n_fft
        turns = None if self.freq_scale is None else self.frequencies / self.sample_rate
        if self.backend == "fft":
            self.keep("window", make_window)
            if turns is not None:
                self.bands = nufft.bands(turns, n_fft)
                self.keep("interpolation", partial(nufft.weights, turns, n_fft, self.bands))
        else:
            self.keep("kernels", partial(_kernels, make_window, turns), trainable=self.trainable)

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bins, float64 ``[F]``."""
        if self.freq_scale is not None:
            return nufft.frequencies(self.freq_scale, self.n_features, *self._range)
        return torch.arange(self.n_features, dtype=torch.float64) * (self.sample_rate / self.framing.n_fft)

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline:  # noqa: ARG002
        """Returns the frames' spectra in the form asked for."""
        return self.spectra(like)._replace(source=self.output)

    def spectra(self, like: Tensor) -> Pipeline:
        """Returns the pipeline to power spectra of frames, for data of the type of ``like``; others add nodes to it."""
        if self.backend == "conv":
            return Pipeline((), self.framing, kernels=self.constant("kernels", like.dtype))
        taper = self.constant("window", like.dtype)
        if self.freq_scale is None:
            return Pipeline((), self.framing, taper=taper)
        between = nufft.runs(self.constant("interpolation", taper.dtype), self.bands)
        return Pipeline((), self.framing, taper=taper, between=between)


def checked_window(where: str, window: Any, win_length: Any, n_fft: int) -> tuple[windows.Window, int]:
    """Returns a window, see `windows.parse`, and the number of its samples, or raises."""
    shape = windows.parse(where, window)
    given = len(shape) if not isinstance(shape, str) and not isinstance(shape[0], str) else None
    default = n_fft if given is None else given
    size = checks.integer(where, "win_length", default if win_length is None else win_length, high=n_fft)
    if given not in (None, size):
        remedy = "Leave out win_length, or give as many samples."
        raise ValueError(checks.message(where, f"a window of win_length = {size} samples", given, remedy))
    return shape, size


def checked_center(where: str, center: Any, n_fft: int, hop_length: int) -> Center:
    """Returns where frames lie, or raises."""
    if center != "same":
        if not isinstance(center, (bool, np.bool_)):
            rule = 'center to be True, False or "same"'
            raise TypeError(checks.message(where, rule, repr(center), "Change center."))
        return bool(center)
    if hop_length > n_fft:
        rule = f'hop_length of at most n_fft = {n_fft} with center="same"'
        raise ValueError(checks.message(where, rule, hop_length, "Lower hop_length or raise n_fft."))
    return "same"


def checked_norm(where: str, normalized: Any) -> str | None:
    """Returns the divisor of spectra, see `Framing`, or raises."""
    if isinstance(normalized, bool):
        return "frame_length" if normalized else None
    if normalized not in ("frame_length", "window"):
        rule = 'normalized to be True, False, "frame_length" or "window"'
        raise ValueError(checks.message(where, rule, repr(normalized), "Change normalized."))
    return str(normalized)


def _kernels(make_window: Callable[[], Tensor], turns: Tensor | None) -> Tensor:
    """Returns Fourier kernels at the FFT's bins, or at frequencies in turns a sample."""
    return stft.fourier_kernels(make_window()) if turns is None else nufft.kernels(make_window(), turns)


def frequency_range(where: str, fmin: Any, fmax: Any, sample_rate: float, lowest: float = 0.0) -> tuple[float, float]:
    """Returns ``fmin`` and ``fmax`` in Hz, within ``lowest`` and ``sample_rate / 2`` (for None), or raises."""
    nyquist = sample_rate / 2
    high = checks.number(where, "fmax", nyquist if fmax is None else fmax, low=0.0, high=nyquist)
    low = checks.number(where, "fmin", fmin, low=lowest)
    if low >= high:
        rule = f"fmin below fmax = {high} Hz"
        raise ValueError(checks.message(where, rule, f"{low} Hz", "Lower fmin or raise fmax."))
    return low, high


class BandSpectrogram(FrameTransform):
    """Base of spectrograms of filters over the power of an STFT.

    Args:
        frames: options of the STFT.
        fmin: Hz of the lowest filter's lower edge.
        fmax: Hz of the highest filter's upper edge, None for ``sample_rate / 2``.
        norm: ``"slaney"`` or None.
        power: exponent of the magnitudes that are filtered.
    """

    filterbank: Tensor
    bands: list[filterbanks.FilterBlock]

    def __init__(self, frames: FrameOptions, fmin: Any, fmax: Any, *, norm: Any = None, power: Any) -> None:
        super().__init__()
        where = type(self).__name__
        self.stft = STFT(**frames)
        self.sample_rate, self.framing = self.stft.sample_rate, self.stft.framing
        self.fmin, self.fmax = frequency_range(where, fmin, fmax, self.sample_rate)
        self.norm = norm if norm is None else checks.choice(where, "norm", norm, ("slaney",))
        self.power = checks.positive(where, "power", power)

    def keep_filters(self, maker: Callable[[], Tensor], kind: str, count: str) -> None:
        """Keeps ``filterbank``, ``[F, bins]``.

        Args:
            maker: makes the filters in float64.
            kind: name of the filters in the warning that some hold no FFT bin.
            count: name of the option that says how many they are.
        """
        self.keep("filterbank", maker, trainable=self.stft.trainable)
        if empty := int((self.filterbank == 0).all(1).sum()):
            rule = f"every {kind} filter to meet an FFT bin"
            got = f"none for {empty} of {len(self.filterbank)} {kind} filters"
            where, remedy = type(self).__name__, f"They give 0: lower {count} or raise n_fft."
            checks.warn(checks.message(where, rule, got, remedy))
        self.runs("filterbank")  # now, on the host

    def filtered(self, like: Tensor) -> Pipeline:
        """Returns the pipeline to filter outputs, for data of the type of ``like``; subclasses add nodes to it."""
        return filters(self, self.stft, self.power, like)

    def pipeline(self, like: Tensor, n_features: int) -> Pipeline | None:  # noqa: ARG002
        """Returns power spectra and filters, if nothing else follows."""
        return self.filtered(like)


def filters(owner: FrameTransform, stft: STFT, exponent: float, like: Tensor) -> Pipeline:
    """Returns the pipeline to a filter bank's outputs for magnitudes to a power.

    Args:
        owner: keeps the ``filterbank``, ``[F, bins]``.
        stft: of the waveforms.
        exponent: of the magnitudes.
        like: the samples to come, or others of their type and device.
    """
    spectra = stft.spectra(like)
    weights = owner.constant("filterbank", like.dtype if spectra.kernels is None else spectra.kernels.dtype)
    options = {"weights": weights, "bands": owner.runs("filterbank"), "exponent": exponent}
    return spectra.then([Node(filterbanks.filtered, options, weights)])
