"""Gain and polarity against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import Gain, PolarityInversion


def test_gain_is_ten_to_the_twentieth() -> None:
    ids = torch.arange(9)
    step = Gain(gain_db=(-30.0, 20.0))
    waves = [np.random.default_rng(place).standard_normal(10 + place) for place in range(9)]
    out = step(ofs.pad(waves, rate=1.0, ids=ids))
    for wave, found, gain in zip(waves, out.unpad(), step.draw(ids)["gain_db"].tolist(), strict=True):
        np.testing.assert_allclose(found.numpy(), wave * 10 ** (gain / 20), rtol=1e-12)


@pytest.mark.parametrize("gain_db", [-6.0, 0.0, 20.0])
def test_fixed_gain(gain_db: float) -> None:
    wave = torch.linspace(-1, 1, 101, dtype=torch.float64)
    np.testing.assert_allclose(Gain(gain_db=gain_db)(wave), wave * 10 ** (gain_db / 20), rtol=1e-14)


def test_gain_is_drawn_evenly() -> None:
    drawn = Gain(gain_db=(-12.0, 6.0)).draw(torch.arange(20_000))["gain_db"]
    assert stats.kstest(drawn.numpy(), stats.uniform(-12.0, 18.0).cdf).pvalue > 1e-4


def test_level_does_not_depend_on_being_chosen() -> None:
    """The gains of the active items are as even as all."""
    table = Gain(p=0.2).draw(torch.arange(50_000))
    chosen = table["gain_db"][table["active"]]
    assert stats.kstest(chosen.numpy(), stats.uniform(-12.0, 18.0).cdf).pvalue > 1e-4


def test_gradient_is_the_factor() -> None:
    wave = torch.zeros(5, requires_grad=True)
    Gain(gain_db=20.0)(wave).sum().backward()
    assert torch.allclose(wave.grad, torch.full((5,), 10.0))


def test_polarity() -> None:
    step = PolarityInversion(p=0.5)
    ids = torch.arange(40)
    batch = ofs.pad(list(torch.randn(40, 7)), rate=1.0, ids=ids)
    active = step.draw(ids)["active"]
    out = step(batch).data
    assert torch.equal(out[active], -batch.data[active])
    assert torch.equal(out[~active], batch.data[~active])
    assert torch.equal(PolarityInversion()(batch).data, -batch.data)
