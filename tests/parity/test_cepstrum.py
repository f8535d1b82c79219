"""Cepstral coefficients against librosa and torchaudio, and the cosines against scipy."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.fft
import torch

import ontheflyspec as ofs
from benchmarks.peers import peer
from ontheflyspec.functional.dct import cosine_matrix


@pytest.mark.parametrize(
    "options",
    [{}, {"n_mfcc": 13, "lifter": 22.0}, {"n_mels": 40, "fmin": 50.0, "power": 1.0}, {"win_length": 400}],
)
def test_mfcc_is_that_of_librosa_for_each_item(options):
    torch.manual_seed(0)
    items = [torch.randn(n, dtype=torch.float64) * scale for n, scale in ((16_000, 1.0), (4_000, 1e-3))]
    known = {"n_fft": 1024, "hop_length": 256} | options
    theirs = known | {"lifter": known.get("lifter", 0), "pad_mode": "reflect"}
    out = ofs.MFCC(sample_rate=16_000, **known)(ofs.pad(items, rate=16_000))
    for ours, item in zip(out.unpad(), items, strict=True):
        wanted = librosa.feature.mfcc(y=item.numpy(), sr=16_000, **theirs)
        assert np.abs(ours.numpy() - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_default_in_float32():
    wave = torch.randn(22_050, generator=torch.Generator().manual_seed(0))
    ours = ofs.MFCC(sample_rate=22_050, pad_mode="constant")(wave).numpy()
    wanted = librosa.feature.mfcc(y=wave.numpy(), sr=22_050)
    assert np.abs(ours - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_cosines_are_scipy_s():
    values = torch.randn(40, 3, dtype=torch.float64)
    wanted = scipy.fft.dct(values.numpy(), type=2, norm="ortho", axis=0)
    assert np.allclose((cosine_matrix(40, 40, 0.0) @ values).numpy(), wanted)


@pytest.mark.parametrize(
    ("options", "rule"), [({"n_mfcc": 41}, "n_mfcc.*40.*got 41"), ({"lifter": -1.0}, "lifter.*got -1")]
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.MFCC(sample_rate=8_000, n_mels=40, n_fft=512, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"log": "log", "n_lfcc": 13},
        {"n_filter": 40, "fmin": 50.0, "fmax": 7_000.0, "power": 1.0},
        {"win_length": 400, "center": False, "backend": "conv"},
    ],
    ids=str,
)
def test_lfcc_is_that_of_torchaudio_for_each_item(options, dtype):
    transforms = peer("torchaudio.transforms")
    if transforms is None:
        pytest.skip("torchaudio is not installed")
    torch.manual_seed(0)
    items = [torch.randn(n, dtype=dtype) * scale for n, scale in ((16_000, 1.0), (4_000, 1e-3), (1_100, 0.1))]
    known = {"n_lfcc": 40, "n_fft": 1024, "hop_length": 256} | options
    out = ofs.LFCC(sample_rate=16_000, **known)(ofs.pad(items, rate=16_000))
    spectrum = {name: known[name] for name in ("n_fft", "hop_length", "win_length", "center", "power") if name in known}
    renamed = {"n_lfcc": "n_lfcc", "n_filter": "n_filter", "fmin": "f_min", "fmax": "f_max"}
    theirs = {renamed[name]: value for name, value in known.items() if name in renamed}
    theirs["log_lf"] = known.get("log") == "log"
    reference = transforms.LFCC(16_000, speckwargs=spectrum, **theirs).to(dtype)
    for ours, item in zip(out.unpad(), items, strict=True):
        wanted = reference(item)
        assert ours.shape == wanted.shape
        assert (ours - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"n_lfcc": 41, "n_filter": 40}, "LFCC: expected n_lfcc.*40.*got 41"),
        ({"log": "ln"}, "LFCC: expected log to be one of 'db'"),
        ({"fmin": 4_000.0}, "LFCC: expected fmin below fmax"),
    ],
)
def test_options_of_lfcc_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.LFCC(sample_rate=8_000, n_fft=512, **options)
