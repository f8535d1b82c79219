"""Cepstral coefficients against librosa, and the cosines against scipy."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.fft
import torch

import ontheflyspec as ofs
from ontheflyspec.functional.cepstra import cosine_matrix


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


def test_each_option_changes_the_output():
    wave = torch.randn(4_000, generator=torch.Generator().manual_seed(0)) * torch.linspace(0, 1, 4_000) ** 8
    plain = {"sample_rate": 8_000, "n_fft": 256, "n_mels": 20}
    first = ofs.MFCC(**plain)(wave)
    for other in ({"lifter": 5.0}, {"top_db": None}, {"top_db": 20.0}, {"power": 1.0}, {"mel_scale": "htk"}):
        assert not torch.allclose(ofs.MFCC(**plain, **other)(wave), first)


@pytest.mark.parametrize(
    ("options", "rule"), [({"n_mfcc": 41}, "n_mfcc.*40.*got 41"), ({"lifter": -1.0}, "lifter.*got -1")]
)
def test_options_out_of_range(options, rule):
    with pytest.raises(ValueError, match=rule):
        ofs.MFCC(sample_rate=8_000, n_mels=40, n_fft=512, **options)
