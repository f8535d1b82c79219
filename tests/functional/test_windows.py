"""Windows against scipy, down to a single sample."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from ontheflyspec import windows


@pytest.mark.parametrize("name", windows.NAMES)
@pytest.mark.parametrize("size", [1, 2, 3, 64, 65])
@pytest.mark.parametrize("spare", [0, 3])
def test_windows_are_scipy_s(name: str, size: int, spare: int) -> None:
    theirs = {"rectangular": "boxcar"}.get(name, name)
    for make, periodic in ((windows.window, True), (windows.symmetric, False)):
        wanted = np.pad(scipy.signal.get_window(theirs, size, fftbins=periodic), (spare // 2, spare - spare // 2))
        assert np.abs(make(name, size, size + spare).numpy() - wanted).max() <= 1e-15
