"""Hidden spans of time against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import TimeMask
from ontheflyspec.augment.base import Info, planned

RATE = 1_000.0


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("fade_s", [0.0, 0.004])
def test_spans_against_numpy(requires_grad: bool, fade_s: float) -> None:
    waves = [np.random.default_rng(n).standard_normal((2, n)) for n in (0, 1, 3, 60, 101, 200)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(6))
    step = TimeMask(n_masks=3, fraction=(0.0, 0.4), fade_s=fade_s, p=0.6, seed=1)
    table = step.draw(batch.ids)
    assert 0 < int(table["active"].sum()) < 6
    out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
    hidden = 0
    for k, (wave, found) in enumerate(zip(waves, out.unpad(), strict=True)):
        n, gain = wave.shape[-1], np.ones(wave.shape[-1])
        for width, start in zip(table["width"][k].tolist(), table["start"][k].tolist(), strict=True):
            size = int(np.round(width * n)) if table["active"][k] else 0
            first = int(start * (n - size + 1))
            for place in range(size):
                depth = min(place, size - 1 - place) + 0.5
                gain[first + place] = min(gain[first + place], max(1 - depth / (fade_s * RATE), 0) if fade_s else 0)
        np.testing.assert_allclose(found.detach().numpy(), wave * gain, atol=1e-6)
        hidden += int((gain < 1).sum())
    assert hidden > 60


def test_noise_has_the_power_of_the_item() -> None:
    """Within what 5 000 samples of noise tell; unlike in each channel and item; silence stays silence."""
    waves = [torch.ones(2, 20_000) * level for level in (1.0, 0.01, 0.0)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(3))
    out = TimeMask(fraction=0.25, fill="noise")(batch)
    assert not out.data[2].any()
    for level, found in zip((1.0, 0.01), out.data, strict=False):
        noise = found[:, (found != level).all(0)]
        assert noise.shape[-1] >= 4_990
        assert (noise.square().mean(-1).sqrt() / level - 1).abs().max() < 0.05
        assert abs(np.corrcoef(noise.numpy())[0, 1]) < 0.08


def test_pieces_are_what_is_left() -> None:
    """Samples are numbered: those in a piece stay in their place, all others are 0."""
    waves = [torch.arange(1.0, n + 1) for n in (80, 120, 9, 300)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(4))
    for seed in range(5):
        step = TimeMask(n_masks=4, fraction=(0.1, 0.4), p=0.8, seed=seed)
        table = step.draw(batch.ids)
        out, time_map = step.replay(batch, table), planned(step, Info.of(batch, "step"), table).time()
        for k, (wave, found) in enumerate(zip(waves, out.unpad(), strict=True)):
            kept = torch.zeros(len(wave), dtype=torch.bool)
            for start, end, place, slope in zip(*(one[k].tolist() for one in time_map), strict=True):
                kept[round(start * RATE) : round(end * RATE)] = True
                assert (place, slope) == (start, 1)
            assert torch.equal(found, torch.where(kept, wave, 0))


def test_drawn_evenly() -> None:
    table = TimeMask(fraction=(0.1, 0.3)).draw(torch.arange(5_000))
    assert stats.kstest(table["width"][:, 0].numpy(), stats.uniform(0.1, 0.2).cdf).pvalue > 1e-4
    assert stats.kstest(table["start"][:, 0].numpy(), "uniform").pvalue > 1e-4


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"TimeMask: expected fill to be one of 'zero' \| 'noise', got 'mean'\."):
        TimeMask(fill="mean")
    with pytest.raises(ValueError, match="TimeMask: expected a batch that knows its rate, for a fade"):
        TimeMask(fade_s=0.01)(torch.ones(100))
