"""Filter products whose bits may depend on their place: found out, and then no two clips share a block."""

from __future__ import annotations

import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.kernels.cpu import pipeline
from ontheflyspec.kernels.threads import grouped

SHAPE = (((0, 3, 1, 5), (3, 5, 2, 7)), 5, 301)
"""Runs of filters, how many these are, and bins: of frames that come 873 at a time."""


@pytest.fixture
def products_by_place(monkeypatch):
    """Products a little off in later rows, as other kernels of a library may be."""
    right = pipeline.filter_products

    def wrong(energy, *rest):
        place = torch.arange(energy.shape[0]).unsqueeze(-1)
        return right(energy * (1 + 1e-3 * (place >= 100)), *rest)

    pipeline._places_agree.cache_clear()
    monkeypatch.setattr(pipeline, "filter_products", wrong)
    yield
    pipeline._places_agree.cache_clear()


def test_places_that_do_not_agree_are_found(products_by_place):
    assert not pipeline._places_agree(*SHAPE, torch.float32, 1)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_sizes_that_do_not_agree_are_found(monkeypatch, kind):
    right = pipeline.filter_products
    monkeypatch.setattr(
        pipeline, "filter_products", lambda energy, *rest: right(energy * (1 + 1e-3 * (energy.shape[0] > 300)), *rest)
    )

    def agree(rows):
        monkeypatch.setattr(pipeline, "most_frames", lambda _: rows)
        pipeline._places_agree.cache_clear()
        return pipeline._places_agree(*SHAPE, kind, 1)

    assert not agree(300)
    assert agree(200) == agree(100)
    pipeline._places_agree.cache_clear()


@pytest.mark.parametrize("power", [2.0, 1.0, 0.7])
def test_clips_come_out_alone_even_then(products_by_place, power):
    torch.manual_seed(0)
    mel = ofs.MelSpectrogram(sample_rate=8_000, n_fft=64, hop_length=16, n_mels=6, power=power)
    batch = ofs.pad([torch.randn(n) for n in (900, 1100, 5, 1300)], rate=8_000)
    for item, alone in zip(mel(batch).unpad(), batch.unpad(), strict=True):
        assert torch.equal(item, mel(alone))


def test_long_clips_are_cut_into_blocks_and_empty_ones_have_none(monkeypatch):
    mel = ofs.MelSpectrogram(sample_rate=8_000, n_fft=64, hop_length=16, n_mels=6, power=1.0)
    batch = ofs.pad([torch.randn(n) for n in (70, 0, 20)], rate=8_000)
    wanted, blocks, cut = mel(batch.to(dtype=torch.float64)).data, [], pipeline.cut_frames
    monkeypatch.setattr(pipeline, "most_frames", lambda _: 2)
    monkeypatch.setattr(pipeline, "cut_frames", lambda *given: blocks.append(given[-1]) or cut(*given))
    torch.testing.assert_close(mel(batch).data.double(), wanted, rtol=1e-5, atol=1e-5)
    pieces = sorted(piece for block in blocks for piece in block)
    assert pieces == [(0, 0, 2), (0, 2, 2), (0, 4, 1), (2, 0, 2)]


def test_neighbours_are_grouped_by_what_they_cost():
    assert grouped([3, 3, 3, 9, 1], lambda _: 6) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 5)]
    assert grouped([3, 3, 2, 2], lambda remaining: remaining // 2 + 1) == [slice(0, 2), slice(2, 3), slice(3, 4)]
    assert grouped([], lambda _: 1) == []


def test_items_apart_are_never_together():
    assert grouped([1, 1, 1], lambda _: 9, [0, 2, 3]) == [slice(0, 1), slice(1, 3)]
    assert grouped([1, 1, 1], lambda _: 9, [4, 5, 6]) == [slice(0, 3)]
