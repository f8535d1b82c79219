"""GriffinLim against librosa: the same waves from the same phases, and as near to the magnitudes from random ones."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.functional import griffin_lim

KNOWN = {"n_fft": 512, "hop_length": 128}


@pytest.fixture(scope="module")
def voices() -> list[np.ndarray]:
    """Two voice-like waves at 16 kHz: gliding harmonics that come and go, over noise 40 dB down."""
    made = []
    for seed, (seconds, pitch) in enumerate([(1.5, 120.0), (0.8, 210.0)]):
        t = np.arange(int(16_000 * seconds)) / 16_000
        turns = np.cumsum(pitch * (1 + 0.2 * np.sin(2 * np.pi * 1.3 * t))) / 16_000
        tones = sum(np.exp(-order / 12) * np.sin(2 * np.pi * order * turns) for order in range(1, 30))
        noise = np.random.default_rng(seed).standard_normal(len(t))
        made.append(0.1 * tones * np.sin(2 * np.pi * 2.1 * t) ** 2 + 1e-3 * noise)
    return made


def magnitudes(wave, **options):
    return np.abs(librosa.stft(np.asarray(wave, dtype=np.float64), **(KNOWN | {"pad_mode": "reflect"} | options)))


def distance(wave, wanted, **options):
    """Returns the spectral convergence, the distance of magnitudes over their size."""
    return np.linalg.norm(magnitudes(wave, **options) - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.0, "n_iter": 5},
        {"pad_mode": "constant", "n_iter": 8},
        {"window": "hamming", "center": False, "n_iter": 8},
        {"win_length": 400, "hop_length": 100, "n_iter": 8, "momentum": 0.5},
    ],
    ids=str,
)
def test_librosa_s_waves_from_zero_phases(voices, options):
    """Each item of a padded batch as librosa's from that item alone."""
    known = KNOWN | options
    frames = {name: value for name, value in known.items() if name not in ("n_iter", "momentum", "n_fft")}
    items = [magnitudes(wave, **frames) for wave in voices]
    batch = ofs.pad([torch.from_numpy(item) for item in items], rate=16_000 / known["hop_length"])
    out = ofs.GriffinLim(sample_rate=16_000, init="zero", **known)(batch)
    assert out.rate == 16_000
    shown = {"n_iter": 32, "momentum": 0.99, "pad_mode": "reflect"} | known
    for ours, item in zip(out.unpad(), items, strict=True):
        theirs = librosa.griffinlim(item, init=None, **shown)
        inside = slice(None)
        if known.get("center") is False:
            # At the ends, where windows hardly reach, librosa leaves sums that it does not divide.
            inside = slice(known["n_fft"], -known["n_fft"])
        assert ours.shape == theirs.shape
        assert np.abs(ours.numpy() - theirs)[inside].max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.parametrize(("n_iter", "momentum"), [(8, 0.0), (32, 0.99)])
def test_random_phases_lead_as_near_as_librosa_s(voices, n_iter, momentum, monkeypatch):
    """Spectral convergence, in float32, in a batch: over some draws librosa's mean, and ours never far above it."""
    options = {"n_iter": n_iter, "momentum": momentum}
    items = [magnitudes(wave) for wave in voices]
    batch = ofs.pad([torch.from_numpy(item).float() for item in items], rate=125)
    ours, theirs = np.zeros((4, 2)), np.zeros((4, 2))
    for draw in range(4):
        monkeypatch.setattr(griffin_lim, "KEY", griffin_lim.KEY + draw)
        waves = ofs.GriffinLim(sample_rate=16_000, **KNOWN, **options)(batch).unpad()
        for place, (wave, item) in enumerate(zip(waves, items, strict=True)):
            other = librosa.griffinlim(item, pad_mode="reflect", random_state=draw, **KNOWN, **options)
            ours[draw, place], theirs[draw, place] = distance(wave.numpy(), item), distance(other, item)
    assert ours.mean() <= 1.1 * theirs.mean()
    assert (ours <= 1.25 * theirs.mean(0)).all()


