"""Short-time Fourier transform (STFT) by FFT and by convolution, forms of spectra, and the guard against TF32."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv1d

from ontheflyspec.framing import Framing
from ontheflyspec.functional.signal_frames import frames

OUTPUTS = ("complex", "magnitude", "power", "phase")


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Returns a context without autocast and, outside ``torch.compile``, without TF32."""
    on_cpu = device.type == "cpu"
    if not torch.amp.is_autocast_available(device.type) or (on_cpu and not torch.is_autocast_enabled("cpu")):
        return contextlib.nullcontext()
    if device.type == "cuda" and not torch.compiler.is_compiling():
        return without_tf32()
    return torch.autocast(device.type, enabled=False)


Switch = tuple[Any, str, Any]
"""A module of torch, the name of a setting there, and its value."""
_INSIDE: list[list[Switch]] = []
"""The switches as they were before the first entry into `without_tf32`, once for every caller inside."""
_LOCK = threading.Lock()


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Keeps autocast out of the calling thread, and TF32 out of the process while any thread is inside.

    The first thread in saves and sets the switches of the process, the last thread out restores them: else a thread
    that leaves early would enable TF32 for threads still inside, and a later thread would save settings that are not
    the user's.
    """
    with _LOCK:
        _INSIDE.append(_INSIDE[0] if _INSIDE else _set(_exact()))
    try:
        with torch.autocast("cuda", enabled=False):
            yield
    finally:
        with _LOCK:
            before = _INSIDE.pop()
            if not _INSIDE:
                _set(before)


def _exact() -> list[Switch]:
    """Returns the switches of this release of torch, each with its value for full precision."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    conv = getattr(cudnn, "conv", None)
    if conv is None:
        return [(part, "allow_tf32", False) for part in (matmul, cudnn)]
    return [(part, "fp32_precision", "ieee") for part in (matmul, conv)]


def _set(switches: list[Switch]) -> list[Switch]:
    """Sets switches and returns their former values."""
    before = [(part, name, getattr(part, name)) for part, name, _ in switches]
    for part, name, value in switches:
        setattr(part, name, value)
    return before


def fourier_kernels(window: Tensor) -> Tensor:
    """Returns Fourier kernels: windowed cosines and negative sines of bins 0..``n_fft // 2``, ``[2 * bins, n_fft]``."""
    n_fft = window.shape[0]
    turns = torch.arange(n_fft // 2 + 1).unsqueeze(-1) * torch.arange(n_fft) % n_fft
    angles = 2 * torch.pi * (turns.double() / n_fft)
    return torch.cat([torch.cos(angles), -torch.sin(angles)]) * window


def windowed(x: Tensor, lengths: Tensor | None, taper: Tensor, framing: Framing) -> tuple[Tensor, int]:
    """Returns windowed frames, ``[..., max(N, 1), n_fft]``, and the number of frames N."""
    signal, count = frames(x, lengths, framing)
    return signal.unfold(-1, framing.n_fft, framing.hop_length)[..., : max(count, 1), :] * taper, count


def conv_parts(x: Tensor, lengths: Tensor | None, kernels: Tensor, framing: Framing) -> tuple[Tensor, Tensor]:
    """Returns STFT real and imaginary parts, ``[..., bins, N]``, by convolution with kernels ``[2 * bins, n_fft]``."""
    signal, count = frames(x, lengths, framing)
    out = conv1d(signal.reshape(-1, 1, signal.shape[-1]), kernels.unsqueeze(1), stride=framing.hop_length)
    real, imaginary = out[..., :count].reshape(*x.shape[:-1], 2, kernels.shape[0] // 2, count).unbind(-3)
    return real, imaginary


def safe_sqrt(power: Tensor) -> Tensor:
    """Returns square roots whose gradient at 0 is 0 instead of infinite."""
    silent = power <= 0
    return torch.where(silent, 1, power).sqrt().masked_fill(silent, 0)


def safe_power(x: Tensor, exponent: float | Tensor) -> Tensor:
    """Returns ``x ** exponent`` for x above 0, else 0, whose gradient at 0 is 0 instead of infinite."""
    nothing = x <= 0
    return x.masked_fill(nothing, 1).pow(exponent).masked_fill(nothing, 0)


def present(real: Tensor, imaginary: Tensor, output: str) -> Tensor:
    """Returns a spectrum as complex, magnitude, power or phase, see `OUTPUTS`; gradients are finite on silence."""
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
    return safe_power(power_spectrum, exponent / 2)
