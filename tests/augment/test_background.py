"""Backgrounds: their ratio, which samples they are made of, loops, silence, and what must fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from case import needs_compiler
from families.noise import bank
from ontheflyspec.augment import AddBackgroundNoise, Babble
from ontheflyspec.kernels.cpu.backgrounds import excerpt
from ontheflyspec.recordings import LOOP_FADE_S

RATE = 8_000
SIZES = (1, 2, 30, 700, 4_097, 20_000)
BOTH = pytest.mark.parametrize("requires_grad", [False, True])


def speech(channels: int | None = None, sizes: tuple[int, ...] = SIZES) -> tuple[list[np.ndarray], Any]:
    """Returns waves 10 dB apart and their batch, NaN in the padding."""
    lead = () if channels is None else (channels,)
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal((*lead, size)) * 10 ** (-place / 2) for place, size in enumerate(sizes)]
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(len(sizes)) * 31)
    mask = batch.mask().unflatten(0, (len(sizes), *[1] * len(lead)))
    return waves, batch._replace(data=torch.where(mask, batch.data, float("nan")))


def looped(wave: np.ndarray, offset: float, n: int) -> np.ndarray:
    """Returns n samples of a wave ``[C, size]`` from a drawn start on, sample by sample."""
    size = wave.shape[-1]
    if size >= n:
        first = int(offset * (size - n + 1))
        return wave[:, first : first + n]
    fade = min(round(LOOP_FADE_S * RATE), size // 2)
    period = size - fade
    out = np.zeros((len(wave), n))
    for place in range(n):
        here = (int(offset * period) + place) % period
        out[:, place] = wave[:, here]
        if here < fade:
            angle = (here + 0.5) / fade * np.pi / 2
            out[:, place] = wave[:, here] * np.sin(angle) + wave[:, here + period] * np.cos(angle)
    return out


@BOTH
@pytest.mark.parametrize("channels", [None, 2])
@pytest.mark.parametrize("kind", [AddBackgroundNoise, Babble])
def test_ratio_is_exact(kind: Any, channels: int | None, requires_grad: bool) -> None:
    """Signal power over noise power of each item's own samples, for noises cut and looped."""
    waves, batch = speech(channels)
    for seed in range(3):
        step = kind(bank(50, 700, 6_000, 30_000), snr_db=(-10.0, 40.0), seed=seed)
        out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
        for wave, found, snr_db in zip(waves, out.unpad(), step.draw(batch.ids)["snr_db"].tolist(), strict=True):
            added = found.detach().numpy() - wave
            assert 10 * np.log10((wave**2).sum() / (added**2).sum()) == pytest.approx(snr_db, abs=1e-3)


@BOTH
@pytest.mark.parametrize("channels", [None, 2])
def test_samples_are_those_of_the_recording(channels: int | None, requires_grad: bool) -> None:
    """Every item has its own file and place; the rest is a factor."""
    waves, batch = speech(channels)
    recorded = bank(50, 700, 6_000, 30_000, channels=channels)
    seen = set()
    for seed in range(4):
        step = AddBackgroundNoise(recorded, seed=seed)
        out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
        table = step.draw(batch.ids)
        files, offsets = table["file"].tolist(), table["offset"].tolist()
        for wave, found, file, offset in zip(waves, out.unpad(), files, offsets, strict=True):
            added = np.atleast_2d(found.detach().numpy() - wave)
            source = looped(np.atleast_2d(recorded[file].double().numpy()), offset, wave.shape[-1])
            np.testing.assert_allclose(added / np.abs(added).max(), source / np.abs(source).max(), atol=2e-6)
            seen.add(file)
    assert seen == {0, 1, 2, 3}


@BOTH
def test_babble_is_a_sum_of_equally_loud_voices(requires_grad: bool) -> None:
    waves, batch = speech()
    recorded = bank(50, 700, 6_000, 30_000)
    step = Babble(recorded, n_speakers=(1, 5))
    out = step(batch._replace(data=batch.data.clone().requires_grad_(requires_grad)))
    table = {name: values.tolist() for name, values in step.draw(batch.ids).items()}
    assert len(set(table["n_speakers"])) > 2
    for row, (wave, found) in enumerate(zip(waves, out.unpad(), strict=True)):
        total = np.zeros(wave.shape)
        for k in range(table["n_speakers"][row]):
            source = recorded[table["file"][row][k]].double().numpy()[None]
            voice = looped(source, table["offset"][row][k], len(wave))[0]
            total += voice / np.sqrt((voice**2).mean())
        added = found.detach().numpy() - wave
        np.testing.assert_allclose(added / np.abs(added).max(), total / np.abs(total).max(), atol=3e-6)


