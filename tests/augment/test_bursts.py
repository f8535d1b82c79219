"""Short noises: where they lie, what they are made of, each one's ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from case import needs_compiler
from families.noise import bank
from ontheflyspec.augment import ShortNoises

RATE = 8_000
SIZES = (1, 2, 30, 700, 4_097, 20_000)
BOTH = pytest.mark.parametrize("requires_grad", [False, True])
DENSE: dict[str, Any] = {"gap_s": (0.0, 0.1), "duration_s": (0.0, 0.2), "fade_s": 0.01}


def speech(channels: int | None = None) -> tuple[list[np.ndarray], Any]:
    """Returns waves 10 dB apart and their batch, NaN in the padding."""
    lead = () if channels is None else (channels,)
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((*lead, size)) * 10 ** (-place / 2) for place, size in enumerate(SIZES)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(len(SIZES)) * 31)
    mask = batch.mask().unflatten(0, (len(SIZES), *[1] * len(lead)))
    return waves, batch._replace(data=torch.where(mask, batch.data, float("nan")))


def places(table: dict[str, Any], row: int, sizes: list[int]) -> list[tuple[int, int, int]]:
    """Returns number, first sample and samples of each noise of an item."""
    found, time = [], 0
    for k, file in enumerate(table["file"][row]):
        time += round(table["gap_s"][row][k] * RATE)
        size = min(max(round(table["duration_s"][row][k] * RATE), 1), sizes[file])
        found.append((k, time, size))
        time += size
    return found


@BOTH
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("many", [False, True])
def test_against_numpy(channels: int | None, many: bool, requires_grad: bool) -> None:
    """One by one, each item alone: place, part, fades, ratio over the time that the noise lasts."""
    waves, batch = speech(channels)
    recorded = bank(1, 50, 700, 6_000, channels=channels if many else None)
    sizes = recorded.sizes.tolist()
    heard = 0
    for seed in range(3):
        step = ShortNoises(recorded, **DENSE, seed=seed)
        out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
        table = {name: values.tolist() for name, values in step.draw(batch.ids).items()}
        for row, (wave, result) in enumerate(zip(waves, out.unpad(), strict=True)):
            n, expected = wave.shape[-1], wave.copy()
            for k, first, size in places(table, row, sizes):
                if first >= n:
                    break
                source = recorded[table["file"][row][k]].double().numpy()
                begin = int(table["offset"][row][k] * (source.shape[-1] - size + 1))
                noise = source[..., begin : begin + size].copy()
                fade = min(round(0.01 * RATE), size // 2)
                rise = np.sin((np.arange(fade) + 0.5) * np.pi / 2 / max(fade, 1))
                noise[..., :fade] *= rise
                noise[..., size - fade :] *= rise[::-1]
                noise = noise[..., : n - first]
                ratio = np.sqrt((wave**2).mean() / (noise**2).mean()) * 10 ** (-table["snr_db"][row][k] / 20)
                expected[..., first : first + size] += noise * ratio
                heard += 1
            assert np.abs(result.detach().numpy() - expected).max() <= 1e-6 * np.abs(expected).max()
    assert heard > 60


@BOTH
def test_each_ratio_is_exact(requires_grad: bool) -> None:
    waves, batch = speech()
    recorded = bank(400, 900, 6_000)
    step = ShortNoises(recorded, gap_s=(0.05, 0.2), duration_s=(0.05, 0.1), snr_db=(-10.0, 30.0))
    out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
    table = {name: values.tolist() for name, values in step.draw(batch.ids).items()}
    seen = 0
    for row, (wave, result) in enumerate(zip(waves, out.unpad(), strict=True)):
        added = result.detach().numpy() - wave
        for k, first, size in places(table, row, recorded.sizes.tolist()):
            part = added[first : first + size]
            if len(part):
                ratio = 10 * np.log10((wave**2).mean() / (part**2).mean())
                assert ratio == pytest.approx(table["snr_db"][row][k], abs=1e-3)
                added[first : first + size] = 0
                seen += 1
        assert not added.any(), "something lies between the noises"
    assert seen > 12


def test_density_does_not_depend_on_the_length() -> None:
    """A gap of 0.1 s and noises of 0.05 s: the share of changed samples; the first comes early in short items."""
    step = ShortNoises(bank(400), gap_s=0.1, duration_s=1.0, max_noises=400)
    waves = torch.randn(60, 20 * RATE)
    batch = ofs.PaddedBatch(waves, torch.tensor([800, 20 * RATE] * 30), float(RATE), torch.arange(60))
    changed = step(batch).data != waves.masked_fill(~batch.mask(), 0)
    assert changed[1::2].double().mean() == pytest.approx(1 / 3, abs=0.01)
    assert changed[::2, :800].any(1).sum() > 25
    few = ShortNoises(bank(400), gap_s=0.1, max_noises=3)(batch).data != waves.masked_fill(~batch.mask(), 0)
    assert few[1::2].sum(1).tolist() == [1_200] * 30


def test_noises_do_not_click() -> None:
    """They rise from and fall to nothing; without a fade they do not."""
    hum = ofs.WaveformBank([torch.ones(4_000)], rate=RATE)
    wave = torch.ones(8_000)
    for fade_s, step in ((0.05, 0.01), (0.0, 0.5)):
        added = ShortNoises(hum, gap_s=(0.1, 0.2), duration_s=0.2, fade_s=fade_s, snr_db=0.0)(wave) - wave
        assert (added.diff().abs().max() < step) == (fade_s > 0)


@BOTH
@pytest.mark.filterwarnings("ignore:.*silent places of a recording")
def test_silence_gets_nothing_and_gives_nothing(requires_grad: bool) -> None:
    quiet = ofs.WaveformBank([torch.cat([torch.zeros(5_000), torch.ones(1)])], rate=RATE)
    batch = ofs.pad([torch.zeros(500), torch.randn(700), torch.zeros(0)], rate=RATE, ids=[1, 2, 3])
    data = batch.data.requires_grad_(requires_grad)
    heard = ShortNoises(bank(60, 9_000), **DENSE)(batch._replace(data=data)).data
    same = ShortNoises(quiet, gap_s=0.01, duration_s=0.02)(batch._replace(data=data)).data
    assert not heard[0].any()
    assert (heard[1] != data[1]).any()
    assert torch.equal(same, data)
    if requires_grad:
        (heard + same).square().sum().backward()
        assert torch.isfinite(data.grad).all()


def test_draws_are_even() -> None:
    step = ShortNoises(bank(*range(1, 11)), snr_db=(0.0, 24.0), gap_s=(0.5, 4.0), duration_s=(0.1, 1.0))
    table = {name: values.numpy() for name, values in step.draw(torch.arange(5_000)).items()}
    assert stats.kstest(table["snr_db"][:, 3], stats.uniform(0.0, 24.0).cdf).pvalue > 1e-4
    assert stats.kstest(table["gap_s"][:, 1], stats.uniform(0.5, 3.5).cdf).pvalue > 1e-4
    assert stats.kstest(table["gap_s"][:, 0], stats.uniform(0.0, 4.0).cdf).pvalue > 1e-4
    assert stats.kstest(table["duration_s"][:, 15], stats.uniform(0.1, 0.9).cdf).pvalue > 1e-4
    assert stats.kstest(table["offset"][:, 0], "uniform").pvalue > 1e-4
    assert stats.chisquare(np.bincount(table["file"][:, 7], minlength=10)).pvalue > 1e-4
    assert abs(np.corrcoef(table["snr_db"][:, 0], table["snr_db"][:, 1])[0, 1]) < 5 / 5_000**0.5


def test_options_change_the_output() -> None:
    batch = ofs.pad([torch.randn(9_000)], rate=RATE, ids=[1])
    base: dict[str, Any] = {"bank": bank(50, 700), "gap_s": 0.05, "duration_s": 0.05}
    others = {"bank": bank(50, 700, 900), "snr_db": 3.0, "gap_s": 0.02, "duration_s": 0.02, "fade_s": 0.0}
    plain = ShortNoises(**base)(batch).data
    for name, value in {**others, "max_noises": 1, "p": 0.0, "seed": 1}.items():
        assert (ShortNoises(**{**base, name: value})(batch).data - plain).abs().max() > 1e-3, name


@needs_compiler
def test_compiles_whole() -> None:
    step = ShortNoises(bank(40, 900), **DENSE)
    batch = ofs.pad([torch.randn(3_000), torch.randn(900)], rate=RATE, ids=[3, 4])
    torch._dynamo.reset()
    out = torch.compile(step, fullgraph=True, backend="eager")(batch)
    assert torch.allclose(out.data, step(batch).data, atol=1e-5)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"ShortNoises: expected gap_s to be a finite number between 0 and inf, got"):
        ShortNoises(bank(9), gap_s=(-1.0, 1.0))
    with pytest.raises(ValueError, match=r"ShortNoises: expected max_noises to be an integer of at least 1, got 0\."):
        ShortNoises(bank(9), max_noises=0)
    with pytest.raises(ValueError, match=r"ShortNoises: expected a batch of 8000 Hz, the rate of its bank, got 16000"):
        ShortNoises(bank(9))(ofs.pad([torch.ones(5)], rate=16_000))
    with pytest.raises(TypeError, match=r"ShortNoises: expected a WaveformBank, got NoneType\."):
        ShortNoises(None)
