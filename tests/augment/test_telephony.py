"""The telephone against scipy's filters and the codec's formula on each item alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal, stats

import ontheflyspec as ofs
from ontheflyspec.augment import MuLaw, Telephone

RATE, SILENCE = 16_000, 20_000
SIZES = (30_000, 4_097, 500, 3, 0)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("order", [1, 4])
def test_against_scipy(order: int, requires_grad: bool) -> None:
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((2, size)).astype(np.float32) for size in SIZES]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(len(SIZES)))
    data = torch.where(batch.mask().unsqueeze(1), batch.data, float("nan"))
    step = Telephone(low_hz=(200.0, 500.0), high_hz=(2_500.0, 9_000.0), order=order)
    out, table = step(batch._replace(data=data.requires_grad_(requires_grad))), step.draw(batch.ids)
    for item, (wave, found) in enumerate(zip(waves, out.unpad(), strict=True)):
        low, high = float(table["low_hz"][item]), min(float(table["high_hz"][item]), 0.49 * RATE)
        both = [signal.butter(order, low, "highpass", fs=RATE, output="sos")]
        both += [signal.butter(order, high, "lowpass", fs=RATE, output="sos")]
        wide = np.pad(wave.astype(np.float64), [(0, 0), (SILENCE, SILENCE)])
        expected = signal.sosfiltfilt(np.concatenate(both), wide, padtype=None)[:, SILENCE : SILENCE + wave.shape[1]]
        if wave.size:
            assert np.abs(found.detach().numpy() - expected).max() < 3e-6 * np.abs(wave).max()


def test_codec_follows_the_filters() -> None:
    batch = ofs.pad([torch.randn(3_000 - 100 * item).double() for item in range(8)], rate=RATE, ids=range(8))
    plain, coded = Telephone(p=0.5), Telephone(p=0.5, mu=255.0)
    active, filtered, found = plain.draw(batch.ids)["active"], plain(batch), coded(batch)
    assert 0 < int(active.sum()) < 8
    assert torch.equal(found.data[active], MuLaw()(filtered).data[active])
    assert torch.equal(found.data[~active], batch.data[~active])


def test_edges_are_drawn_evenly_in_mel() -> None:
    table = Telephone(low_hz=(200.0, 500.0), high_hz=(2_500.0, 4_000.0)).draw(torch.arange(5_000))
    for name, span in (("low_hz", (200.0, 500.0)), ("high_hz", (2_500.0, 4_000.0))):
        low, high, drawn = (2595 * np.log10(1 + np.asarray(hertz) / 700) for hertz in (*span, table[name]))
        assert stats.kstest(drawn, stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"Telephone: expected high_hz to begin above the end of low_hz, 500 Hz"):
        Telephone(low_hz=(300.0, 500.0), high_hz=400.0)
    with pytest.raises(ValueError, match=r"Telephone: expected low_hz to begin below half the rate, 250 Hz, got 300"):
        Telephone()(ofs.pad([torch.zeros(5)], rate=500.0))
    with pytest.raises(ValueError, match=r"Telephone: expected mu to be a finite number between 3 and 65535"):
        Telephone(mu=1.0)
