"""Pitch and pace: tones, vowels and clicks where they should be, at each item's own draw."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from scipy import stats

import ontheflyspec as ofs
from ontheflyspec.augment import PitchShift, TimeStretch
from ontheflyspec.augment.base import Info, planned

RATE = 16_000


def tone(hertz: float, n: int) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(n) / RATE) * 0.3


def vowel(hertz: float, n: int) -> np.ndarray:
    """Pulses of a period, through two formants."""
    parts = [
        np.exp(-((k * hertz - 600) ** 2) / 3e5) + 0.5 * np.exp(-((k * hertz - 1_500) ** 2) / 2e5)
        for k in range(1, int(7_000 / hertz))
    ]
    return sum(a * np.cos(2 * np.pi * hertz * (k + 1) * np.arange(n) / RATE) for k, a in enumerate(parts)) * 0.1


def peak_frequency(wave: np.ndarray) -> float:
    """Hz of the strongest bin, between bins by a parabola through the logarithms."""
    middle = wave[len(wave) // 5 : -len(wave) // 5]
    size = 2**19
    power = np.log(np.abs(np.fft.rfft(middle * np.hanning(len(middle)), size)) + 1e-30)
    top = int(power.argmax())
    left, centre, right = power[top - 1 : top + 2]
    return (top + (left - right) / (2 * (left - 2 * centre + right))) * RATE / size


def test_tones_land_where_drawn() -> None:
    """Clips of unlike length in one batch, down and up an octave or two: within 3 cents."""
    hertz = [110.0, 233.7, 440.0, 1_000.0, 2_222.2, 3_111.0]
    batch = ofs.pad([tone(f, 16_000 + 777 * k) for k, f in enumerate(hertz)], rate=RATE, ids=torch.arange(6))
    for seed in range(4):
        step = PitchShift(semitones=(-24.0, 24.0) if seed == 3 else (-12.0, 12.0), seed=seed)
        drawn = step.draw(batch.ids)["semitones"].tolist()
        assert max(drawn) - min(drawn) > 5
        for f, semitones, found in zip(hertz, drawn, step(batch).unpad(), strict=True):
            cents = 1_200 * np.log2(peak_frequency(found.numpy()) / f) - 100 * semitones
            assert abs(cents) < 3, (f, semitones)
            assert np.sqrt(np.mean(found.numpy()[4_000:12_000] ** 2)) == pytest.approx(0.3 / 2**0.5, rel=0.05)


@pytest.mark.parametrize("rate", [1_000, 8_000, 44_100])
def test_any_rate(rate: int) -> None:
    """A tone at a tenth of the rate lands within 3 cents, whatever the rate is."""
    wave = np.sin(2 * np.pi * 0.1 * np.arange(max(rate, 6_000)))
    for semitones in (-7.3, -0.4, 0.6, 3.9):
        found = PitchShift(semitones=(-8.0, 4.0)).replay(
            ofs.pad([wave], rate=rate), {"active": [True], "semitones": [semitones]}
        )
        cents = 1_200 * np.log2(peak_frequency(found.data[0].numpy()) / (0.1 * RATE)) - 100 * semitones
        assert abs(cents) < 3


@pytest.mark.parametrize("semitones", [-4.0, 3.3])
def test_vowel_by_pyin(semitones: float) -> None:
    wave = vowel(140.0, 9_000)
    higher = PitchShift(semitones=semitones)(ofs.pad([wave], rate=RATE)).data[0].numpy()
    slower = TimeStretch(rate=0.85)(ofs.pad([wave], rate=RATE)).data[0].numpy()
    for found, cents in ((higher, 100 * semitones), (slower, 0.0)):
        f0, voiced, _ = librosa.pyin(found, fmin=80, fmax=250, sr=RATE, resolution=0.04)
        assert voiced[4:-4].all()
        assert 1_200 * np.log2(np.median(f0[4:-4]) / 140.0) == pytest.approx(cents, abs=5)


def test_nothing_folds_back() -> None:
    """A tone that rises above half the rate is gone."""
    out = PitchShift(semitones=12.0)(ofs.pad([tone(5_000.0, 16_000)], rate=RATE)).data[0]
    assert np.abs(np.fft.rfft(out[3_000:13_000].numpy() * np.hanning(10_000))).max() < 0.3 * 2_500 * 1e-3


def test_stretch_at_rate_one_is_the_signal() -> None:
    waves = [torch.randn(n) for n in (1, 2, 700, 16_000, 12_345)]
    for found, wave in zip(TimeStretch(rate=1.0)(ofs.pad(waves, rate=RATE)).unpad(), waves, strict=True):
        assert (found - wave).abs().max() < 2e-6 * max(float(wave.abs().max()), 1)
    shifted = PitchShift(semitones=0.0)(ofs.pad(waves[2:], rate=RATE)).unpad()
    for found, wave in zip(shifted, waves[2:], strict=True):
        assert (found - wave).abs().max() < 1e-5 * float(wave.abs().max())


def test_clicks_keep_time_and_lie_in_their_piece() -> None:
    """A train of clicks every 0.1 s comes out every 0.1 s / rate, each within a hop, however many came before."""
    waves = [np.zeros(20_000 + 3_000 * k) for k in range(4)]
    for wave in waves:
        wave[1_600::1_600] = 1.0
    batch = ofs.pad(waves, rate=RATE, ids=torch.arange(4))
    step = TimeStretch(rate=(0.5, 2.0), p=0.5, seed=5)
    table = step.draw(batch.ids)
    assert 0 < int(table["active"].sum()) < 4
    out, time_map = step.replay(batch, table), planned(step, Info.of(batch, "step"), table).time()
    for k, found in enumerate(out.unpad()):
        level = np.convolve(found.numpy() ** 2, np.hanning(257), "same")
        for click in range(1, len(waves[k]) // 1_600):
            expected = float(time_map.place[k, 0] + (0.1 * click - time_map.start[k, 0]) * time_map.slope[k, 0])
            near = int(expected * RATE)
            window = level[max(near - 700, 0) : near + 700]
            middle = (window * np.arange(len(window))).sum() / window.sum() + max(near - 700, 0)
            assert middle / RATE == pytest.approx(expected, abs=0.0125)
        assert float(time_map.end[k, 0]) == pytest.approx(len(waves[k]) / RATE)


def test_pitch_stays_and_lengths_follow() -> None:
    waves = [tone(300.0 + 100 * k, 14_000 + 501 * k) for k in range(4)]
    batch = ofs.pad([*waves, np.zeros(0), np.ones(1)], rate=RATE, ids=torch.arange(6))
    step = TimeStretch(rate=(0.6, 1.7))
    table = step.draw(batch.ids)
    out = step(batch)
    sizes = [round(n / r) for n, r in zip(batch.lengths.tolist(), table["rate"].tolist(), strict=True)]
    assert out.lengths.tolist() == sizes
    assert step.output_lengths(batch.lengths, table).tolist() == sizes
    for k, found in enumerate(out.unpad()[:4]):
        assert 1_200 * np.log2(peak_frequency(found.numpy()) / (300 + 100 * k)) == pytest.approx(0, abs=0.1)
    with pytest.raises(ValueError, match=r"TimeStretch: expected the table of a draw, got none\."):
        step.output_lengths(100)
    assert TimeStretch(rate=2.0).output_lengths(100) == 50
    assert step.eval().output_lengths(100) == 100


def test_channels_keep_their_phase() -> None:
    """Two channels a quarter of a period apart stay so."""
    n = np.arange(16_000)
    wave = np.stack([np.sin(2 * np.pi * 500 * n / RATE), np.cos(2 * np.pi * 500 * n / RATE)])
    for step in (PitchShift(semitones=2.5), TimeStretch(rate=1.17)):
        left, right = step(ofs.pad([wave], rate=RATE)).data[0][:, 3_000:10_000].numpy()
        assert np.abs(left**2 + right**2 - 1).max() < 0.02


def test_drawn_evenly() -> None:
    ids = torch.arange(5_000)
    drawn = PitchShift(semitones=(-4.0, 4.0)).draw(ids)["semitones"]
    assert stats.kstest(drawn.numpy(), stats.uniform(-4.0, 8.0).cdf).pvalue > 1e-4
    drawn = TimeStretch(rate=(0.8, 1.25)).draw(ids)["rate"]
    assert stats.kstest(drawn.numpy(), stats.uniform(0.8, 0.45).cdf).pvalue > 1e-4


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"PitchShift: expected a batch that knows its rate"):
        PitchShift()(torch.zeros(100))
    batch = ofs.pad([torch.ones(100)], rate=RATE)
    with pytest.raises(ValueError, match=r"PitchShift: expected a table within the range of semitones, up to 1, got 9"):
        PitchShift(semitones=1.0).replay(batch, {"active": [True], "semitones": [9.0]})
    with pytest.raises(ValueError, match="TimeStretch: expected rate"):
        TimeStretch(rate=(0.0, 1.0))