def test_more_rounds_come_nearer(voices):
    wanted = magnitudes(voices[0])
    makers = [ofs.GriffinLim(sample_rate=16_000, n_iter=n, **KNOWN) for n in (1, 4, 16, 64)]
    gaps = [distance(make(torch.from_numpy(wanted)).numpy(), wanted) for make in makers]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 0.1


def test_each_option_changes_the_wave(voices):
    wanted = torch.from_numpy(magnitudes(voices[1])).float()
    plain = {"sample_rate": 16_000, "n_iter": 4} | KNOWN
    first = ofs.GriffinLim(**plain)(wanted)
    for other in (
        {"n_iter": 5},
        {"momentum": 0.5},
        {"init": "zero"},
        {"window": "blackman"},
        {"pad_mode": "constant"},
        {"win_length": 400},
        {"center": False, "window": "hamming"},
    ):
        wave = ofs.GriffinLim(**{**plain, **other})(wanted)
        assert wave.shape != first.shape or (wave - first).abs().max() > 1e-3 * first.abs().max()


def test_phases_depend_on_bin_and_frame_alone():
    points = griffin_lim.circle()
    drawn = griffin_lim.random_units(257, 400, points)
    torch.manual_seed(5)
    assert torch.equal(griffin_lim.random_units(20, 30, points), drawn[:20, :30])
    assert drawn.square().sum(-1).numpy() == pytest.approx(np.ones((257, 400)))
    complexes = torch.view_as_complex(drawn)
    for order in (1, 2, 3):
        mean = (complexes**order).mean().abs()
        assert mean < 4 / (257 * 400) ** 0.5, "the phases are not even"
    for shift in ((1, 0), (0, 1), (1, 1)):
        turned = (complexes.conj() * complexes.roll(shift, (0, 1))).mean().abs()
        assert turned < 4 / (257 * 400) ** 0.5, "neighbours are alike"


def test_gradients_take_phases_as_constants(voices):
    """With the phases held the wave is linear in the magnitudes, so that its gradient along them is itself."""
    wanted = torch.from_numpy(magnitudes(voices[1])).requires_grad_()
    wave = ofs.GriffinLim(sample_rate=16_000, n_iter=4, **KNOWN)(wanted)
    weights = torch.randn(wave.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (wave * weights).sum().backward()
    along, total = (wanted.grad * wanted).sum().detach(), (wave * weights).sum().detach()
    assert float(along) == pytest.approx(float(total), rel=1e-9)


def test_bad_options_and_input():
    made = ofs.GriffinLim(sample_rate=8_000, n_fft=64, hop_length=16)
    with pytest.raises(ValueError, match=r"GriffinLim: expected n_fft // 2 \+ 1 = 33 bins for n_fft = 64, got 32"):
        made(torch.rand(32, 5))
    with pytest.raises(ValueError, match=r"GriffinLim: .* 500 frames per second .* got 8000"):
        made(ofs.PaddedBatch(torch.rand(1, 33, 5), torch.tensor([5]), 8_000.0))
    with pytest.raises(TypeError, match=r"GriffinLim: .* got complex64"):
        made(torch.rand(33, 5).to(torch.complex64))
    with pytest.raises(ValueError, match=r"momentum to be a finite number between 0 and 1, got 1.5"):
        ofs.GriffinLim(sample_rate=8_000, momentum=1.5)
    with pytest.raises(ValueError, match=r"n_iter .* at least 1, got 0"):
        ofs.GriffinLim(sample_rate=8_000, n_iter=0)
    with pytest.raises(ValueError, match=r"init to be one of 'random' \| 'zero', got 'noise'"):
        ofs.GriffinLim(sample_rate=8_000, init="noise")
    with pytest.raises(ValueError, match=r"hop_length at which 'hann' windows .* got 64\. Lower"):
        ofs.GriffinLim(sample_rate=8_000, n_fft=64, hop_length=64)
