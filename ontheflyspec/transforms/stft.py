"""The short-time Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ontheflyspec import checks
from ontheflyspec.batch import as_float
from ontheflyspec.functional import blocks, fourier, nonuniform, stages, windows
from ontheflyspec.functional.framing import cut, frame_count
from ontheflyspec.functional.stages import Stage
from ontheflyspec.transforms.base import Pointwise, Transform

Backend = Literal["auto", "fft", "conv"]
PadMode = Literal["reflect", "constant"]
Output = Literal["complex", "magnitude", "power", "phase"]
FreqScale = Literal["linear", "log"]


class STFT(Transform):
    """Short-time Fourier transform of each item as if it stood alone.

    Frame t has its centre at sample ``t * hop_length`` (``center``) or begins there. Reflection happens at each
    item's own end, repeated where a clip is shorter than half a window.

    With ``freq_scale`` it is the spectrum of each frame at ``n_bins`` other frequencies, a finer or logarithmic grid
    between ``fmin`` and ``fmax``; the phase counts from the frame's first sample there too. By FFT these values come
    from one twice as long, interpolated between 16 of its bins, within 1e-6 of the exact sums.

    Args:
        sample_rate: Hz of the waveforms; batches of another rate raise.
        n_fft: samples of a frame.
        win_length: samples of the window, at most ``n_fft`` (None: ``n_fft``), centred in the frame.
        hop_length: samples between frames (None: ``n_fft // 4``).
        window: ``"hann"``, ``"hamming"``, ``"blackman"``, ``"blackmanharris"``, ``"bartlett"`` or ``"rectangular"``,
            periodic.
        center: whether frames are centred, with ``n_fft // 2`` samples of padding at both ends.
        pad_mode: ``"reflect"`` or ``"constant"`` (zeros).
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
        Exactly 0 past each item's frames; what stands in the input's padding changes nothing.

    Raises:
        ValueError: an option out of range, ``backend="fft"`` with ``trainable=True``, ``fmin``, ``fmax`` or ``n_bins``
            without ``freq_scale``, a batch of another rate.
        TypeError: samples that are neither float nor int16.

    Matches:
        ``torch.stft`` and ``librosa.stft`` within 1e-5 of the peak (tests/parity/test_stft.py); with ``freq_scale``
        the sums themselves and nnAudio's ``STFT`` within 1e-5 (tests/parity/test_nonuniform.py).

    References:
        Cheuk et al., "nnAudio: An on-the-fly GPU audio to spectrogram conversion toolbox", IEEE Access 2020; Fessler,
        Sutton, "Nonuniform fast Fourier transforms using min-max interpolation", IEEE Trans. Signal Process. 2003.

    Example:
        >>> import torch, ontheflyspec as ofs
        >>> stft = ofs.STFT(sample_rate=16_000, n_fft=512, hop_length=128, output="magnitude")
        >>> stft(torch.randn(2, 16_000)).shape
        torch.Size([2, 257, 126])
    """

    sample_rate: float
    window: Tensor

    def __init__(
        self,
        *,
        sample_rate: float,
        n_fft: int = 2048,
        win_length: int | None = None,
        hop_length: int | None = None,
        window: str = "hann",
        center: bool = True,
        pad_mode: PadMode = "reflect",
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
        self.n_fft, self.win_length, self.hop_length = checked_frames(where, n_fft, win_length, hop_length)
        self.window_name = checks.choice(where, "window", window, windows.NAMES)
        self.center = bool(center)
        self.pad_mode = checks.choice(where, "pad_mode", pad_mode, ("reflect", "constant"))
        self.output = checks.choice(where, "output", output, fourier.OUTPUTS)
        self.trainable = bool(trainable)
        self.backend = choose_backend(where, backend, self.trainable)
        self._set_scale(freq_scale, fmin, fmax, n_bins)
        self._keep_constants()

    def _set_scale(self, freq_scale: str | None, fmin: float | None, fmax: float | None, n_bins: int | None) -> None:
        """Sets the frequencies."""
        where, nyquist = "STFT", self.sample_rate / 2
        self.freq_scale = freq_scale
        self._n_bins, self._range = self.n_fft // 2 + 1, (0.0, nyquist)
        if freq_scale is None:
            checks.unused(where, "a freq_scale", {"fmin": fmin, "fmax": fmax, "n_bins": n_bins})
            return
        checks.choice(where, "freq_scale", freq_scale, nonuniform.SCALES)
        high = checks.number(where, "fmax", min(6000.0, nyquist) if fmax is None else fmax, low=0.0, high=nyquist)
        low = checks.number(where, "fmin", 50.0 if fmin is None else fmin, low=0.0)
        if low >= high or (freq_scale == "log" and low == 0):
            rule = f"fmin{' above 0 and' if freq_scale == 'log' else ''} below fmax = {high} Hz"
            raise ValueError(checks.message(where, rule, f"{low} Hz", "Change fmin or raise fmax."))
        self._n_bins = self._n_bins if n_bins is None else checks.integer(where, "n_bins", n_bins)
        self._range = (low, high)

    def _keep_constants(self) -> None:
        """Makes window or kernels, and what interpolates where frequencies are not those of the FFT."""
        make_window = partial(windows.window, self.window_name, self.win_length, self.n_fft)
        turns = None if self.freq_scale is None else self.frequencies / self.sample_rate
        if self.backend == "fft":
            self.keep("window", make_window)
            if turns is not None:
                self.bands = nonuniform.bands(turns, self.n_fft)
                self.keep("interpolation", partial(nonuniform.weights, turns, self.n_fft, self.bands))
        else:
            self.keep("kernels", partial(_kernels, make_window, turns), trainable=self.trainable)

    def output_lengths(self, lengths: Any) -> Any:
        """Returns frames for samples."""
        return frame_count(lengths, self.n_fft, self.hop_length, self.center)

    def output_rate(self, rate: float) -> float:
        """Returns frames per second."""
        return rate / self.hop_length

    @property
    def n_features(self) -> int:
        """Frequency bins."""
        return self._n_bins

    @property
    def frequencies(self) -> Tensor:
        """Hz of the bins, float64 ``[F]``."""
        if self.freq_scale is not None:
            return nonuniform.frequencies(self.freq_scale, self._n_bins, *self._range)
        return torch.arange(self.n_features, dtype=torch.float64) * (self.sample_rate / self.n_fft)

    def frame_times(self, n_frames: int) -> Tensor:
        """Returns seconds of the frames' centres, float64 ``[n_frames]``."""
        first = 0 if self.center else self.n_fft // 2
        return (torch.arange(n_frames, dtype=torch.float64) * self.hop_length + first) / self.sample_rate

    def finishes(self, data: Tensor) -> bool:
        """Returns whether items go through in blocks, where pointwise steps can follow at once."""
        return self.backend == "fft" and self.output != "complex" and blocks.applicable(data)

    def stage(self, data: Tensor) -> Stage | None:
        """Returns what this makes of a Fourier stage that others may share, None if it is a convolution."""
        if self.backend == "conv":
            return None
        window = self.constant("window", data if data.dtype == torch.float64 else self.window)
        of_power, wide = self.output in ("power", "magnitude"), window.dtype == torch.float64
        kind = (torch.complex128 if wide else torch.complex64) if self.output == "complex" else window.dtype
        stage = Stage(
            key=self.frame_key,
            window=window,
            framing=self.framing,
            like=window.new_empty(self.n_features, dtype=kind),
            together=lambda: self.output != "phase",
            of_power=of_power,
            make=partial(fourier.present_rows, output=self.output),
            finish=partial(fourier.present_power if of_power else fourier.present, output=self.output),
        )
        if self.freq_scale is None:
            return stage
        pieces = nonuniform.runs(self.constant("interpolation", window), self.bands)
        agree = partial(nonuniform.places_agree, pieces, 2 * self.n_fft + 2, blocks.rows(self.n_fft))
        return stage._replace(
            together=lambda: self.output != "phase" and agree(),
            of_power=False,
            make=partial(nonuniform.present_spectra, pieces=pieces, output=self.output),
            finish=partial(fourier.present, output=self.output),
            between=pieces,
        )

    def transform(self, data: Tensor, lengths: Tensor | None, after: Sequence[Pointwise] = ()) -> Tensor:
        """Returns the spectrogram of ``[B, T]`` or ``[B, C, T]`` samples."""
        stage = self.stage(data)
        if stage is not None:
            return stages.features(data, lengths, [stage], [after])[0]
        with fourier.full_precision(data.device):
            return fourier.present(*self.convolved(as_float(data), lengths), self.output)

    def convolved(self, data: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns real and imaginary part by convolution, ``[..., F, N]``, 0 past each item's frames."""
        real, imaginary = fourier.conv_parts(data, lengths, self.constant("kernels", data), **self.framing)
        if lengths is None:
            return real, imaginary
        valid = self.output_lengths(lengths)
        return cut(real, valid), cut(imaginary, valid)

    @property
    def frame_key(self) -> tuple[Any, ...]:
        """Equal for equal frames and windows."""
        framing = (self.hop_length, self.center, self.pad_mode)
        return (self.n_fft, self.win_length, self.window_name, *framing)

    @property
    def framing(self) -> dict[str, Any]:
        """The arguments that say where frames lie."""
        return {"hop_length": self.hop_length, "center": self.center, "pad_mode": self.pad_mode}


def checked_frames(where: str, n_fft: Any, win_length: Any, hop_length: Any) -> tuple[int, int, int]:
    """Returns samples of a frame, of its window (None: all of it) and between frames (None: a quarter), or raises."""
    n_fft = checks.integer(where, "n_fft", n_fft)
    win_length = n_fft if win_length is None else win_length
    win_length = checks.integer(where, "win_length", win_length, high=n_fft)
    hop_length = max(n_fft // 4, 1) if hop_length is None else hop_length
    return n_fft, win_length, checks.integer(where, "hop_length", hop_length)


def choose_backend(where: str, backend: str, trainable: bool) -> str:
    """Returns ``"fft"`` or ``"conv"`` for what was asked, or raises."""
    checks.choice(where, "backend", backend, ("auto", "fft", "conv"))
    if backend == "fft" and trainable:
        raise ValueError(
            checks.message(where, 'backend "conv" or "auto" with trainable=True', '"fft"', 'Use backend="conv".')
        )
    if backend == "auto":
        return "conv" if trainable else "fft"
    return backend


def _kernels(make_window: partial[Tensor], turns: Tensor | None) -> Tensor:
    return fourier.fourier_kernels(make_window()) if turns is None else nonuniform.kernels(make_window(), turns)
