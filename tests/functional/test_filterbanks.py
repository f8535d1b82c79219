"""Filter products whose bits may depend on their place: found out, and then no two clips share a block."""

from __future__ import annotations

import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.functional import blocks, filterbanks

SHAPE = ((3, 4, 1), (2, 5, 2))


@pytest.fixture
def products_by_place(monkeypatch):
    """Products a little off in later rows, as other kernels of a library may be."""
    right = filterbanks.PRODUCTS

    def wrong(energy, weights, lows, n):
        place = torch.arange(energy.shape[0]).unsqueeze(-1)
        return right(energy * (1 + 1e-3 * (place >= 100)), weights, lows, n)

    filterbanks._places_agree.cache_clear()
    monkeypatch.setattr(filterbanks, "PRODUCTS", wrong)
    yield
    filterbanks._places_agree.cache_clear()


def test_places_that_do_not_agree_are_found(products_by_place):
    assert not filterbanks._places_agree(SHAPE, 7, 300, torch.float32, 1)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_sizes_that_do_not_agree_are_found(monkeypatch, kind):
    right = filterbanks.PRODUCTS
    filterbanks._places_agree.cache_clear()
    monkeypatch.setattr(
        filterbanks, "PRODUCTS", lambda energy, *rest: right(energy * (1 + 1e-3 * (energy.shape[0] > 300)), *rest)
    )
    assert not filterbanks._places_agree(SHAPE, 7, 300, kind, 1)
    assert filterbanks._places_agree(SHAPE, 7, 200, kind, 1) == filterbanks._places_agree(SHAPE, 7, 100, kind, 1)
    filterbanks._places_agree.cache_clear()


@pytest.mark.parametrize("power", [2.0, 1.0, 0.7])
def test_clips_come_out_alone_even_then(products_by_place, power):
    torch.manual_seed(0)
    mel = ofs.MelSpectrogram(sample_rate=8_000, n_fft=64, hop_length=16, n_mels=6, power=power)
    batch = ofs.pad([torch.randn(n) for n in (900, 1100, 5, 1300)], rate=8_000)
    for item, alone in zip(mel(batch).unpad(), batch.unpad(), strict=True):
        assert torch.equal(item, mel(alone))


def test_short_clips_share_blocks_and_long_ones_are_cut():
    assert blocks._grouped([3, 3, 3, 9, 1], lambda _: 6) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 5)]
    assert blocks._grouped([3, 3, 2, 2], lambda remaining: remaining // 2 + 1) == [
        slice(0, 2),
        slice(2, 3),
        slice(3, 4),
    ]
    assert blocks._grouped([], lambda _: 1) == []
    assert blocks._pieces([5, 0, 2], 2) == [(0, 0, 2), (0, 2, 2), (0, 4, 1), (2, 0, 2)]
