"""Short-time Fourier transforms by FFT and by convolution, in the general form that every device and autograd take."""

from __future__ import annotations

import contextlib
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
        return _full_precision_cuda()
    return torch.autocast(device.type, enabled=False)


@contextlib.contextmanager
def _full_precision_cuda() -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv"):
        switches: list[tuple[Any, str, Any]] = [(part, "fp32_precision", "ieee") for part in (matmul, cudnn.conv)]
    else:
        switches = [(part, "allow_tf32", False) for part in (matmul, cudnn)]
    before = [getattr(part, name) for part, name, _ in switches]
    try:
        for part, name, exact in switches:
            setattr(part, name, exact)
        with torch.autocast("cuda", enabled=False):
            yield
    finally:
        for (part, name, _), value in zip(switches, before, strict=True):
            setattr(part, name, value)


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
