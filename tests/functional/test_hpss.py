"""Running medians against scipy, and the merging of sorted lists by the zero-one principle."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from ontheflyspec.functional import hpss


@pytest.mark.parametrize("one", range(7))
@pytest.mark.parametrize("other", range(7))
def test_merging_sorts_all_lists_of_zeros_and_ones(one, other):
    """What sorts these sorts any numbers."""
    for zeros in range(one + 1):
        for more in range(other + 1):
            left = [torch.tensor(float(place >= zeros)) for place in range(one)]
            right = [torch.tensor(float(place >= more)) for place in range(other)]
            assert [float(value) for value in hpss.merged(left, right)] == sorted(map(float, left + right))


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32])
def test_medians_are_those_of_scipy(size, monkeypatch):
    monkeypatch.setattr(hpss, "CHUNK", 100)
    values = torch.rand(5, 23, generator=torch.Generator().manual_seed(size)).mul(9).round()
    over_time = scipy.ndimage.median_filter(values.numpy(), (1, size), mode="reflect")
    over_bands = scipy.ndimage.median_filter(values.numpy(), (size, 1), mode="reflect")
    assert np.array_equal(hpss.median_over_time(values[None], None, size)[0].numpy(), over_time)
    assert np.array_equal(hpss.median_over_bands(values, size).numpy(), over_bands)


def test_a_gradient_goes_to_the_median():
    x = torch.tensor([[5.0, 1.0, 3.0, 4.0]], requires_grad=True)
    hpss.running_median(x, 3).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0, 2.0, 0.0]]
