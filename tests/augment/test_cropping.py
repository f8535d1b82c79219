"""Crops and silence against numpy and librosa, item by item."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import AdjustDuration, RandomCrop, TimeInversion, TrimSilence
from ontheflyspec.augment.base import Info, planned
from ontheflyspec.op import execute

RATE = 1_000.0
SIZES = (0, 1, 49, 50, 51, 80, 200)


def batch_of(sizes: tuple[int, ...], channels: int = 2) -> ofs.PaddedBatch:
    draws = np.random.default_rng(0)
    return ofs.pad([draws.standard_normal((channels, n)) for n in sizes], rate=RATE, ids=torch.arange(len(sizes)))


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_crops_are_slices(requires_grad: bool, seed: int) -> None:
    batch = batch_of(SIZES)
    step = RandomCrop(seconds=0.05, p=0.8, seed=seed)
    table = step.draw(batch.ids)
    out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
    time_map = planned(step, Info.of(batch, "step"), table).time()
    for k, (wave, found) in enumerate(zip(batch.unpad(), out.unpad(), strict=True)):
        n = wave.shape[-1]
        size = min(n, 50) if table["active"][k] else n
        start = int(float(table["start"][k]) * (n - size + 1))
        assert torch.equal(found.detach(), wave[:, start : start + size])
        assert [float(one[k, 0]) for one in time_map] == pytest.approx([start / 1e3, (start + size) / 1e3, 0, 1])


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("position", ["start", "end", "random"])
def test_durations_are_exact(requires_grad: bool, position: str) -> None:
    batch = batch_of(SIZES)
    step = AdjustDuration(seconds=0.05, position=position)
    table = step.draw(batch.ids)
    out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
    assert out.data.shape[-1] == 50
    assert out.lengths.tolist() == [50] * 7
    time_map, places = planned(step, Info.of(batch, "step"), table).time(), []
    for k, (wave, found) in enumerate(zip(batch.unpad(), out.data.detach(), strict=True)):
        n, unit = wave.shape[-1], float(table["start"][k])
        start = int(unit * (n - 49)) if n > 50 else 0
        place = {"start": 0, "end": max(50 - n, 0), "random": int(unit * (51 - n)) if n < 50 else 0}[position]
        expected = np.zeros((2, 50))
        expected[:, place : place + min(n, 50)] = wave[:, start : start + 50]
        np.testing.assert_array_equal(found.numpy(), expected)
        assert [float(one[k, 0]) * 1e3 for one in time_map] == pytest.approx([start, start + min(n, 50), place, 1e3])
        places.append(place)
    assert len(set(places)) > 1 or position == "start"


@pytest.mark.parametrize(
    ("requires_grad", "frame_length", "hop_length", "top_db"),
    [(False, 2048, 512, 60.0), (True, 500, 130, 25.0), (False, 500, 130, 25.0), (True, 64, 64, 40.0)],
)
def test_trim_as_librosa(requires_grad: bool, frame_length: int, hop_length: int, top_db: float) -> None:
    """Clips at other levels, one quiet throughout, one silent: each by its own peak, the louder channel deciding."""
    draws = np.random.default_rng(1)
    waves = []
    for k, n in enumerate((30_000, 12_345, 9_000, 700, 1, 5_000)):
        shape = np.exp(-(((np.arange(n) - n * 0.4) / (0.08 * n + 1)) ** 2)) + 1e-5
        waves.append(draws.standard_normal((2, n)) * shape * 10.0 ** (-k / 2))
    waves[2][0] = 0
    waves.append(np.zeros((2, 4_000)))
    options = {"frame_length": frame_length, "hop_length": hop_length, "top_db": top_db}
    step = TrimSilence(**options)
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(7))
    data = torch.where(batch.mask().unsqueeze(1), batch.data, float("nan")).requires_grad_(requires_grad)
    edit = planned(step, Info.of(batch, "step"), step.draw(batch.ids))
    out, time_map = execute({0: edit}, batch._replace(data=data))
    assert torch.equal(step(batch._replace(data=data)).data, out.data)
    shorter = 0
    for k, (wave, found) in enumerate(zip(waves, out.unpad(), strict=True)):
        expected, (start, end) = librosa.effects.trim(wave, **options)
        np.testing.assert_array_equal(found.detach().numpy(), expected)
        assert [float(one[k, 0]) * 1e3 for one in time_map] == pytest.approx([start, end, 0, 1e3])
        shorter += expected.shape != wave.shape
    assert shorter >= 3


def test_starts_are_drawn_evenly() -> None:
    for step in (RandomCrop(seconds=1.0), AdjustDuration(seconds=1.0)):
        drawn = step.draw(torch.arange(5_000))["start"]
        assert stats.kstest(drawn.numpy(), "uniform").pvalue > 1e-4


def test_rates_and_lengths() -> None:
    """Bare Tensors, lengths and other rates need to know the sample rate."""
    for kind in (RandomCrop, AdjustDuration):
        step = kind(seconds=0.01, sample_rate=2_000)
        assert step(torch.ones(3, 100)).shape == (3, 20)
        assert step.output_lengths(100) == 20
        assert step.output_lengths(torch.tensor([100, 30])).tolist() == [20, 20]
        with pytest.raises(ValueError, match=rf"{kind.__name__}: expected a batch of 2000 Hz"):
            step(batch_of((50,)))
        with pytest.raises(ValueError, match=rf"{kind.__name__}: expected a sample_rate"):
            kind(seconds=0.01).output_lengths(100)
        with pytest.raises(ValueError, match="expected a batch that knows its rate"):
            kind(seconds=0.01)(torch.ones(100))
    assert RandomCrop(seconds=0.01, sample_rate=2_000).output_lengths(7) == 7
    with pytest.raises(ValueError, match=r"TrimSilence: expected samples, which new lengths depend on, got lengths"):
        TrimSilence().output_lengths(100)
    with pytest.raises(
        ValueError, match=r"AdjustDuration: expected position to be one of 'start' \| 'center' \| 'end'"
    ):
        AdjustDuration(seconds=1.0, position="middle")


@pytest.mark.parametrize("requires_grad", [False, True])
def test_silence_of_an_empty_clip_is_silent_for_what_follows(requires_grad: bool) -> None:
    """Steps of a chain take turns on the same memory: what comes of nothing must be written there, too."""
    batch, steps = batch_of((0, 30, 80)), [AdjustDuration(seconds=0.05), TimeInversion(), AdjustDuration(seconds=0.06)]
    for level in (1.0, 2.0):  # the memory of the first round may come back in the second
        data = (batch.data * level).requires_grad_(requires_grad)
        out, after = ofs.Compose(steps)(batch._replace(data=data)), batch._replace(data=data)
        for place, step in enumerate(steps):
            table = ofs.Compose(steps).draw(batch.ids)[str(place)]
            after = step.replay(after, table)
        assert out.lengths.tolist() == [60] * 3
        assert not out.data[0].any()
        assert torch.equal(out.data, after.data)
