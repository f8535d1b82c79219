"""Gammatone filters against nnAudio and scipy, and both ways to use them against each other."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

import ontheflyspec as ofs
from benchmarks.peers import peer
from ontheflyspec.functional import gammatone

RATE = 16_000


@pytest.fixture(scope="module")
def items():
    torch.manual_seed(0)
    return [torch.randn(n, dtype=torch.float64) * scale for n, scale in ((20_000, 1.0), (3_000, 1e-3), (100, 0.1))]


@pytest.mark.parametrize(
    ("rate", "n_fft", "n_bins", "fmin", "fmax"),
    [(22_050, 2048, 64, 20.0, 11_025.0), (16_000, 512, 40, 50.0, 7_000.0), (44_100, 2048, 128, 0.0, 22_050.0)],
)
def test_weights_are_those_of_nnaudio(rate, n_fft, n_bins, fmin, fmax):
    theirs = peer("nnAudio.librosa_functions")
    if theirs is None:
        pytest.skip("nnAudio is not installed")
    centres = gammatone.erb_frequencies(n_bins, fmin, fmax)
    ours = gammatone.gammatone_filterbank(rate, n_fft, centres, 1.0, None).numpy()
    wanted = n_fft * theirs.get_gammatone(rate, n_fft, n_bins, fmin, fmax)
    assert np.abs(ours - wanted).max() <= 1e-5 * wanted.max()
    assert np.abs(ours / wanted - 1).max() <= 1e-5
    points = theirs.fft2gammatonemx(rate, n_fft, n_bins, 1.0, fmin, fmax, n_fft // 2 + 1)[1]
    assert centres.numpy() == pytest.approx(points, rel=1e-9, abs=1e-9)


def test_responses_are_scipy_s():
    """Slaney's filters again, as scipy has them; at low frequencies its polynomials lose digits."""
    bins = np.arange(257) * RATE / 512
    centres = torch.tensor([600.0, 2_000.0, 6_400.0], dtype=torch.float64)
    ours = gammatone.gammatone_filterbank(RATE, 512, centres, 2.0, "slaney")
    for row, hertz in zip(ours.numpy(), centres.tolist(), strict=True):
        response = scipy.signal.freqz(*scipy.signal.gammatone(hertz, "iir", fs=RATE), worN=bins, fs=RATE)[1]
        wanted = np.abs(response) ** 2 / (24.7 + hertz / 9.26449)
        assert np.abs(row - wanted).max() <= 1e-5 * wanted.max()


@pytest.mark.parametrize("power", [1.0, 2.0, 1.5])
@pytest.mark.parametrize("backend", ["fft", "conv"])
def test_fft_is_nnaudio_s_weights_for_each_item(items, backend, power):
    theirs = peer("nnAudio.librosa_functions")
    if theirs is None:
        pytest.skip("nnAudio is not installed")
    options = {"n_bins": 40, "fmin": 50.0, "fmax": 7_000.0}
    weights = 512 * theirs.get_gammatone(RATE, 512, **options).astype(np.float64)
    known = {"sample_rate": RATE, "n_fft": 512, "hop_length": 160, "power": power, "backend": backend}
    module = ofs.Gammatonegram(**known, **options)
    for ours, item in zip(module(ofs.pad(items, rate=RATE)).unpad(), items, strict=True):
        padded = np.pad(item.numpy(), 256, mode="reflect")
        spectrum = np.abs(librosa.stft(padded, n_fft=512, hop_length=160, center=False, dtype=np.complex128))
        wanted = weights**power @ spectrum**power
        assert np.abs(ours.numpy() - wanted).max() <= 1e-5 * wanted.max()


def test_fft_is_nnaudio_s_transform_of_magnitudes(music):
    features = peer("nnAudio.features")
    if features is None:
        pytest.skip("nnAudio is not installed")
    options = {"n_fft": 512, "hop_length": 160, "n_bins": 40, "fmin": 50.0, "fmax": 7_000.0, "power": 1.0}
    theirs = features.Gammatonegram(sr=RATE, verbose=False, **options)(music)[0]
    ours = ofs.Gammatonegram(sample_rate=RATE, **options)(music) / 512
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.max()


