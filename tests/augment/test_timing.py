"""Shifts against numpy, item by item."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import ChunkSwap, TimeInversion, TimeShift
from ontheflyspec.augment.base import Augment, Info, planned

RATE = 100.0


def moved(wave: np.ndarray, shift: int, mode: str) -> np.ndarray:
    if mode == "circular":
        return np.roll(wave, shift, -1)
    result = np.zeros_like(wave)
    for place in range(wave.shape[-1]):
        if 0 <= place - shift < wave.shape[-1]:
            result[..., place] = wave[..., place - shift]
    return result


@pytest.mark.parametrize("mode", ["circular", "zero"])
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_against_numpy(mode: str, channels: int | None, requires_grad: bool) -> None:
    """Shifts of up to three times an item's length; by slices and by gathering."""
    lead = () if channels is None else (channels,)
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((*lead, length)) for length in (0, 1, 2, 17, 40, 41, 100)]
    for seed in range(5):
        step = TimeShift(shift_s=(-1.2, 1.2), mode=mode, seed=seed)
        batch = ofs.pad(waves, rate=RATE, ids=torch.arange(7))
        data = torch.where(batch.mask().unflatten(0, (7, *[1] * len(lead))), batch.data, float("nan"))
        out = step(batch._replace(data=data.requires_grad_(requires_grad)))
        shifts = np.round(step.draw(batch.ids)["shift_s"].numpy() * RATE).astype(int)
        assert len(set(shifts)) > 4
        for wave, found, shift in zip(waves, out.unpad(), shifts, strict=True):
            np.testing.assert_array_equal(found.detach().numpy(), moved(wave, shift, mode))


def test_gradient_moves_back() -> None:
    wave = torch.arange(5.0)
    batch = ofs.pad([wave], rate=RATE)
    data = batch.data.requires_grad_()
    weights = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    (TimeShift(shift_s=0.02)(batch._replace(data=data)).data * weights).sum().backward()
    assert data.grad.tolist() == [[3.0, 4.0, 5.0, 1.0, 2.0]]


def test_shift_is_in_seconds() -> None:
    wave = torch.arange(40.0)
    for rate, expected in ((100.0, 3), (200.0, 6), (16.6, 0), (50.0, 2)):
        out = TimeShift(shift_s=0.03)(ofs.pad([wave], rate=rate)).data[0]
        assert out.tolist() == np.roll(wave.numpy(), expected).tolist()


def test_wants_a_rate() -> None:
    with pytest.raises(ValueError, match=r"TimeShift: expected a batch that knows its rate.*ofs\.pad\(\.\.\., rate="):
        TimeShift()(torch.zeros(10))
    assert TimeShift().eval()(torch.ones(10)).tolist() == [1.0] * 10


def test_chain_tells_the_rate() -> None:
    """A bare Tensor has the sample rate of the chain's steps."""
    chain = ofs.Compose([TimeShift(shift_s=0.01), ofs.Resample(sample_rate=800, new_sample_rate=800)])
    wave = torch.randn(64)
    assert torch.allclose(chain(wave), wave.roll(8), atol=1e-6)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"TimeShift: expected mode to be one of 'circular' \| 'zero', got 'wrap'\."):
        TimeShift(mode="wrap")
    with pytest.raises(ValueError, match=r"ChunkSwap: expected n_chunks to be an integer of at least 2, got 1\."):
        ChunkSwap(n_chunks=1)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("mode", ["circular", "zero"])
def test_fade_meets_silence_at_the_seam(mode: str, requires_grad: bool) -> None:
    """The moved samples times a straight line down to the seam and up again, six samples on each side."""
    waves = [np.random.default_rng(n).standard_normal(n) for n in (0, 1, 5, 40, 41, 100)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(6))
    step = TimeShift(shift_s=(-0.5, 0.5), mode=mode, fade_s=0.06, seed=1)
    shifts = np.round(step.draw(batch.ids)["shift_s"].numpy() * RATE).astype(int)
    out = step(batch._replace(data=batch.data.requires_grad_(requires_grad)))
    for wave, found, shift in zip(waves, out.unpad(), shifts, strict=True):
        expected = moved(wave, shift, mode)
        turned = shift % max(len(wave), 1) if mode == "circular" else shift
        seam = turned if turned >= 0 else len(wave) + turned
        if turned != 0:
            expected = expected * np.minimum(np.abs(np.arange(len(wave)) - seam + 0.5) / 6, 1)
        np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_inversion_and_swaps_against_numpy(requires_grad: bool) -> None:
    waves = [np.random.default_rng(n).standard_normal((2, n)) for n in (0, 1, 2, 3, 40, 41, 101)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(7))
    given = batch._replace(data=batch.data.requires_grad_(requires_grad))
    inversion, swap = TimeInversion(p=0.6, seed=1), ChunkSwap(n_chunks=4, p=0.8)
    active = inversion.draw(batch.ids)["active"].tolist()
    assert 0 < sum(active) < 7
    for wave, found, on in zip(waves, inversion(given).unpad(), active, strict=True):
        np.testing.assert_array_equal(found.detach().numpy(), np.flip(wave, -1) if on else wave)
    table = swap.draw(batch.ids)
    for k, (wave, found) in enumerate(zip(waves, swap(given).unpad(), strict=True)):
        edges = [j * wave.shape[-1] // 4 for j in range(5)]
        order = table["order"][k].tolist() if table["active"][k] else range(4)
        expected = np.concatenate([wave[:, edges[j] : edges[j + 1]] for j in order], -1)
        np.testing.assert_array_equal(found.detach().numpy(), expected)


@pytest.mark.parametrize(
    "step",
    [
        TimeShift(shift_s=(-0.7, 0.7), p=0.8),
        TimeShift(shift_s=(-0.7, 0.7), mode="zero", p=0.8),
        TimeInversion(p=0.6, seed=1),
        ChunkSwap(n_chunks=3, p=0.8),
    ],
    ids=["circular", "zero", "inversion", "swap"],
)
def test_every_sample_is_where_its_piece_says(step: Augment) -> None:
    """Samples are numbered, so each can be found again; what lies in no piece is gone."""
    waves = [torch.arange(1.0, n + 1) for n in (30, 41, 100, 7)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(4))
    table = step.draw(batch.ids)
    assert 0 < int(table["active"].sum()) < 4
    out, time_map = step.replay(batch, table), planned(step, Info.of(batch, "step"), table).time()
    for k, (wave, found) in enumerate(zip(waves, out.unpad(), strict=True)):
        seen = 0
        for start, end, place, slope in zip(*(one[k].tolist() for one in time_map), strict=True):
            for sample in range(round(start * RATE), round(end * RATE)):
                there = round((place + (sample / RATE - start) * slope) * RATE)
                assert found[there] == wave[sample]
                seen += 1
        assert seen == int((found != 0).sum())


def test_orders_are_drawn_evenly() -> None:
    order = ChunkSwap(n_chunks=3).draw(torch.arange(6_000))["order"]
    counts = torch.bincount(order @ torch.tensor([9, 3, 1]))
    assert stats.chisquare(counts[counts > 0].numpy()).pvalue > 1e-4
    assert int((counts > 0).sum()) == 6
    shifts = TimeShift(shift_s=(-0.1, 0.1)).draw(torch.arange(5_000))["shift_s"]
    assert stats.kstest(shifts.numpy(), stats.uniform(-0.1, 0.2).cdf).pvalue > 1e-4
