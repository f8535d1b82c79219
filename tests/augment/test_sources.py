"""Sources of noise: banks on disk, silent places, levels, steps of the noise alone, early parts of rooms."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch

import ontheflyspec as ofs
from ontheflyspec.augment import recorded
from ontheflyspec.recordings import silent_runs

RATE = 8_000


def waves(seed=0, sizes=(3_000, 900, 5_000)):
    draws = np.random.default_rng(seed)
    return [(0.1 * draws.standard_normal(size)).astype("f4") for size in sizes]


def batch(sizes=(1_200, 700, 2_000), seed=1):
    items = [torch.from_numpy(np.sin(np.arange(size) * 0.1 + seed)).float() for size in sizes]
    return ofs.pad(items, rate=RATE, ids=torch.arange(len(sizes)) + 10)


@pytest.fixture
def folder(tmp_path):
    for place, wave in enumerate(waves()):
        soundfile.write(tmp_path / f"{place}.wav", wave, RATE, subtype="PCM_16")
    return tmp_path


def steps(bank):
    return [
        ofs.augment.AddBackgroundNoise(bank),
        ofs.augment.Babble(bank, n_speakers=(2, 4)),
        ofs.augment.ShortNoises(bank, gap_s=(0.0, 0.02), duration_s=(0.01, 0.05), max_noises=4),
        ofs.augment.AddBackgroundNoise(bank, level_db=(-40.0, -20.0), p=0.5),
    ]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("channels", [1, 2])
def test_banks_on_disk_give_what_those_in_memory_give(tmp_path, number, channels):
    for place, wave in enumerate(waves()):
        data = wave if channels == 1 else np.stack([wave, wave[::-1]], 1)
        soundfile.write(tmp_path / f"{place}.wav", data, RATE, subtype="PCM_16")
    options = {"sample_rate": RATE, "mono": channels == 1}
    disk = ofs.WaveformBank.from_folder(tmp_path, keep="disk", **options)
    memory = ofs.WaveformBank.from_folder(tmp_path, **options)
    assert disk.samples.numel() == 0
    assert (len(disk), disk.sizes.tolist(), disk.longest) == (3, memory.sizes.tolist(), memory.longest)
    assert torch.allclose(disk[1], memory[1].float() / 32768)
    x = batch()
    if channels == 2:
        x = x._replace(data=torch.stack([x.data, x.data], 1))
    ours, theirs = steps(disk)[number], steps(memory)[number]
    table = theirs.draw(x)
    filled = ours.draw(x) | table
    for params in (filled, ours.draw(x)):
        once, again = ours.replay(x, params), ours.replay(x, params)
        assert once.data.equal(again.data)
    torch.testing.assert_close(ours.replay(x, filled).data, theirs.replay(x, table).data, rtol=0, atol=2e-6)
    for row in range(3):  # alone as in the batch
        one = ofs.pad([x.unpad()[row]], rate=RATE, ids=x.ids[row : row + 1])
        assert ours(one).data[0].equal(ours(x).unpad()[row])


def test_disk_banks_resample_and_pickle(tmp_path):
    soundfile.write(tmp_path / "a.flac", waves()[2], 11_025)
    bank = ofs.WaveformBank.from_paths([tmp_path / "a.flac"], sample_rate=RATE, keep="disk")
    memory = ofs.WaveformBank.from_paths([tmp_path / "a.flac"], sample_rate=RATE)
    chain = ofs.Compose([ofs.augment.AddBackgroundNoise(bank, snr_db=0.0)], seed=3)
    twin = pickle.loads(pickle.dumps(chain))
    assert twin(batch()).data.equal(chain(batch()).data)
    assert "1 waves on disk" in bank.extra_repr()
    noise = chain(batch()).data - batch().data
    whole = memory[0].double().numpy()
    for row, size in ((0, 1_200), (2, 2_000)):  # each excerpt lies in the recording
        part = noise[row, :size].double().numpy()
        match = np.correlate(whole, part, "valid")
        energy = np.sqrt(np.convolve(whole**2, np.ones(size), "valid") * (part**2).sum())
        assert (match / energy).max() > 0.999


def test_a_bad_file_of_a_disk_bank(folder):
    bank = ofs.WaveformBank.from_folder(folder, sample_rate=RATE, keep="disk", on_error="skip")
    data = (folder / "2.wav").read_bytes()
    (folder / "2.wav").write_bytes(data[:-3_000])
    step = ofs.augment.AddBackgroundNoise(bank)
    x = batch()
    table = step.draw(x) | {"file": [2, 0, 2]}
    made = step.replay(x, table)
    assert all((row != other).any() for row, other in zip(made.unpad(), x.unpad(), strict=True))
    assert [failure.path[-5:] for failure in bank.failures] == ["2.wav"]
    strict = ofs.WaveformBank.from_paths([folder / "0.wav"], sample_rate=RATE, keep="disk")
    (folder / "0.wav").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"0\.wav"):
        ofs.augment.AddBackgroundNoise(strict)(x)
    with pytest.raises(ValueError, match="keep"):
        ofs.WaveformBank.from_folder(folder, sample_rate=RATE, keep="tape")
    with pytest.raises(TypeError, match="responses in memory, got a bank on disk"):
        ofs.augment.ApplyImpulseResponse(bank)


def test_silent_runs():
    samples = torch.tensor([0] * 10 + [1, 0, 0, 1] + [0] * 9 + [5] + [0] * 8, dtype=torch.int16)
    runs = silent_runs(samples, torch.tensor([0, 24]), torch.tensor([24, 8]), 1)
    assert runs.tolist() == [[0, 14, 24], [10, 23, 32]]
    two = torch.tensor([[0] * 12, [1] + [0] * 11]).flatten()
    assert silent_runs(two, torch.tensor([0]), torch.tensor([12]), 2).tolist() == [[1], [12]]


def half_silent(size=8_000, sounding=800):
    wave = np.zeros(size, "f4")
    wave[:sounding] = waves()[0][:sounding]
    return wave


@pytest.mark.parametrize("keep", ["memory", "disk"])
@pytest.mark.parametrize("number", range(3))
def test_a_silent_place_draws_another(tmp_path, keep, number):
    soundfile.write(tmp_path / "a.wav", half_silent(sounding=3_000), RATE, subtype="PCM_16")
    bank = ofs.WaveformBank.from_folder(tmp_path, sample_rate=RATE, keep=keep)
    items = ofs.pad([torch.ones(400)] * 60, rate=RATE, ids=torch.arange(60))
    step = [
        ofs.augment.AddBackgroundNoise(bank),
        ofs.augment.Babble(bank, n_speakers=1),
        ofs.augment.ShortNoises(bank, gap_s=0.0, duration_s=0.05, max_noises=1),
    ][number]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changed = (step(items).data != items.data).any(1).float().mean()
    assert changed > 0.95  # 3/8 of the places are heard: 0.4 at the first try, 1 - (5/8)^8 = 0.977 in eight


def test_silence_is_said_once():
    bank = ofs.WaveformBank([half_silent(80_000, 20)], rate=RATE)
    items = ofs.pad([torch.ones(400)] * 30, rate=RATE, ids=torch.arange(30))
    step = ofs.augment.AddBackgroundNoise(bank)
    with pytest.warns(UserWarning, match="8 silent places of a recording in a row"):
        step(items)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(items)


def test_banks_without_silence_draw_no_more_than_before():
    bank = ofs.WaveformBank(waves(), rate=RATE)
    assert set(ofs.augment.AddBackgroundNoise(bank).ranges()) == {"file", "offset", "snr_db"}
    with_zeros = ofs.WaveformBank([*waves(), half_silent()], rate=RATE)
    one, other = ofs.augment.AddBackgroundNoise(bank), ofs.augment.AddBackgroundNoise(with_zeros)
    table, longer = one.draw(batch()), other.draw(batch())
    assert np.shape(longer["other_offset"]) == (3, recorded.TRIES - 1)
    assert (table["offset"], table["snr_db"]) == (longer["offset"], longer["snr_db"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_level_holds_whatever_the_signal(dtype):
    bank = ofs.WaveformBank(waves(), rate=RATE)
    step = ofs.augment.AddBackgroundNoise(bank, level_db=(-50.0, -20.0))
    x = batch()
    x = x._replace(data=torch.cat([x.data[:2], torch.zeros(1, 2_000)]).to(dtype))  # the last one is silent
    table = step.draw(x)
    noise = step.replay(x, table).data - x.data
    for row, (size, level) in enumerate(zip(x.lengths.tolist(), table["level_db"], strict=True)):
        found = 10 * np.log10(noise[row, :size].double().square().mean().item())
        assert found == pytest.approx(level, abs=1e-3)
        assert not noise[row, size:].any()
    with pytest.raises(ValueError, match=r"snr_db or level_db, got snr_db=3.0 and level_db=-20.0"):
        ofs.augment.AddBackgroundNoise(bank, snr_db=3.0, level_db=-20.0)


def test_the_noise_goes_through_its_own_steps():
    """The ratio is that of the changed noise, which a filter written by hand gives as well."""
    bank = ofs.WaveformBank([waves(sizes=(9_000,))[0]], rate=RATE)
    x = batch()
    muffled = ofs.augment.AddBackgroundNoise(
        bank, snr_db=5.0, noise_transform=ofs.Compose([ofs.LowPass(cutoff_hz=500.0), ofs.augment.Gain(gain_db=(0, 6))])
    )
    plain = ofs.augment.AddBackgroundNoise(bank, snr_db=5.0)
    table = muffled.draw(x)
    assert set(table["noise_transform"]) == {"1"}
    noise, dry = (step.replay(x, table).data - x.data for step in (muffled, plain))
    for row, size in enumerate(x.lengths.tolist()):
        assert not noise[row, size:].any()
        ratio = x.data[row, :size].double().square().mean() / noise[row, :size].double().square().mean()
        assert 10 * np.log10(ratio.item()) == pytest.approx(5.0, abs=1e-3)
        alone = ofs.LowPass(cutoff_hz=500.0)(ofs.pad([dry[row, :size]], rate=RATE)).data[0]
        ratio = (noise[row, :size].norm() / alone.norm()).item()
        torch.testing.assert_close(noise[row, :size], alone * ratio, rtol=0, atol=2e-5)
        one = ofs.pad([x.unpad()[row]], rate=RATE, ids=x.ids[row : row + 1])
        assert muffled(one).data[0].equal(muffled(x).unpad()[row])
    fixed = ofs.augment.AddBackgroundNoise(bank, noise_transform=ofs.LowPass(cutoff_hz=500.0))
    assert "noise_transform" not in fixed.draw(x)
    assert fixed(x).data.isfinite().all()
    rooms = ofs.augment.ApplyImpulseResponse(ofs.WaveformBank([np.array([1.0, 0.5], "f4")], rate=RATE))
    assert ofs.augment.AddBackgroundNoise(bank, noise_transform=rooms)(x).data.isfinite().all()


def test_a_noise_transform_that_does_not_fit():
    bank = ofs.WaveformBank(waves(), rate=RATE)
    with pytest.raises(TypeError, match="a noise_transform of waves, got AmplitudeToDB"):
        ofs.augment.AddBackgroundNoise(bank, noise_transform=ofs.AmplitudeToDB())
    for step in (ofs.augment.RandomCrop(seconds=0.02), ofs.MelSpectrogram(sample_rate=RATE, n_fft=256, n_mels=20)):
        with pytest.raises(ValueError, match="gives waves as long as its own"):
            ofs.augment.AddBackgroundNoise(bank, noise_transform=step)(batch())


@pytest.mark.parametrize("channels", [1, 2])
def test_the_early_part_of_a_response(channels):
    draws = np.random.default_rng(3)
    response = draws.standard_normal((channels, 3_000)) * np.exp(-np.arange(3_000) / 500)
    response[:, 70] = 9.0  # the direct path
    bank = ofs.WaveformBank([(response if channels == 2 else response[0]).astype("f4")], rate=RATE)
    x = batch()
    if channels == 2:
        x = x._replace(data=torch.stack([x.data, x.data], 1))
    whole, early = (ofs.augment.ApplyImpulseResponse(bank, part=part) for part in ("whole", "early"))
    table = whole.draw(x)
    made, target = whole.replay(x, table), early.replay(x, table)
    cut = response[:, : 70 + 1 + round(0.05 * RATE)] / np.sqrt((response**2).sum(1).mean())
    for row, size in enumerate(x.lengths.tolist()):
        wave = np.atleast_2d(x.data[row, ..., :size].double().numpy())
        expected = np.stack(
            [scipy.signal.fftconvolve(one, h)[70 : 70 + size] for one, h in zip(wave, cut, strict=True)]
        )
        found = np.atleast_2d(target.data[row, ..., :size].numpy())
        assert abs(found - expected).max() < 1e-5 * abs(expected).max()
    assert not made.data.equal(target.data)
    assert bank.sizes.tolist() == [3_000]  # the bank stays as it is
