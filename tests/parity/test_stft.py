"""STFT against torch.stft, librosa and the definition, in float32 and float64, by both backends."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

import ontheflyspec as ofs
from ontheflyspec.windows import window

OPTIONS = [
    {},
    {"center": False},
    {"pad_mode": "constant"},
    {"win_length": 300, "hop_length": 77},
    {"window": "blackman", "hop_length": 250},
    {"n_fft": 401, "hop_length": 100},
]


@pytest.mark.parametrize("backend", ["fft", "conv"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_librosa_and_torch_agree(music, options, dtype, backend):
    options = {"n_fft": 512, "hop_length": 128} | options
    ours = ofs.STFT(sample_rate=16_000, backend=backend, **options)(music.to(dtype))
    known = {"pad_mode": "reflect"} | options
    exact = librosa.stft(music.double().numpy(), **known)
    count = exact.shape[-1]
    limit = (1e-12 if dtype == torch.float64 else 2e-6) * np.abs(exact).max()
    assert count <= ours.shape[-1] <= count + known["n_fft"] % 2
    assert np.abs(ours.numpy()[:, :count] - exact).max() < limit
    name = known.pop("window", "hann")
    size = known.get("win_length", known["n_fft"])
    theirs = torch.stft(music.double(), return_complex=True, window=window(name, size, size), **known)
    assert (ours[:, : theirs.shape[1]] - theirs).abs().max() < limit


@pytest.mark.parametrize("n", [1, 2, 3, 10, 63, 64, 65, 200])
@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
@pytest.mark.parametrize("backend", ["fft", "conv"])
def test_short_clips_are_padded_as_numpy_pads(music, n, pad_mode, backend):
    wave = music[5000 : 5000 + n].double()
    ours = ofs.STFT(sample_rate=16_000, n_fft=128, hop_length=32, pad_mode=pad_mode, backend=backend)(wave)
    padded = np.pad(wave.numpy(), 64, mode=pad_mode)
    hann = scipy.signal.get_window("hann", 128)
    frames = np.stack([padded[32 * t : 32 * t + 128] * hann for t in range(1 + n // 32)])
    assert np.abs(ours.numpy() - np.fft.rfft(frames).T).max() < 1e-12


@pytest.mark.parametrize("backend", ["fft", "conv"])
def test_outputs_are_those_of_the_complex_spectrum(music, backend):
    def stft(output):
        return ofs.STFT(sample_rate=16_000, n_fft=256, hop_length=64, output=output, backend=backend)(music)

    spectrum = stft("complex").to(torch.complex128)
    peak = spectrum.abs().max()
    assert (stft("magnitude") - spectrum.abs()).abs().max() < 1e-6 * peak
    assert (stft("power") - spectrum.abs().square()).abs().max() < 1e-6 * peak**2
    assert (spectrum - torch.polar(spectrum.abs(), stft("phase").double())).abs().max() < 1e-6 * peak


def test_backends_agree_and_trainable_starts_equal(music):
    options = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 160}
    frozen = ofs.STFT(backend="conv", **options)(music)
    fast = ofs.STFT(**options)(music)
    trained = ofs.STFT(trainable=True, **options)
    assert (frozen - fast).abs().max() < 1e-5 * fast.abs().max()
    assert torch.equal(trained(music), frozen)
    assert [name for name, _ in trained.named_parameters()] == ["kernels"]
    assert list(ofs.STFT(**options).state_dict()) == []


def test_axes(music):
    for options in ({"center": True}, {"center": False}):
        stft = ofs.STFT(sample_rate=16_000, n_fft=512, hop_length=160, output="power", **options)
        tone = torch.zeros(16_000)
        tone[8000:8016] = torch.hann_window(16)
        power = stft(tone)
        times = stft.frame_times(power.shape[1])
        assert abs(float(times[power.sum(0).argmax()]) - 0.5005) <= 0.5 * 160 / 16_000
        assert times.numpy() == pytest.approx(
            librosa.frames_to_time(
                np.arange(power.shape[1]), sr=16_000, hop_length=160, n_fft=None if stft.framing.center else 512
            )
        )
    assert stft.frequencies.numpy() == pytest.approx(librosa.fft_frequencies(sr=16_000, n_fft=512))
    assert stft.n_features == 257


def test_bad_options_name_value_and_remedy():
    with pytest.raises(ValueError, match=r"STFT: expected win_length .* at most 400, got 512"):
        ofs.STFT(sample_rate=16_000, n_fft=400, win_length=512)
    with pytest.raises(ValueError, match=r"got \"fft\"\. Use backend=\"conv\""):
        ofs.STFT(sample_rate=16_000, backend="fft", trainable=True)
    with pytest.raises(ValueError, match=r"window to be one of .*got 'haan'"):
        ofs.STFT(sample_rate=16_000, window="haan")
    with pytest.raises(TypeError, match=r"n_fft to be an integer of at least 1, got 512.0"):
        ofs.STFT(sample_rate=16_000, n_fft=512.0)
    with pytest.raises(ValueError, match=r"a batch of 16000 Hz .* got 8000 Hz\. Put Resample"):
        ofs.STFT(sample_rate=16_000)(ofs.pad([torch.zeros(10)], rate=8_000))
    with pytest.raises(TypeError, match=r"float16, .* got int32"):
        ofs.STFT(sample_rate=16_000)(torch.zeros(10, dtype=torch.int32))
    with pytest.raises(ValueError, match=r"shape \[T\].*got \[1, 1, 1, 5\]"):
        ofs.STFT(sample_rate=16_000)(torch.zeros(1, 1, 1, 5))
