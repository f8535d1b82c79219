"""Holes against numpy, item by item, and the statistics of their draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import SpecCutout

BANDS = 12


@pytest.mark.parametrize("fill", ["mean", "zero", 2.5])
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_against_numpy(fill: float | str, channels: int | None, requires_grad: bool) -> None:
    lead = (BANDS,) if channels is None else (channels, BANDS)
    draws = np.random.default_rng(4)
    items = [draws.standard_normal((*lead, length)) for length in (0, 1, 5, 30, 80)]
    batch = ofs.pad(items, rate=100.0, ids=torch.arange(5))
    for seed in range(3):
        step = SpecCutout(n_holes=4, max_frames=20, max_bands=14, fill=fill, seed=seed)
        table = {name: values.tolist() for name, values in step.draw(batch.ids).items()}
        out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
        for row, (item, found) in enumerate(zip(items, out.unpad(), strict=True)):
            value = {"mean": item.mean() if item.size else 0.0, "zero": 0.0}.get(fill, fill)
            expected = item.copy()
            holes = zip(*(table[name][row] for name in ("frames", "first", "bands", "lowest")), strict=True)
            for frames, first, bands, lowest in holes:
                frames, bands = min(frames, item.shape[-1]), min(bands, BANDS)
                start, bottom = int(first * (item.shape[-1] - frames + 1)), int(lowest * (BANDS - bands + 1))
                expected[..., bottom : bottom + bands, start : start + frames] = value
            np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-14)
        assert not out.data.detach()[..., 79:][:4].any()


def test_sizes_and_places_are_even() -> None:
    table = SpecCutout(n_holes=1, max_frames=6, max_bands=3).draw(torch.arange(5_000))
    for name, most in (("frames", 6), ("bands", 3)):
        counts = torch.bincount(table[name][:, 0], minlength=most + 1)
        assert len(counts) == most + 1
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    for name in ("first", "lowest"):
        assert stats.kstest(table[name][:, 0].numpy(), "uniform").pvalue > 1e-3


def test_gradient_is_of_what_is_seen() -> None:
    data = torch.ones(3, BANDS, 50, requires_grad=True)
    out = SpecCutout(fill="zero")(data)
    out.sum().backward()
    assert 0 < int((out == 0).sum()) < out.numel()
    assert torch.equal(data.grad, (out != 0).float())


def test_wrong_options() -> None:
    for name in ("n_holes", "max_frames", "max_bands"):
        with pytest.raises(ValueError, match=rf"SpecCutout: expected {name} to be an integer of at least 0, got -1\."):
            SpecCutout(**{name: -1})
    with pytest.raises(ValueError, match=r"SpecCutout: expected fill to be one of 'mean' \| 'zero', got 'max'\."):
        SpecCutout(fill="max")
