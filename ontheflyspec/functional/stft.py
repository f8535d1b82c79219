"""Short-time Fourier transform (STFT) by FFT and by convolution, and the forms of spectra."""

from __future__ import annotations

import torch
from torch import Tensor

from ontheflyspec.framing import Framing
from ontheflyspec.functional.signal_frames import frames
from ontheflyspec.kept import where
from ontheflyspec.precision import conv1d
from ontheflyspec.torch_internals import without_derivatives

OUTPUTS = ("complex", "magnitude", "power", "phase")


def fourier_kernels(window: Tensor) -> Tensor:
    """Returns Fourier kernels: windowed cosines and negative sines of bins 0..``n_fft // 2``, ``[2 * bins, n_fft]``."""
    n_fft = window.shape[0]
    turns = torch.arange(n_fft // 2 + 1).unsqueeze(-1) * torch.arange(n_fft) % n_fft
    angles = 2 * torch.pi * (turns.double() / n_fft)
    return torch.cat([torch.cos(angles), -torch.sin(angles)]) * window


def windowed(x: Tensor, lengths: Tensor | None, taper: Tensor, framing: Framing) -> tuple[Tensor, int]:
    """Returns windowed frames, ``[..., max(N, 1), n_fft]``, and the number of frames N."""
    signal, count = frames(x, lengths, framing)
    return signal.unfold(-1, framing.n_fft, framing.hop_length)[..., : count if count else 1, :] * taper, count


def conv_parts(x: Tensor, lengths: Tensor | None, kernels: Tensor, framing: Framing) -> tuple[Tensor, Tensor]:
    """Returns STFT real and imaginary parts, ``[..., bins, N]``, by convolution with kernels ``[2 * bins, n_fft]``."""
    signal, count = frames(x, lengths, framing)
    out = conv1d(signal.reshape(-1, 1, signal.shape[-1]), kernels.unsqueeze(1), framing.hop_length)
    real, imaginary = out[..., :count].reshape(*x.shape[:-1], 2, kernels.shape[0] // 2, count).unbind(-3)
    return real, imaginary


def without_faint_slopes(made: Tensor, x: Tensor) -> Tensor:
    """Returns a root, power or quotient with derivatives of 0 where x is so small that they, or products, overflow.

    Args:
        made: a root, a power or a quotient.
        x: what the root or the power is of, or the divisor; not negative.
    """
    if not torch.is_grad_enabled():
        return made
    return where(x < torch.finfo(x.dtype).tiny * 2**20, without_derivatives(made), made)


def safe_sqrt(power: Tensor) -> Tensor:
    """Returns square roots whose gradient at 0, and near it, is 0 instead of infinite."""
    silent = power <= 0
    return without_faint_slopes(where(silent, 0, where(silent, 1, power).sqrt()), power)


def safe_power(x: Tensor, exponent: float | Tensor) -> Tensor:
    """Returns ``x ** exponent`` for x above 0, else 0, whose gradient at 0, and near it, is 0 instead of infinite."""
    nothing = x <= 0
    return without_faint_slopes(where(nothing, 0, where(nothing, 1, x).pow(exponent)), x)


Parts = tuple[Tensor, Tensor]
"""Real and imaginary parts."""


def present(spectrum: Tensor | Parts, output: str) -> Tensor:
    """Returns a spectrum as complex, magnitude, power or phase, see `OUTPUTS`; gradients are finite on silence.

    Args:
        spectrum: complex, or its parts.
        output: the form; a complex spectrum comes back itself as complex.
    """
    if output == "complex":
        return spectrum if isinstance(spectrum, Tensor) else torch.complex(*spectrum)
    if isinstance(spectrum, Tensor):
        squares = torch.view_as_real(spectrum).square()
        power = squares[..., 0] + squares[..., 1]
    else:
        power = spectrum[0].square() + spectrum[1].square()
    if output == "power":
        return power
    if output == "magnitude":
        return safe_sqrt(power)
    real, imaginary = (spectrum.real, spectrum.imag) if isinstance(spectrum, Tensor) else spectrum
    silent = power < torch.finfo(power.dtype).tiny  # of which the derivative would overflow
    return torch.atan2(where(silent, 0, imaginary), where(silent, 1, real))


def raise_power(power_spectrum: Tensor, exponent: float) -> Tensor:
    """Returns magnitudes to the power ``exponent`` for squared magnitudes, with finite gradients at 0."""
    if exponent == 2:
        return power_spectrum
    if exponent == 1:
        return safe_sqrt(power_spectrum)
    return safe_power(power_spectrum, exponent / 2)


def real_ends_(spectra: Tensor, n_fft: int) -> Tensor:
    """Zeros the imaginary parts at 0 Hz and at half the rate in place, for an inverse real Fourier transform.

    Spectra of real signals have none there. What a transform makes of others is undefined on CUDA.

    Args:
        spectra: complex ``[..., bins]``.
        n_fft: points of the transform.
    """
    imaginary = torch.view_as_real(spectra).select(-1, 1)
    imaginary.select(-1, 0).zero_()
    if n_fft % 2 == 0 and spectra.shape[-1] > n_fft // 2:
        imaginary.select(-1, n_fft // 2).zero_()
    return spectra
