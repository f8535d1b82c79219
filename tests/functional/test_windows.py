"""Windows against scipy, down to a single sample; and what stands in the place of a name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch

import ontheflyspec as ofs
from ontheflyspec import windows

NUMBERS: dict[str, list[tuple[Any, ...]]] = {
    "chebwin": [(60.0,), (100.0,)],
    "dpss": [(1.4,), (3.0,)],
    "exponential": [(), (None, 4.0)],
    "gaussian": [(3.0,), (17.0,)],
    "general_cosine": [([0.4, 0.4, 0.2],)],
    "general_gaussian": [(1.5, 7.0)],
    "general_hamming": [(0.7,)],
    "kaiser": [(12.0,), (0.5,)],
    "kaiser_bessel_derived": [(4.0,)],
    "taylor": [(), (5, 40.0), (4, 30.0, False)],
    "tukey": [(), (0.1,), (1.0,), (0.0,)],
}
EVERY = [(name, numbers) for name in windows.NAMES if name != "povey" for numbers in NUMBERS.get(name, [()])]


@pytest.mark.parametrize(("name", "numbers"), EVERY, ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 8, 64, 65])
def test_windows_are_scipy_s(name: str, numbers: tuple[Any, ...], size: int) -> None:
    theirs = (name.replace("rectangular", "boxcar"), *numbers)
    shape = windows.parse("STFT", (name, *numbers))
    derived = name == "kaiser_bessel_derived"
    for symmetric in (True, False):
        if (derived and (size % 2 or not symmetric)) or (name == "dpss" and numbers[0] >= size / 2 > 0.5):
            continue
        wanted = scipy.signal.get_window(theirs, size, fftbins=not symmetric) if size > 1 else np.ones(1)
        found = windows.window(shape, size, size + 3, symmetric=symmetric).numpy()
        assert np.abs(found - np.pad(wanted, (1, 2))).max() <= (1e-11 if name in ("dpss", "chebwin") else 4e-15)


def test_a_long_slepian_window() -> None:
    assert (
        np.abs(windows.window(("dpss", 2.5), 401, 401).numpy() - scipy.signal.get_window(("dpss", 2.5), 401)).max()
        < 1e-9
    )


@pytest.mark.parametrize("alias", windows.ALIASES)
def test_other_names(alias: str) -> None:
    numbers = NUMBERS.get(windows.ALIASES[alias], [()])[0]
    if alias != "hanning":
        wanted = scipy.signal.get_window(
            (alias, *numbers), 32, fftbins=windows.ALIASES[alias] != "kaiser_bessel_derived"
        )
        assert np.abs(windows.window(windows.parse("STFT", (alias, *numbers)), 32, 32).numpy() - wanted).max() < 1e-11


def test_povey_is_kaldi_s() -> None:
    """A Hann window to the power of 0.85, symmetric whatever is asked for."""
    wanted = np.hanning(400) ** 0.85
    for symmetric in (True, False):
        assert np.abs(windows.window("povey", 400, 400, symmetric=symmetric).numpy() - wanted).max() < 1e-15


def test_samples_in_place_of_a_name() -> None:
    options: dict[str, Any] = {"sample_rate": 8_000, "n_fft": 64, "hop_length": 16, "output": "magnitude"}
    wave, hann = torch.randn(2, 400, dtype=torch.float64), torch.hann_window(64, dtype=torch.float64)
    wanted = ofs.STFT(**options)(wave)
    for window in (hann, hann.numpy(), hann.tolist(), tuple(hann.tolist())):
        torch.testing.assert_close(ofs.STFT(**options, window=window)(wave), wanted, rtol=0.0, atol=1e-12)
    short = ofs.STFT(**options, window=torch.hann_window(40, dtype=torch.float64))
    assert short.framing.win_length == 40
    torch.testing.assert_close(short(wave), ofs.STFT(**options, win_length=40)(wave), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("window", "match"),
    [
        ("kaiser", "STFT: expected window 'kaiser' with 1 numbers, got 0"),
        (("hann", 3.0), "window 'hann' with 0 numbers, got 1"),
        ("hanning2", "STFT: expected window to be one of 'hann'"),
        (3, "STFT: expected window to be a name, a tuple"),
        (torch.ones(5), "STFT: expected a window of win_length = 8 samples, got 5"),
        (torch.ones(80), "STFT: expected win_length to be an integer of at least 1 and at most 64, got 80"),
        (("kaiser", "twelve"), "STFT: expected window to be a finite number, got 'twelve'"),
    ],
)
def test_errors(window: Any, match: str) -> None:
    size = {"win_length": 8} if isinstance(window, torch.Tensor) and len(window) == 5 else {}
    with pytest.raises((TypeError, ValueError), match=match):
        ofs.STFT(sample_rate=8_000, n_fft=64, window=window, **size)


@pytest.mark.parametrize("n_fft", [8, 9])
def test_ends_of_spectra_are_made_real(n_fft: int) -> None:
    """What an inverse real transform makes of imaginary parts at 0 Hz and at half the rate is undefined on CUDA."""
    from ontheflyspec.functional.stft import real_ends_

    spectra = torch.randn(3, n_fft // 2 + 1, dtype=torch.complex128)
    made = real_ends_(spectra.clone(), n_fft)
    assert (torch.fft.rfft(torch.fft.irfft(spectra, n=n_fft)) - made).abs().max() < 1e-12
    assert torch.equal(made.real, spectra.real)
    assert not made.imag[:, 0].any()