OPTIONS = [
    {},
    {"power": 1.0, "norm": "slaney"},
    {"power": 1.5, "center": False, "win_length": 400, "window": "hamming"},
    {"pad_mode": "constant", "hop_length": 600, "window": "blackman"},
    {"n_fft": 301, "hop_length": 77, "norm": "slaney"},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_impulse_is_scipy_s_for_each_item(items, options, dtype):
    known = {"n_fft": 512, "hop_length": 160, "power": 2.0, "center": True, "pad_mode": "reflect"} | options
    module = ofs.Gammatonegram(sample_rate=RATE, n_bins=5, fmin=50.0, method="impulse", **known)
    n_fft, hop = known["n_fft"], known["hop_length"]
    size = known.get("win_length", n_fft)
    left = (n_fft - size) // 2
    window = np.pad(scipy.signal.get_window(known.get("window", "hann"), size), (left, n_fft - size - left))
    batch = ofs.pad([item.to(dtype) for item in items], rate=RATE)
    watched = module(batch._replace(data=batch.data.clone().requires_grad_())).unpad()
    for ours, other, item in zip(module(batch).unpad(), watched, items, strict=True):
        signal = item.numpy()
        if known["center"]:
            signal = np.pad(signal, (n_fft // 2, n_fft - n_fft // 2), mode=known["pad_mode"])
        wanted = []
        for hertz in module.frequencies.tolist():
            taps = scipy.signal.gammatone(hertz, "fir", order=4, numtaps=3_000, fs=RATE)[0]
            gain = np.abs(taps @ np.exp(-2j * np.pi * hertz * np.arange(3_000) / RATE))
            let_through = scipy.signal.lfilter(taps / gain, 1.0, signal)
            frames = [let_through[i : i + n_fft] for i in range(0, len(signal) - n_fft + 1, hop)]
            means = np.array([window @ frame**2 / window.sum() for frame in frames])
            width = 24.7 + hertz / 9.26449 if known.get("norm") else 1.0
            wanted.append(means ** (known["power"] / 2) / width)
        wanted = np.array(wanted)
        assert ours.shape == wanted.shape
        if wanted.size:
            tolerance = 1e-5 if dtype == torch.float32 else 2e-6
            assert np.abs(ours.numpy() - wanted).max() <= tolerance * wanted.max()
            assert np.abs(other.detach().numpy() - wanted).max() <= tolerance * wanted.max()


def test_a_tone_at_a_centre_comes_through_unchanged():
    module = ofs.Gammatonegram(sample_rate=RATE, n_bins=8, n_fft=1024, method="impulse", center=False)
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    for band, hertz in enumerate(module.frequencies.tolist()):
        out = module(torch.sin(2 * torch.pi * hertz * time))
        assert out[band, -3:].numpy() == pytest.approx(0.5, rel=0.08 if band == 0 else 1e-3)
        assert out[:, -1].argmax() == band


def test_both_methods_agree_on_steady_noise():
    """Parseval: bins on one side hold ``n_fft / 2`` times a frame's energy under the squared window."""
    noise = torch.randn(40 * RATE, generator=torch.Generator().manual_seed(0))
    options = {"sample_rate": RATE, "n_fft": 1024, "n_bins": 12, "fmin": 300.0}
    by_fft = ofs.Gammatonegram(**options)(noise).mean(1) / (512 * 1024 * 0.375)
    in_time = ofs.Gammatonegram(**options, method="impulse")(noise).mean(1)
    assert (by_fft / in_time).numpy() == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"method": "iir"}, "method to be one of 'fft'"),
        ({"method": "impulse", "backend": "conv"}, "backend only with method=\"fft\", got backend='conv'. Leave out"),
        ({"norm": 1}, "norm to be one of 'slaney'"),
        ({"fmax": 9_000.0}, "fmax to be a finite number between 0 and 8000"),
        ({"n_bins": 0}, "n_bins to be an integer of at least 1"),
    ],
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.Gammatonegram(sample_rate=RATE, **options)
