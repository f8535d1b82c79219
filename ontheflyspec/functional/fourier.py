"""Short-time Fourier transforms by FFT and by convolution, in the general form that every device and autograd take."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ontheflyspec.functional import programs
from ontheflyspec.functional.framing import frames
from ontheflyspec.functional.programs import fast

SPECTRA = fast(programs.power_spectra)
OUTPUTS = ("complex", "magnitude", "power", "phase")


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Returns a context without autocast and, outside ``torch.compile``, without TF32."""
    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    if device.type == "cuda" and not torch.compiler.is_compiling():
        return without_tf32()
    return torch.autocast(device.type, enabled=False)


class _FullPrecision:
    """Switches of the process that keep TF32 out while anybody is inside, on whichever thread.

    The first one in saves and sets them, the last one out puts them back: a thread that leaves early would else let
    TF32 in on those that are still inside, and a later one would save what is not the user's.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.before: list[tuple[Any, str, Any]] = []

    def enter(self) -> None:
        """Sets the switches, if nobody is inside yet."""
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                switches = _switches()
                self.before = [(part, name, getattr(part, name)) for part, name, _ in switches]
                for part, name, exact in switches:
                    setattr(part, name, exact)

    def leave(self) -> None:
        """Puts the switches back, if nobody else is inside."""
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                for part, name, value in self.before:
                    setattr(part, name, value)


_FULL_PRECISION = _FullPrecision()


def _switches() -> list[tuple[Any, str, Any]]:
    """Returns the switches of this release of torch, each with its value for full precision."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    conv = getattr(cudnn, "conv", None)
    if conv is None:
        return [(part, "allow_tf32", False) for part in (matmul, cudnn)]
    return [(part, "fp32_precision", "ieee") for part in (matmul, conv)]


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Keeps autocast out of the calling thread, and TF32 out of the process."""
    _FULL_PRECISION.enter()
    try:
        with torch.autocast("cuda", enabled=False):
            yield
    finally:
        _FULL_PRECISION.leave()


def fourier_kernels(window: Tensor) -> Tensor:
    """Returns windowed cosines and negative sines, float64 ``[2 * bins, n_fft]``, bin 0 to ``n_fft // 2``."""
    n_fft = window.shape[0]
    steps = torch.arange(n_fft, dtype=torch.int64)
    turns = (torch.arange(n_fft // 2 + 1).unsqueeze(-1) * steps % n_fft).double() / n_fft
    angles = 2 * torch.pi * turns
    return torch.cat([torch.cos(angles), -torch.sin(angles)]) * window


def windowed(
    x: Tensor, lengths: Tensor | None, window: Tensor, *, hop_length: int, center: bool, pad_mode: str
) -> tuple[Tensor, int]:
    """Returns windowed frames, ``[..., max(N, 1), n_fft]``, and N."""
    n_fft = window.shape[0]
    signal, count = frames(x, lengths, n_fft=n_fft, hop_length=hop_length, center=center, pad_mode=pad_mode)
    return signal.unfold(-1, n_fft, hop_length)[..., : max(count, 1), :] * window, count


def conv_parts(
    x: Tensor, lengths: Tensor | None, kernels: Tensor, *, hop_length: int, center: bool, pad_mode: str
) -> tuple[Tensor, Tensor]:
    """Returns real and imaginary part, ``[..., bins, N]``, by convolution with kernels ``[2 * bins, n_fft]``."""
    n_fft, bins = kernels.shape[1], kernels.shape[0] // 2
    signal, count = frames(x, lengths, n_fft=n_fft, hop_length=hop_length, center=center, pad_mode=pad_mode)
    flat = signal.reshape(-1, 1, signal.shape[-1])
    out = torch.nn.functional.conv1d(flat, kernels.unsqueeze(1), stride=hop_length)[..., :count]
    out = out.reshape(*x.shape[:-1], 2 * bins, count)
    return out[..., :bins, :], out[..., bins:, :]


def safe_sqrt(power: Tensor) -> Tensor:
    """Returns square roots whose gradient at 0 is 0 instead of infinite."""
    silent = power <= 0
    return torch.where(silent, 1, power).sqrt().masked_fill(silent, 0)


def present(real: Tensor, imaginary: Tensor, output: str) -> Tensor:
    """Returns a spectrum in the form asked for, one of `OUTPUTS`; gradients are finite on silence."""
    if output == "complex":
        return torch.complex(real, imaginary)
    power = real.square() + imaginary.square()
    if output == "power":
        return power
    if output == "magnitude":
        return safe_sqrt(power)
    silent = power == 0
    return torch.atan2(imaginary.masked_fill(silent, 0), real.masked_fill(silent, 1))


def raise_power(power_spectrum: Tensor, exponent: float) -> Tensor:
    """Returns magnitudes to the power ``exponent`` for squared magnitudes, with finite gradients at 0."""
    if exponent == 2:
        return power_spectrum
    if exponent == 1:
        return safe_sqrt(power_spectrum)
    silent = power_spectrum <= 0
    return torch.where(silent, 1, power_spectrum).pow(exponent / 2).masked_fill(silent, 0)


def present_rows(source: Tensor, n: int, *, output: str) -> Tensor:
    """Returns values ``[bins, n]``, in the form asked for, of the first n rows of power or of complex spectra."""
    rows = source[:n]
    if output in ("complex", "phase"):
        return (rows if output == "complex" else rows.angle()).t()
    return (rows if output == "power" else rows.sqrt()).t()


def present_power(power: Tensor, *, output: str) -> Tensor:
    """Returns power or magnitudes; gradients are finite on silence."""
    return power if output == "power" else safe_sqrt(power)
