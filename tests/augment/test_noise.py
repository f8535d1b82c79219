"""Noise: its ratio, its colour, its evenness, and where there must be none."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec import rng
from ontheflyspec.augment import AddColoredNoise
from ontheflyspec.batch import PaddedBatch
from ontheflyspec.functional import noises
from ontheflyspec.functional.noises import NOISE_BLOCK, colored_noise
from ontheflyspec.identity import Identity


def noise(count: int, size: int, f_decay: float, seed: int = 0) -> np.ndarray:
    keys = torch.tensor([Identity(item, seed).id() for item in range(count)])
    like, lengths = torch.zeros(count, size), torch.full((count,), size)
    decay, active = torch.full((count,), f_decay, dtype=torch.float64), torch.ones(count, dtype=torch.bool)
    return colored_noise(like, lengths, decay, keys, active).double().numpy()


def spectrum(waves: np.ndarray, size: int) -> np.ndarray:
    """Mean power of the bins over windowed stretches."""
    frames = waves[:, : waves.shape[1] // size * size].reshape(-1, size) * np.hanning(size)
    return (np.abs(np.fft.rfft(frames)) ** 2).mean(0)


@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_ratio_is_exact(channels: int | None, requires_grad: bool) -> None:
    """Signal power over noise power of each item's own samples, for items 60 dB apart and of 1 to 20 000 samples."""
    lead = () if channels is None else (channels,)
    sizes = (1, 2, 30, 4_095, 4_097, 20_000)
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((*lead, size)) * 10 ** (-place / 2) for place, size in enumerate(sizes)]
    batch = ofs.pad(waves, rate=16_000, ids=torch.arange(6))
    data = torch.where(batch.mask().unflatten(0, (6, *[1] * len(lead))), batch.data, float("nan"))
    step = AddColoredNoise(snr_db=(-10.0, 40.0))
    out = step(batch._replace(data=data.requires_grad_(requires_grad)))
    for wave, found, snr_db in zip(waves, out.unpad(), step.draw(batch.ids)["snr_db"].tolist(), strict=True):
        added = found.detach().numpy() - wave
        assert 10 * np.log10((wave**2).sum() / (added**2).sum()) == pytest.approx(snr_db, abs=1e-3)


@pytest.mark.parametrize("f_decay", [-2.0, -1.0, 0.0, 1.0, 2.0])
def test_slope_over_two_decades(f_decay: float) -> None:
    """From 0.003 to 0.4 of the rate: 48 Hz to 6.4 kHz at 16 kHz."""
    size = 4_096
    power = spectrum(noise(8, 80_000, f_decay), size)
    edges = np.geomspace(0.003, 0.4, 25) * size
    bins = [slice(int(low), int(high)) for low, high in pairwise(edges)]
    levels = [np.log(power[part].mean()) for part in bins]
    centres = [np.log(np.arange(size)[part].mean()) for part in bins]
    assert -np.polyfit(centres, levels, 1)[0] == pytest.approx(f_decay, abs=0.1)