def test_channels_of_a_batch_share_a_noise_of_one() -> None:
    waves, batch = speech(2)
    out = AddBackgroundNoise(bank(700, 30_000))(batch)
    for wave, found in zip(waves, out.unpad(), strict=True):
        added = found.numpy() - wave
        np.testing.assert_allclose(added[0], added[1], atol=1e-12)


def test_loops_keep_their_power() -> None:
    """Where the end fades into the start there is neither more nor less."""
    draws = np.random.default_rng(3)
    power = np.zeros(2_000)
    for _ in range(3_000):
        wave = torch.from_numpy(draws.standard_normal((1, 500)))
        power += excerpt(wave, 0.5, 2_000, 160, wave)[0].numpy() ** 2
    assert np.abs(power / 3_000 - 1).max() < 6 * (2 / 3_000) ** 0.5


def test_loops_do_not_click() -> None:
    """A slow wave has no step where it goes round."""
    wave = torch.sin(torch.arange(1_000.0) * 0.01)[None]
    assert torch.equal(excerpt(wave, 0.0, 1_000, 160, wave), wave)
    assert excerpt(wave, 0.3, 5_000, 160, wave).diff().abs().max() < 0.03
    assert excerpt(wave, 0.3, 5_000, 0, wave).diff().abs().max() > 0.5


@BOTH
@pytest.mark.filterwarnings("ignore:.*silent places of a recording")
def test_silence_gets_nothing_and_gives_nothing(requires_grad: bool) -> None:
    """A silent item among others, one without samples, and a noise that is silent where it is cut."""
    quiet = torch.cat([torch.zeros(5_000), torch.ones(1)])
    batch = ofs.pad([torch.zeros(50), torch.randn(70), torch.zeros(0)], rate=RATE, ids=[1, 2, 3])
    data = batch.data.requires_grad_(requires_grad)
    for kind in (AddBackgroundNoise, Babble):
        heard = kind(bank(60, 9_000))(batch._replace(data=data)).data
        assert not heard[0].any()
        assert (heard[1] != data[1]).any()
        same = kind(ofs.WaveformBank([quiet], rate=RATE))(batch._replace(data=data)).data
        assert torch.equal(same, data)
        assert torch.isfinite(heard).all()
        if requires_grad:
            (heard + same).square().sum().backward()
            assert torch.isfinite(data.grad).all()


@BOTH
def test_voices_that_cancel_add_nothing(requires_grad: bool) -> None:
    """Rounding is not made loud: two voices of opposite sign under items of one sample."""
    voices = ofs.WaveformBank([torch.full((2,), 0.1 * level) for level in range(-20, 21) if level], rate=RATE)
    step = Babble(voices, n_speakers=2)
    data = torch.ones(64, 1).requires_grad_(requires_grad)
    batch = ofs.PaddedBatch(data, torch.ones(64, dtype=torch.int64), float(RATE), torch.arange(64))
    unlike = (step.draw(batch.ids)["file"] < 20).sum(1) == 1
    assert 8 < unlike.sum() < 56
    assert torch.equal((step(batch).data == 1).flatten(), unlike)


def test_integers_are_as_good_as_floats() -> None:
    waves = [torch.randint(-9_000, 9_000, (size,), dtype=torch.int16) for size in (60, 900)]
    whole = AddBackgroundNoise(ofs.WaveformBank(waves, rate=RATE))
    parts = AddBackgroundNoise(ofs.WaveformBank([wave / 32_768 for wave in waves], rate=RATE))
    batch = speech(sizes=(300, 700))[1]
    for data in (batch.data, batch.data.clone().requires_grad_()):
        one, other = whole(batch._replace(data=data)), parts(batch._replace(data=data))
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(one.unpad(), other.unpad(), strict=True))


@pytest.mark.parametrize("kind", [AddBackgroundNoise, Babble])
def test_draws_are_even(kind: Any) -> None:
    step = kind(bank(*range(1, 11)), snr_db=(3.0, 30.0))
    table = step.draw(torch.arange(5_000))
    assert stats.kstest(table["snr_db"].numpy(), stats.uniform(3.0, 27.0).cdf).pvalue > 1e-4
    assert stats.kstest(table["offset"].flatten().numpy(), "uniform").pvalue > 1e-4
    assert stats.chisquare(np.bincount(table["file"].flatten().numpy(), minlength=10)).pvalue > 1e-4
    if kind is Babble:
        counts = np.bincount(table["n_speakers"].numpy(), minlength=8)
        assert not counts[:3].any()
        assert stats.chisquare(counts[3:]).pvalue > 1e-4


