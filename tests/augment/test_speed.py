"""Speed against Resample, and against sines of another frequency."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import Speed
from ontheflyspec.augment.base import Info, planned
from ontheflyspec.functional.resampling import SNAP, fraction

RATE = 16_000


@pytest.mark.parametrize("requires_grad", [False, True])
def test_equals_resample(requires_grad: bool) -> None:
    """Each item alone, by the same fraction, whole numbers of Hz standing for it."""
    waves = [torch.randn(2, n) for n in (0, 1, 50, 4_000, 20_001, 9_999)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(6))
    step = Speed(factor=(0.5, 1.7), seed=2)
    table = step.draw(batch.ids)
    given = batch._replace(data=batch.data.requires_grad_(requires_grad))
    out = step(given)
    for wave, factor, found in zip(waves, table["factor"].tolist(), out.unpad(), strict=True):
        old, new = fraction(factor)
        assert abs(old / new / factor - 1) <= SNAP
        expected = ofs.Resample(sample_rate=old, new_sample_rate=new)(wave)
        assert found.shape == expected.shape
        assert found.shape[-1] == -(-wave.shape[-1] * new // old)
        if expected.numel():
            assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert step.output_lengths(batch.lengths, table).tolist() == out.lengths.tolist()


def test_fractions_are_small() -> None:
    """Numbers of at most 501, next to 1, and far smaller ones in the mean, so filters stay small."""
    largest = []
    for factor in np.linspace(0.5, 2.0, 3_001):
        old, new = fraction(float(factor))
        assert abs(old / new / factor - 1) <= SNAP
        largest.append(max(old, new))
    assert max(largest) <= 501
    assert np.mean(largest) < 45
    assert [fraction(one) for one in (1.0, 0.9, 1.1, 1.05, 2.0)] == [(1, 1), (9, 10), (11, 10), (21, 20), (2, 1)]


def test_sines_rise_and_shorten() -> None:
    """A sine of f Hz comes out as one of f times the factor, sample by sample, each item's own; time_map say where."""
    hertz = [300.0, 700.0, 1_500.0]
    waves = [np.sin(2 * np.pi * f * np.arange(9_000 + 1_000 * k) / RATE) for k, f in enumerate(hertz)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(3))
    step = Speed(factor=(0.8, 1.25), p=0.7, seed=2)
    table = step.draw(batch.ids)
    assert table["active"].any()
    time_map = planned(step, Info.of(batch, "step"), table).time()
    for k, found in enumerate(step(batch).unpad()):
        old, new = fraction(float(table["factor"][k])) if table["active"][k] else (1, 1)
        assert float(time_map.slope[k, 0]) == pytest.approx(new / old)
        assert float(time_map.end[k, 0]) * RATE == pytest.approx(len(waves[k]))
        time = np.arange(len(found)) / RATE / float(time_map.slope[k, 0])
        middle = slice(500, -500)
        np.testing.assert_allclose(found.numpy()[middle], np.sin(2 * np.pi * hertz[k] * time)[middle], atol=1e-4)


def test_drawn_evenly() -> None:
    drawn = Speed(factor=(0.9, 1.1)).draw(torch.arange(5_000))["factor"]
    assert stats.kstest(drawn.numpy(), stats.uniform(0.9, 0.2).cdf).pvalue > 1e-4


def test_lengths_want_a_table() -> None:
    with pytest.raises(ValueError, match=r"Speed: expected the table of a draw, got none\."):
        Speed().output_lengths(100)
    assert Speed(factor=1.25).output_lengths(101) == 81
    assert Speed().eval().output_lengths(100) == 100
    with pytest.raises(ValueError, match="Speed: expected factor"):
        Speed(factor=0.0)