def test_no_dc_in_brown_noise() -> None:
    """What lies far below the first bin holds a small part of the power."""
    waves = noise(4, 40 * NOISE_BLOCK, 2.0)
    power = np.abs(np.fft.rfft(waves)) ** 2
    first = waves.shape[1] // NOISE_BLOCK
    assert power[:, : first // 4].sum() < 0.02 * power.sum()
    assert power[:, first // 4 : 4 * first].sum() > 0.7 * power.sum()


@pytest.mark.parametrize("f_decay", [0.0, 2.0])
def test_power_is_even_in_time(f_decay: float) -> None:
    """Where blocks fade into each other there is neither more nor less; about 1 everywhere."""
    waves = noise(1_500, 2 * NOISE_BLOCK, f_decay)
    power = (waves**2).mean(0)
    assert np.abs(power - 1).max() < 6 * (2 / 1_500) ** 0.5


def test_white_noise_is_normal_and_uncorrelated() -> None:
    waves = noise(2, 50_000, 0.0)
    assert stats.kstest(waves[0], "norm").pvalue > 1e-4
    assert abs(np.corrcoef(waves[0], waves[1])[0, 1]) < 5 / 50_000**0.5
    for lag in (1, 7, 500, 3_584, 4_096):
        assert abs(np.corrcoef(waves[0, lag:], waves[0, :-lag])[0, 1]) < 5 / 49_000**0.5


@pytest.mark.parametrize("f_decay", [-1.0, 1.3])
def test_stream_does_not_depend_on_its_length(f_decay: float) -> None:
    """Bitwise, with the length known on the host or not looked at."""
    whole = noise(1, 40_000, f_decay)
    for size in (1, 3_584, 3_585, 14_336, 14_337, 39_999):
        assert np.array_equal(noise(1, size, f_decay), whole[:, :size])


class Counted:
    """The noise of a device, by counter, made on the CPU."""

    @staticmethod
    def noise(keys: list[int], size: int, f_decay: float = 0.0, channels: int = 1) -> torch.Tensor:
        decays, like = torch.full((len(keys),), f_decay).double(), torch.zeros(len(keys), channels, size)
        return noises._counted_noise(like, decays, torch.tensor(keys))


def test_noise_by_counter_depends_on_key_channel_and_place() -> None:
    """Not on the batch, its size, or what follows."""
    together, alone = Counted.noise([5, 2**40 + 7, 5], 9_000, channels=2), Counted.noise([2**40 + 7], 3_000, channels=2)
    assert torch.equal(together[0], together[2])
    assert torch.equal(together[1, :, :3_000], alone[0])
    rows = torch.cat([together[:2].flatten(0, 1), Counted.noise([6], 9_000)[0]]).numpy()
    assert np.abs(np.corrcoef(rows) - np.eye(5)).max() < 0.05


@pytest.mark.parametrize("f_decay", [0.0, 1.0, 2.0, -1.0])
def test_noise_by_counter_has_its_spectrum_and_power(f_decay: float) -> None:
    wave = Counted.noise(list(range(8)), 2**17, f_decay)[:, 0].double()
    assert abs(wave.square().mean().item() - 1) < 0.05
    power = torch.fft.rfft(wave.unflatten(1, (-1, 4_096)) * torch.hann_window(4_096)).abs().square().mean((0, 1))
    bins = torch.arange(20, 1_500)
    slope = np.polyfit(bins.log().numpy(), power[bins].log().numpy(), 1)[0]
    assert abs(slope + f_decay) < 0.05


def test_noise_by_counter_is_that_of_published_numbers() -> None:
    """The first bytes of key 0 are the words of Philox-4x32-10 for the counter (0, 0, 0, 1)."""
    words = rng.philox((0, 0, 0, 1), rng.round_keys((0, 0)))
    expected = np.array(words, dtype="<u4").view(np.int8)
    assert rng.counted_bytes(torch.tensor([0]), 1, 16)[0, 0].tolist() == expected.tolist()


def test_channels_and_items_differ() -> None:
    batch = ofs.pad([torch.ones(3, 500), torch.ones(3, 500)], rate=1.0, ids=[1, 2])
    added = (AddColoredNoise(snr_db=0.0, f_decay=0.0)(batch).data - 1).reshape(6, 500).numpy()
    assert np.abs(np.corrcoef(added) - np.eye(6)).max() < 0.3


def test_silence_stays_silence() -> None:
    """Also one silent item among others, and one without samples; gradients are finite."""
    batch = ofs.pad([torch.zeros(2, 50), torch.randn(2, 70), torch.zeros(2, 0)], rate=1.0, ids=[1, 2, 3])
    data = batch.data.requires_grad_()
    for given in (batch.data.detach(), data):
        out = AddColoredNoise()(batch._replace(data=given)).data
        assert not out[0].any()
        assert out[1].any()
        assert torch.isfinite(out).all()
    out.square().sum().backward()
    assert torch.isfinite(data.grad).all()


def test_gradient_sees_the_ratio() -> None:
    """The noise follows the signal's level, and so does its derivative."""
    batch = ofs.pad([torch.randn(6, dtype=torch.float64), torch.randn(4, dtype=torch.float64)], rate=1.0, ids=[1, 2])
    step = AddColoredNoise(snr_db=3.0)
    data = batch.data.requires_grad_()
    assert torch.autograd.gradcheck(lambda given: step(batch._replace(data=given)).data, (data,))


def test_only_active_items_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """One generator each; those of the CPU look at the low 32 bits of their seed alone."""
    made: list[int] = []
    original: Callable[..., torch.Generator] = rng.generator
    monkeypatch.setattr(rng, "generator", lambda device, key: made.append(key) or original(device, key))
    step = AddColoredNoise(p=0.3)
    ids = torch.arange(2_000)
    step(PaddedBatch(torch.ones(2_000, 2), torch.full((2_000,), 2), 1.0, ids))
    assert len(made) == int(step.draw(ids)["active"].sum())
    assert len({key % 2**32 for key in made}) == len(made)


def test_keys_are_spread() -> None:
    """Whole numbers that JSON keeps, of far more than 32 bits."""
    keys = AddColoredNoise().draw(torch.arange(100_000))["noise_key"].tolist()
    assert len(set(keys)) == len(keys)
    assert min(keys) >= 0
    assert 2**51 < max(keys) < 2**53


def test_draws_are_even() -> None:
    table = AddColoredNoise(snr_db=(5.0, 30.0), f_decay=(-2.0, 2.0)).draw(torch.arange(20_000))
    assert stats.kstest(table["snr_db"].numpy(), stats.uniform(5.0, 25.0).cdf).pvalue > 1e-4
    assert stats.kstest(table["f_decay"].numpy(), stats.uniform(-2.0, 4.0).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(table["snr_db"], table["f_decay"])[0, 1]) < 5 / 20_000**0.5


def test_global_state_is_untouched() -> None:
    before = torch.get_rng_state()
    AddColoredNoise()(ofs.pad([torch.ones(50)], rate=1.0, ids=[3]))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("channels", [None, 2])
def test_node_of_a_compiled_graph(channels: int | None) -> None:
    """torch's own check of the operator that stands in for the noise while tracing."""
    like = torch.zeros(2, 300) if channels is None else torch.zeros(2, channels, 300)
    args = (like, torch.tensor([300, 20]), torch.zeros(2).double(), torch.tensor([1, 2]), torch.tensor([True, False]))
    torch.library.opcheck(noises._traced_noise, args)


@pytest.mark.parametrize(
    ("name", "db_per_octave"), [("white", 0.0), ("pink", -3.01), ("brown", -6.02), ("blue", 3.01), ("violet", 6.02)]
)
def test_colours_have_names(name: str, db_per_octave: float) -> None:
    """The slope of the noise that is added, within 0.5 dB per octave."""
    tone = torch.ones(4, 80_000)
    added = (AddColoredNoise(f_decay=name)(tone) - tone).double().numpy()
    power = spectrum(added / added.std(), 4_096)
    octaves = [10 * np.log10(power[2**place : 2 ** (place + 1)].mean()) for place in range(4, 11)]
    assert np.polyfit(range(7), octaves, 1)[0] == pytest.approx(db_per_octave, abs=0.5)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"AddColoredNoise: expected f_decay to be one of 'white' \| 'pink' .*'grey'"):
        AddColoredNoise(f_decay="grey")
    with pytest.raises(ValueError, match=r"AddColoredNoise: expected f_decay to be a finite number between -8 and 8"):
        AddColoredNoise(f_decay=(0.0, 9.0))
    with pytest.raises(ValueError, match=r"AddColoredNoise: expected snr_db as \(low, high\) with low <= high"):
        AddColoredNoise(snr_db=(9.0, 1.0))
