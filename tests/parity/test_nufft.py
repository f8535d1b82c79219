"""STFT at other frequencies against the sums themselves and nnAudio, by both backends."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from ontheflyspec.functional import nufft
from ontheflyspec.kernels.cpu import pipeline
from ontheflyspec.pipeline import Pipeline

OPTIONS = [
    {"freq_scale": "log"},
    {"freq_scale": "linear"},
    {"freq_scale": "log", "fmin": 20.0, "fmax": 8_000.0, "n_bins": 333},
    {"freq_scale": "linear", "fmin": 0.0, "fmax": 8_000.0, "window": "rectangular"},
    {"freq_scale": "linear", "fmin": 7_990.0, "fmax": 8_000.0, "n_bins": 17, "center": False},
    {"freq_scale": "linear", "n_fft": 401, "win_length": 300, "hop_length": 100, "pad_mode": "constant"},
    {"freq_scale": "log", "fmin": 100.0, "n_fft": 12, "n_bins": 9},
    {"freq_scale": "linear", "n_fft": 1, "n_bins": 3, "window": "rectangular"},
]


def sums(wave, stft):
    """Returns the spectrum of every frame by its definition, in float64."""
    n_fft, hop = stft.framing.n_fft, stft.framing.hop_length
    around = (n_fft // 2, n_fft - n_fft // 2) if stft.framing.center else 0
    padded = np.pad(wave.double().numpy(), around, mode=stft.framing.pad_mode)
    count = stft.output_lengths(len(wave))
    frames = np.stack([padded[hop * t : hop * t + n_fft] for t in range(count)])
    turns = stft.frequencies.numpy() / stft.sample_rate
    waves = np.exp(-2j * np.pi * turns[:, None] * np.arange(n_fft))
    return waves @ (frames * stft.framing.taper().numpy()).T


@pytest.mark.parametrize("backend", ["fft", "conv"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_spectra_are_the_sums(music, options, dtype, backend):
    """In blocks, and in the form that autograd takes; each item of a batch as the item alone."""
    stft = ofs.STFT(sample_rate=16_000, backend=backend, **{"n_fft": 512, "hop_length": 128} | options)
    items = [music, music[2_000:5_001] * 1e-3]
    batch = ofs.pad([item.to(dtype) for item in items], rate=16_000)
    watched = stft(batch._replace(data=batch.data.clone().requires_grad_()))
    for ours, general, item in zip(stft(batch).unpad(), watched.unpad(), items, strict=True):
        exact = sums(item, stft)
        limit = (1e-11 if backend == "conv" and dtype == torch.float64 else 2e-6) * np.abs(exact).max()
        assert np.abs(ours.numpy() - exact).max() < limit
        assert np.abs(general.detach().numpy() - exact).max() < limit


@pytest.mark.parametrize("output", ["magnitude", "power", "phase"])
def test_outputs_are_those_of_the_complex_spectrum(music, output):
    options = {"sample_rate": 16_000, "n_fft": 512, "freq_scale": "log"}
    spectrum = ofs.STFT(**options)(music).to(torch.complex128)
    values = ofs.STFT(output=output, **options)(music).double()
    peak = spectrum.abs().max()
    if output == "magnitude":
        assert (values - spectrum.abs()).abs().max() < 1e-6 * peak
    elif output == "power":
        assert (values - spectrum.abs().square()).abs().max() < 1e-6 * peak**2
    else:
        assert (spectrum - torch.polar(spectrum.abs(), values)).abs().max() < 1e-6 * peak


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("backend", ["fft", "conv"])
def test_nnaudio_agrees(music, scale, backend):
    features = pytest.importorskip("nnAudio.features")
    known = {"n_fft": 512, "hop_length": 128, "fmin": 50, "fmax": 6_000}
    theirs = features.STFT(sr=16_000, freq_scale=scale, output_format="Complex", verbose=False, **known)
    wanted = torch.view_as_complex(theirs(music[None].float())[0].contiguous())
    stft = ofs.STFT(sample_rate=16_000, freq_scale=scale, backend=backend, **known)
    ours = stft(music.float())
    assert (ours - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert stft.frequencies.numpy() == pytest.approx(np.array(theirs.bins2freq))


def test_even_bins_of_the_longer_fft_are_those_of_the_plain_one(music):
    """What a container may share, and at a bin the interpolation is that bin."""
    frames = music[:4_096].double().view(8, 512)
    double = torch.fft.rfft(frames, n=1_024)
    assert (double[:, ::2] - torch.fft.rfft(frames)).abs().max() < 1e-12
    turns = torch.arange(257, dtype=torch.float64) / 512
    parts = nufft.bands(turns, 512)
    pieces = nufft.runs(nufft.weights(turns, 512, parts), parts)
    for output, wanted in (("complex", double[:, ::2].t()), ("power", double[:, ::2].t().abs().square())):
        got = pipeline.present(double.clone(), 8, Pipeline((), source=output, between=pieces))
        assert (got - wanted).abs().max() < 1e-6 * wanted.abs().max()


@pytest.mark.parametrize("n_fft", [1, 2, 3, 7, 15, 16, 17, 33, 100])
def test_any_frame_and_the_ends_of_the_spectrum(n_fft):
    turns = torch.tensor([0.0, 1e-9, 0.1, 0.25, 0.499, 0.5], dtype=torch.float64)
    parts = nufft.bands(turns, n_fft)
    pieces = nufft.runs(nufft.weights(turns, n_fft, parts), parts)
    frames = torch.randn(3, n_fft, dtype=torch.float64, generator=torch.Generator().manual_seed(n_fft))
    real, imaginary = nufft.interpolate(torch.fft.rfft(frames, n=2 * n_fft), pieces)
    wanted = torch.exp(-2j * math.pi * turns[:, None] * torch.arange(n_fft)) @ frames.t().to(torch.complex128)
    assert (torch.complex(real, imaginary) - wanted).abs().max() < 3e-6 * wanted.abs().max()


def test_rows_that_do_not_agree_are_found(monkeypatch):
    right = pipeline.between_bins

    def wrong(rows, pieces):
        return right(rows * (1 + 1e-3 * (torch.arange(rows.shape[0]).unsqueeze(-1) >= 100)), pieces)

    pipeline._between_agrees.cache_clear()
    monkeypatch.setattr(pipeline, "between_bins", wrong)
    assert not pipeline._between_agrees(((6, 4, 0),), 10, 300, torch.float32, 1)
    stft = ofs.STFT(sample_rate=8_000, n_fft=64, hop_length=16, freq_scale="log", fmin=60.0, output="power", fmax=3e3)
    own = stft.pipeline(torch.zeros(1), 0)
    assert not pipeline._bins_agree(own.between, 64)
    batch = ofs.pad([torch.randn(n) for n in (900, 1_100, 5, 1_300)], rate=8_000)
    for item, alone in zip(stft(batch).unpad(), batch.unpad(), strict=True):
        assert torch.equal(item, stft(alone))
    pipeline._between_agrees.cache_clear()


def test_large_transforms_stay_small():
    stft = ofs.STFT(sample_rate=44_100, n_fft=4_096, freq_scale="log")
    assert stft.n_features == 2_049
    assert stft.interpolation.numel() < 2**20


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_tones_peak_where_frequencies_say(scale):
    stft = ofs.STFT(sample_rate=16_000, n_fft=1_024, freq_scale=scale, n_bins=400, output="power")
    times = torch.arange(16_000, dtype=torch.float64) / 16_000
    for hertz in (400.0, 1_234.5, 5_000.0):
        power = stft(torch.sin(2 * math.pi * hertz * times))
        found = power[:, 20].argmax()
        steps = stft.frequencies.diff()[found - 1]
        assert abs(float(stft.frequencies[found]) - hertz) <= max(0.51 * steps, 0.5)


def test_defaults_and_bad_options():
    assert float(ofs.STFT(sample_rate=8_000, freq_scale="log").frequencies[0]) == 50.0
    stft = ofs.STFT(sample_rate=8_000, freq_scale="linear", n_bins=10)
    assert stft.frequencies.numpy() == pytest.approx(50 + np.arange(10) * 395.0)
    assert float(ofs.STFT(sample_rate=44_100, freq_scale="linear", n_bins=2).frequencies[1]) == 3_025.0
    with pytest.raises(ValueError, match=r"STFT: expected fmin only with a freq_scale, got fmin=0.0"):
        ofs.STFT(sample_rate=8_000, fmin=0.0)
    with pytest.raises(ValueError, match=r"got fmax=9.0, n_bins=7\. Leave out"):
        ofs.STFT(sample_rate=8_000, fmax=9.0, n_bins=7)
    with pytest.raises(ValueError, match=r"freq_scale to be one of 'linear' \| 'log', got 'log2'"):
        ofs.STFT(sample_rate=8_000, freq_scale="log2")
    with pytest.raises(ValueError, match=r"fmax .* between 0 and 4000, got 6000"):
        ofs.STFT(sample_rate=8_000, freq_scale="log", fmax=6_000.0)
    with pytest.raises(ValueError, match=r"fmin above 0 and below fmax = 4000.0 Hz, got 0.0 Hz"):
        ofs.STFT(sample_rate=8_000, freq_scale="log", fmin=0.0)
    with pytest.raises(ValueError, match=r"fmin below fmax = 40.0 Hz, got 50.0 Hz"):
        ofs.STFT(sample_rate=80, freq_scale="linear")
    with pytest.raises(TypeError, match=r"n_bins to be an integer"):
        ofs.STFT(sample_rate=8_000, freq_scale="linear", n_bins=7.5)