def test_options_change_the_output() -> None:
    batch = speech()[1]
    small, large = bank(50, 700), bank(50, 700, 900)
    for kind, options in (
        (AddBackgroundNoise, {"bank": large, "snr_db": 5.0, "p": 0.0, "seed": 1}),
        (Babble, {"bank": large, "n_speakers": 2, "snr_db": 5.0, "p": 0.0, "seed": 1}),
    ):
        base = kind(small)(batch).unpad()
        for name, value in options.items():
            other = kind(**{"bank": small, name: value})(batch).unpad()
            assert max(float((a - b).abs().max()) for a, b in zip(base, other, strict=True)) > 1e-3, name


def test_a_table_counts_round_in_a_smaller_bank() -> None:
    batch = speech()[1]
    table = AddBackgroundNoise(bank(*[900] * 7)).draw(batch.ids)
    step = AddBackgroundNoise(bank(900, 1_000))
    expected = step.replay(batch, {**table, "file": table["file"] % 2})
    assert all(torch.equal(a, b) for a, b in zip(step.replay(batch, table).unpad(), expected.unpad(), strict=True))


def test_bare_tensors_have_the_rate_of_the_bank() -> None:
    step = AddBackgroundNoise(bank(900))
    assert step(torch.ones(500)).shape == (500,)
    assert ofs.Compose([ofs.augment.TimeShift(), step])(torch.ones(3, 500)).shape == (3, 500)


def test_any_object_with_packed_waves_is_a_bank() -> None:
    known = bank(900, 1_000)
    names = ("samples", "begins", "sizes", "rate", "channels", "longest")
    plain = type("Plain", (), {"__len__": lambda _: 2, **{name: getattr(known, name) for name in names}})()
    batch = speech()[1]
    assert torch.equal(AddBackgroundNoise(plain)(batch).data, AddBackgroundNoise(known)(batch).data)


def test_lengths_stay() -> None:
    for step in (AddBackgroundNoise(bank(900), p=0.5), Babble(bank(900))):
        assert step.output_lengths(7) == 7
        assert step.output_lengths(torch.tensor([7, 0])).tolist() == [7, 0]


@needs_compiler
def test_compiles_whole() -> None:
    step = Babble(bank(40, 900), n_speakers=(1, 2))  # of which background noise is the first voice
    batch = ofs.pad([torch.randn(300), torch.randn(90)], rate=RATE, ids=[3, 4])
    torch._dynamo.reset()
    out = torch.compile(step, fullgraph=True, backend="eager")(batch)
    assert torch.allclose(out.data, step(batch).data, atol=1e-5)


def test_what_must_fit() -> None:
    step = AddBackgroundNoise(bank(900))
    with pytest.raises(ValueError, match=r"AddBackgroundNoise: expected a batch of 8000 Hz, the rate of its bank, got"):
        step(ofs.pad([torch.ones(5)], rate=16_000))
    with pytest.raises(ValueError, match=r"AddBackgroundNoise: expected a batch that knows its rate"):
        step(ofs.PaddedBatch(torch.ones(1, 5), torch.tensor([5]), None))
    with pytest.raises(
        ValueError, match=r"Babble: expected a batch of 2 channels, as its bank has, got 3\..*mono=True"
    ):
        Babble(bank(900, channels=2))(ofs.pad([torch.ones(3, 5)], rate=RATE))
    with pytest.raises(ValueError, match=r"expected a bank on the device of the batch, cpu, got meta\. .*to\('cpu'\)"):
        AddBackgroundNoise(bank(900).to("meta"))(ofs.pad([torch.ones(5)], rate=RATE))
    with pytest.raises(TypeError, match=r"AddBackgroundNoise: expected a WaveformBank, got list\..*from_folder"):
        AddBackgroundNoise([torch.ones(4)])
    with pytest.raises(ValueError, match=r"Babble: expected n_speakers to be an integer of at least 1, got 0\."):
        Babble(bank(900), n_speakers=0)
    with pytest.raises(ValueError, match=r"AddBackgroundNoise: expected snr_db as \(low, high\) with low <= high"):
        AddBackgroundNoise(bank(900), snr_db=(9.0, 1.0))
