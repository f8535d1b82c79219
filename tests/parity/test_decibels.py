"""Decibels, logarithms and normalisation against librosa and numpy, item by item."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

import ontheflyspec as ofs

LENGTHS = [30, 1, 17]


@pytest.fixture(scope="module")
def batch():
    values = torch.rand(3, 2, 5, 30, generator=torch.Generator().manual_seed(1)).square()
    values *= torch.tensor([1.0, 1e-3, 1e2]).reshape(3, 1, 1, 1)
    values = values.masked_fill(torch.arange(30) >= torch.tensor(LENGTHS).reshape(3, 1, 1, 1), float("nan"))
    return ofs.PaddedBatch(values, torch.tensor(LENGTHS), 100.0)


def parts(batch):
    return [item.double().numpy() for item in batch.unpad()]


@pytest.mark.parametrize("stype", ["power", "magnitude"])
@pytest.mark.parametrize("ref", [1.0, 0.01, "max"])
@pytest.mark.parametrize("top_db", [None, 20.0])
def test_decibels_are_librosas_item_by_item(batch, stype, ref, top_db):
    theirs = librosa.power_to_db if stype == "power" else librosa.amplitude_to_db
    out = ofs.AmplitudeToDB(stype=stype, ref=ref, top_db=top_db, amin=1e-5)(batch)
    for ours, x in zip(parts(out), parts(batch), strict=True):
        exact = theirs(x, ref=np.max if ref == "max" else ref, amin=1e-5, top_db=top_db)
        assert np.abs(ours - exact).max() < 1e-4
    assert (out.data[~out.mask()[:, None, None].expand_as(out.data)] == 0).all()


def test_log_is_numpys(batch):
    for ours, x in zip(parts(ofs.Log(floor=1e-3)(batch)), parts(batch), strict=True):
        assert np.abs(ours - np.log(np.maximum(x, 1e-3))).max() < 1e-5


@pytest.mark.parametrize("ddof", [0, 1])
def test_normalize_is_numpys(batch, ddof):
    for per, axes in (("item", (0, 1, 2)), ("feature", (0, 2))):
        out = ofs.Normalize(per=per, ddof=ddof, eps=1e-3)(batch)
        for ours, x in zip(parts(out), parts(batch), strict=True):
            count = np.prod([x.shape[axis] for axis in axes])
            std = x.std(axes, keepdims=True, ddof=min(ddof, count - 1))
            assert np.abs(ours - (x - x.mean(axes, keepdims=True)) / (std + 1e-3)).max() < 1e-3


def test_global_statistics_are_those_of_all_valid_frames(batch):
    shuffled = ofs.PaddedBatch(*(field[[2, 0]] for field in batch[:2]), batch.rate)
    norm = ofs.Normalize(per="global", eps=0.0, ddof=1)
    with pytest.raises(ValueError, match=r"mean and std .*fit\(batches\) first"):
        norm(batch)
    assert norm.fit([batch, (shuffled, "labels")]) is norm
    frames = np.concatenate(parts(batch) + parts(shuffled), axis=-1).swapaxes(0, 1).reshape(5, -1)
    assert norm.mean.flatten().numpy() == pytest.approx(frames.mean(1), rel=1e-5)
    assert norm.std.flatten().numpy() == pytest.approx(frames.std(1, ddof=1), rel=1e-5)
    for ours, x in zip(parts(norm(batch)), parts(batch), strict=True):
        exact = (x - frames.mean(1)[:, None]) / frames.std(1, ddof=1)[:, None]
        assert np.abs(ours - exact).max() < 1e-4
    loaded = ofs.Normalize(per="global", eps=0.0)
    loaded.load_state_dict(norm.state_dict())
    assert torch.equal(loaded(batch).data, norm(batch).data)


def test_constant_bands_stay_finite():
    x = torch.ones(1, 3, 8, requires_grad=True)
    for per in ("item", "feature"):
        out = ofs.Normalize(per=per, eps=0.0)(x)
        assert torch.equal(out, torch.zeros(1, 3, 8))
        out.sum().backward()
        assert torch.isfinite(x.grad).all()


def test_bad_options_name_value_and_remedy():
    with pytest.raises(ValueError, match=r"mean and std together, .*got per='item', mean=0.0"):
        ofs.Normalize(mean=0.0, std=1.0)
    with pytest.raises(ValueError, match="none negative, got -1"):
        ofs.Normalize(per="global", mean=0.0, std=-1)
    with pytest.raises(ValueError, match="per=\"global\", got per='item'"):
        ofs.Normalize().fit([])
    with pytest.raises(ValueError, match="at least one valid frame"):
        ofs.Normalize(per="global").fit([])
    with pytest.raises(ValueError, match="ref above 0, got 0"):
        ofs.AmplitudeToDB(ref=0)
    with pytest.raises(ValueError, match="ref to be one of 'max', got 'median'"):
        ofs.AmplitudeToDB(ref="median")
    with pytest.raises(ValueError, match="floor above 0, got -1"):
        ofs.Log(floor=-1)
    with pytest.raises(TypeError, match="got complex64"):
        ofs.AmplitudeToDB()(torch.zeros(2, 3, dtype=torch.complex64))
