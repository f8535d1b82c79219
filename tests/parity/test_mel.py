"""Mel spectrograms and their decibels against librosa, torchaudio and Kaldi's definition."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

import ontheflyspec as ofs
from benchmarks.peers import peer
from ontheflyspec.functional.filterbanks import filter_blocks, triangular_filterbank

OPTIONS = [
    {},
    {"power": 1.0},
    {"power": 1.5},
    {"mel_scale": "htk"},
    {"norm": None},
    {"fmin": 50.0, "fmax": 7_000.0},
    {"center": False, "hop_length": 200},
    {"win_length": 400, "window": "hamming", "pad_mode": "constant"},
]


def near_in_decibels(ours, exact, tolerance=0.01):
    """Within 0.01 dB where the power is within 60 dB of the peak."""
    loud = exact > exact.max() * 1e-6
    difference = 10 * np.log10(np.maximum(ours, 1e-30)) - 10 * np.log10(np.maximum(exact, 1e-30))
    return np.abs(difference[loud]).max() < tolerance


@pytest.mark.parametrize("backend", ["fft", "conv"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_librosa_agrees(music, options, dtype, backend):
    options = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 160, "n_mels": 40} | options
    ours = ofs.MelSpectrogram(backend=backend, **options)(music.to(dtype)).numpy()
    known = {"pad_mode": "reflect"} | options
    known["htk"] = known.pop("mel_scale", "slaney") == "htk"
    known["sr"] = known.pop("sample_rate")
    exact = librosa.feature.melspectrogram(y=music.double().numpy(), dtype=np.float64, **known)
    assert np.abs(ours - exact).max() < (1e-12 if dtype == torch.float64 else 2e-6) * exact.max()
    assert near_in_decibels(ours, exact)


@pytest.mark.parametrize("options", OPTIONS[:6], ids=str)
def test_torchaudio_agrees(music, options):
    transforms = peer("torchaudio.transforms")
    if transforms is None:
        pytest.skip("torchaudio is not installed")
    options = {"n_fft": 512, "hop_length": 160, "n_mels": 40} | options
    ours = ofs.MelSpectrogram(sample_rate=16_000, **options)(music).numpy()
    known = {"mel_scale": "slaney", "norm": "slaney"} | options
    low, high = known.pop("fmin", 0.0), known.pop("fmax", None)
    theirs = transforms.MelSpectrogram(16_000, f_min=low, f_max=high, **known)(music).numpy()
    assert np.abs(ours - theirs).max() < 1e-5 * theirs.max()


def test_decibels_agree_with_librosa_and_torchaudio(music):
    mel = ofs.MelSpectrogram(sample_rate=16_000, n_fft=512, hop_length=160, n_mels=40)(music)
    for top_db in (None, 60.0):
        ours = ofs.AmplitudeToDB(top_db=top_db)(mel)
        assert np.abs(ours.numpy() - librosa.power_to_db(mel.double().numpy(), top_db=top_db)).max() < 1e-3
        transforms = peer("torchaudio.transforms")
        if transforms is not None:
            assert (ours - transforms.AmplitudeToDB(top_db=top_db)(mel)).abs().max() < 1e-3


def test_kaldi_triangles_stand_over_mels():
    ours = triangular_filterbank(16_000, 512, 23, 20.0, 8_000.0, "kaldi", None).numpy()
    low, high = 1127 * np.log1p(20 / 700), 1127 * np.log1p(8_000 / 700)
    step = (high - low) / 24
    for bin_ in range(256):
        mel = 1127 * np.log1p(bin_ * 16_000 / 512 / 700)
        for band in range(23):
            left = low + band * step
            expected = max(0.0, min((mel - left) / step, (left + 2 * step - mel) / step))
            assert ours[band, bin_] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("overhead", [0, 10**9])
def test_bands_hold_every_weight(overhead):
    weights = triangular_filterbank(16_000, 512, 40, 0.0, 8_000.0, "slaney", "slaney")
    kept = torch.zeros_like(weights)
    runs = filter_blocks(weights, overhead)
    for first, last, low, high in runs:
        kept[first:last, low:high] = weights[first:last, low:high]
    assert torch.equal(kept, weights)
    assert [run[0] for run in runs[1:]] == [run[1] for run in runs[:-1]]
    assert len(runs) == 1 if overhead == 10**9 else len(runs) > 3


def test_frequencies_are_the_filters_centres():
    mel = ofs.MelSpectrogram(sample_rate=16_000, n_mels=40, fmin=30.0, mel_scale="htk")
    theirs = librosa.mel_frequencies(n_mels=42, fmin=30.0, fmax=8_000.0, htk=True)[1:-1]
    assert mel.frequencies.numpy() == pytest.approx(theirs)
    assert mel.n_features == 40


def test_trainable_starts_equal_and_checkpoints_stay_small(music):
    options = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 160, "n_mels": 40}
    trained, fast = ofs.MelSpectrogram(trainable=True, **options), ofs.MelSpectrogram(**options)
    assert (trained(music) - fast(music)).abs().max() < 1e-5 * fast(music).max()
    assert sorted(trained.state_dict()) == ["filterbank", "stft.kernels"]
    assert list(fast.state_dict()) == []
    trained(music).sum().backward()
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in trained.parameters())


def test_half_and_double_do_not_round_constants(music):
    options = {"sample_rate": 16_000, "n_fft": 512, "hop_length": 160, "n_mels": 40}
    expected = ofs.MelSpectrogram(**options)(music)
    assert torch.equal(ofs.MelSpectrogram(**options).half().float()(music), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wave = music.clone().requires_grad_()
        assert (ofs.MelSpectrogram(**options)(wave) - expected).abs().max() < 1e-6 * expected.max()
        conv = ofs.MelSpectrogram(backend="conv", **options)(music)
        assert (conv - expected).abs().max() < 1e-5 * expected.max()


def test_filters_without_bins_are_named():
    with pytest.warns(UserWarning, match=r"MelSpectrogram: .* of 128 mel filters.*n_fft"):
        ofs.MelSpectrogram(sample_rate=16_000, n_fft=128, n_mels=128)


def test_bad_options_name_value_and_remedy():
    with pytest.raises(ValueError, match=r"fmax .* between 0 and 8000, got 9000"):
        ofs.MelSpectrogram(sample_rate=16_000, fmax=9_000)
    with pytest.raises(ValueError, match=r"fmin below fmax = 4000.0 Hz, got 5000.0 Hz\. Lower fmin"):
        ofs.MelSpectrogram(sample_rate=16_000, fmin=5_000, fmax=4_000)
    with pytest.raises(ValueError, match="mel_scale to be one of 'slaney'"):
        ofs.MelSpectrogram(sample_rate=16_000, mel_scale="bark")
