"""Windows against scipy, down to a single sample."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from ontheflyspec import windows


@pytest.mark.parametrize("name", windows.NAMES)
@pytest.mark.parametrize("size", [1, 2, 3, 64, 65])
@pytest.mark.parametrize("spare", [0, 3])
def test_windows_are_scipy_s(name: str, size: int, spare: int) -> None:
    theirs = {"rectangular": "boxcar"}.get(name, name)
    for make, periodic in ((windows.window, True), (windows.symmetric, False)):
        wanted = np.pad(scipy.signal.get_window(theirs, size, fftbins=periodic), (spare // 2, spare - spare // 2))
        assert np.abs(make(name, size, size + spare).numpy() - wanted).max() <= 1e-15


@pytest.mark.parametrize("n_fft", [8, 9])
def test_ends_of_spectra_are_made_real(n_fft: int) -> None:
    """What an inverse real transform makes of imaginary parts at 0 Hz and at half the rate is undefined on CUDA."""
    from ontheflyspec.functional.stft import real_ends_

    spectra = torch.randn(3, n_fft // 2 + 1, dtype=torch.complex128)
    made = real_ends_(spectra.clone(), n_fft)
    assert (torch.fft.rfft(torch.fft.irfft(spectra, n=n_fft)) - made).abs().max() < 1e-12
    assert torch.equal(made.real, spectra.real)
    assert not made.imag[:, 0].any()
