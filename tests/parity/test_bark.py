"""Bark spectrograms against the papers' formulas, written out in numpy with scipy's root finder as the inverse."""

from __future__ import annotations

import math

import librosa
import numpy as np
import pytest
import scipy.optimize
import torch

import ontheflyspec as ofs
from ontheflyspec.functional.scales import hz_to_scale, scale_to_hz

RATE = 16_000


def traunmuller(hertz):
    barks = 26.81 / (1 + 1960 / hertz) - 0.53 if hertz else -0.53
    if barks < 2:
        return barks + 0.15 * (2 - barks)
    return barks + 0.22 * (barks - 20.1) if barks > 20.1 else barks


SCALES = {
    "traunmuller": traunmuller,
    "zwicker": lambda hertz: 13 * math.atan(0.76 * hertz / 1000) + 3.5 * math.atan((hertz / 7500) ** 2),
    "schroeder": lambda hertz: 7 * math.asinh(hertz / 650),
    "wang": lambda hertz: 6 * math.asinh(hertz / 600),
}


def filters(scale, n_fft, n_bands, fmin, fmax, norm):
    """Triangles between neighbouring points, bin by bin."""
    to_bark = SCALES[scale]
    barks = np.linspace(to_bark(fmin), to_bark(fmax), n_bands + 2)[1:-1]
    inner = [scipy.optimize.brentq(lambda hertz, z=z: to_bark(hertz) - z, 0, RATE, xtol=1e-11) for z in barks]
    points = [fmin, *inner, fmax]
    weights = np.zeros((n_bands, n_fft // 2 + 1))
    for band in range(n_bands):
        low, centre, high = points[band : band + 3]
        for place in range(n_fft // 2 + 1):
            hertz = place * RATE / n_fft
            side = (hertz - low) / (centre - low) if hertz < centre else (high - hertz) / (high - centre)
            weights[band, place] = max(0.0, side) * (2 / (high - low) if norm else 1)
    return weights, np.array(inner)


@pytest.mark.parametrize("backend", ["fft", "conv"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bark_scale": "zwicker", "norm": "slaney", "n_bands": 40},
        {"bark_scale": "schroeder", "fmin": 50.0, "fmax": 7_000.0, "power": 1.0},
        {"bark_scale": "wang", "power": 1.5, "win_length": 400, "window": "hamming", "pad_mode": "constant"},
    ],
    ids=str,
)
def test_formulas_agree_for_each_item(options, backend):
    torch.manual_seed(0)
    items = [torch.randn(n, dtype=torch.float64) * scale for n, scale in ((8_000, 1.0), (3_000, 1e-3), (100, 0.1))]
    module = ofs.BarkSpectrogram(sample_rate=RATE, n_fft=512, hop_length=160, backend=backend, **options)
    known = {"bark_scale": "traunmuller", "n_bands": 24, "fmin": 0.0, "fmax": RATE / 2, "norm": None} | options
    fourier = {name: known.pop(name) for name in ("win_length", "window") if name in known}
    mode, power = known.pop("pad_mode", "reflect"), known.pop("power", 2.0)
    weights, centres = filters(known.pop("bark_scale"), 512, **known)
    assert module.frequencies.numpy() == pytest.approx(centres, rel=1e-9)
    for ours, item in zip(module(ofs.pad(items, rate=RATE)).unpad(), items, strict=True):
        padded = np.pad(item.numpy(), 256, mode=mode)
        spectrum = librosa.stft(padded, n_fft=512, hop_length=160, center=False, dtype=np.complex128, **fourier)
        wanted = weights @ np.abs(spectrum) ** power
        assert ours.shape == wanted.shape
        assert np.abs(ours.numpy() - wanted).max() <= 1e-5 * wanted.max()


def test_float32_agrees_with_float64(music):
    bark = ofs.BarkSpectrogram(sample_rate=RATE, n_fft=512)
    single, double = bark(music), bark(music.double())
    assert (single - double).abs().max() <= 1e-5 * double.max()


@pytest.mark.parametrize("scale", SCALES)
def test_scales_and_their_inverses(scale):
    hertz = torch.tensor([0.0, 20.0, 100.0, 200.0, 1_000.0, 4_000.0, 8_000.0, 15_500.0, 22_050.0], dtype=torch.float64)
    barks = hz_to_scale(hertz, scale)
    assert barks.numpy() == pytest.approx([SCALES[scale](float(value)) for value in hertz], abs=1e-12)
    assert scale_to_hz(barks, scale).numpy() == pytest.approx(hertz.numpy(), rel=1e-9, abs=1e-9)
    assert 7.5 < SCALES[scale](1_000.0) < 9.0


def test_options_out_of_range():
    for options, rule in (
        ({"bark_scale": "mel"}, "bark_scale to be one of 'traunmuller'"),
        ({"norm": "ortho"}, "norm to be one of 'slaney'"),
        ({"n_bands": 0}, "n_bands to be an integer of at least 1, got 0"),
        ({"fmin": 5_000.0, "fmax": 4_000.0}, "BarkSpectrogram: expected fmin below fmax = 4000.0 Hz"),
        ({"power": 0.0}, "power above 0"),
    ):
        with pytest.raises(ValueError, match=rule):
            ofs.BarkSpectrogram(sample_rate=RATE, **options)


def test_filters_without_bins_are_named():
    with pytest.warns(UserWarning, match=r"BarkSpectrogram: .* of 60 bark filters.*lower n_bands"):
        ofs.BarkSpectrogram(sample_rate=RATE, n_fft=64, n_bands=60)
